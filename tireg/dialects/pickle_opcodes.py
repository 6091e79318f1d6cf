"""The opcodes of a pickle that only build plain data, one small step each."""

from __future__ import annotations

import codecs
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tireg.errors import FileRefusedError

if TYPE_CHECKING:
    from tireg.dialects.pickle_machine import PickleMachine


class Mark:
    """Where a MARK opcode stands on the stack."""


MARK = Mark()

FORBIDDEN: dict[int, str] = {
    ord("i"): "INST, which calls a function by name",
    ord("o"): "OBJ, which builds an object of any class",
    0x92: "NEWOBJ_EX, which builds an object of any class",
    0x82: "EXT1, which calls through the extension registry",
    0x83: "EXT2, which calls through the extension registry",
    0x84: "EXT4, which calls through the extension registry",
    ord("P"): "PERSID, a text persistent id that torch never writes",
    0x97: "NEXT_BUFFER, which takes data from outside the file",
    0x98: "READONLY_BUFFER, which takes data from outside the file",
}


def checked_key(key: Any) -> Any:
    """``key`` where it may be a key of a dict: text, a small whole number, true, false, None.

    Large numbers could be chosen to collide and make a dict slow; containers could nest.
    """
    if key is None or isinstance(key, (str, bool)):
        return key
    if isinstance(key, int) and -(2**31) <= key < 2**32:
        return key
    raise FileRefusedError(
        f"its pickle has a key of type {type(key).__name__}, as no embedding has"
    )


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FileRefusedError("its pickle holds text that is not UTF-8") from error


def _old_text(raw: bytes) -> str:
    """Python 2 strings: UTF-8 where they can be, else one character a byte."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def _long(raw: bytes) -> int:
    if len(raw) > 16:
        raise FileRefusedError("its pickle holds a number that is too long")
    return int.from_bytes(raw, "little", signed=True)


def _line_int(machine: PickleMachine) -> Any:
    raw = machine.line().rstrip(b"L")
    if raw in (b"00", b"01"):
        return raw == b"01"
    try:
        if len(raw) > 40:
            raise ValueError
        return int(raw)
    except ValueError as error:
        raise FileRefusedError("its pickle is malformed: a number is not one") from error


def _line_float(machine: PickleMachine) -> float:
    try:
        return float(machine.line())
    except ValueError as error:
        raise FileRefusedError("its pickle is malformed: a number is not one") from error


def _line_string(machine: PickleMachine) -> str:
    raw = machine.line()
    if len(raw) < 2 or raw[:1] != raw[-1:] or raw[:1] not in (b"'", b'"'):
        raise FileRefusedError("its pickle is malformed: a string has no quotes")
    try:
        return _old_text(codecs.escape_decode(raw[1:-1])[0])
    except ValueError as error:
        raise FileRefusedError("its pickle is malformed: a string has bad escapes") from error


def _line_unicode(machine: PickleMachine) -> str:
    try:
        return machine.line().decode("raw-unicode-escape")
    except UnicodeDecodeError as error:
        raise FileRefusedError("its pickle holds text that is not Unicode") from error


def _stack_global(machine: PickleMachine) -> None:
    name, module = machine.pop(), machine.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise FileRefusedError("its pickle names a global by something that is not text")
    machine.find_global(module, name)


def _tuple(machine: PickleMachine, count: int) -> None:
    values = [machine.pop() for _ in range(count)]
    machine.push(tuple(reversed(values)))


def _pop_any(machine: PickleMachine) -> None:
    if not machine.stack:
        raise FileRefusedError("its pickle is malformed: a value is missing")
    machine.stack.pop()


def _set_item(machine: PickleMachine) -> None:
    value, key = machine.pop(), machine.pop()
    machine.set_items([key, value])


def _append(machine: PickleMachine) -> None:
    value = machine.pop()
    machine.extend([value])


def _dict(machine: PickleMachine) -> None:
    pairs = machine.pop_to_mark()
    machine.push({})
    machine.set_items(pairs)


def _protocol(machine: PickleMachine) -> None:
    version = machine.take(1)[0]
    if version > 5:
        raise FileRefusedError(f"its pickle has the unknown protocol {version}")


def _set_of(machine: PickleMachine) -> set[Any]:
    return {checked_key(value) for value in machine.pop_to_mark()}


Step = Callable[["PickleMachine"], None]

STEPS: dict[int, Step] = {
    0x80: _protocol,
    0x95: lambda m: _no(m.take(8)),
    ord("("): lambda m: m.push(MARK),
    ord("0"): _pop_any,
    ord("1"): lambda m: _no(m.pop_to_mark()),
    ord("2"): lambda m: m.push(m.top()),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("I"): lambda m: m.push(_line_int(m)),
    ord("L"): lambda m: m.push(_line_int(m)),
    ord("J"): lambda m: m.push(m.number("<i")),
    ord("K"): lambda m: m.push(m.number("<B")),
    ord("M"): lambda m: m.push(m.number("<H")),
    0x8A: lambda m: m.push(_long(m.long_bytes("<B"))),
    0x8B: lambda m: m.push(_long(m.long_bytes("<i"))),
    ord("F"): lambda m: m.push(_line_float(m)),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    ord("S"): lambda m: m.push(_line_string(m)),
    ord("T"): lambda m: m.push(_old_text(m.long_bytes("<i"))),
    ord("U"): lambda m: m.push(_old_text(m.long_bytes("<B"))),
    ord("V"): lambda m: m.push(_line_unicode(m)),
    ord("X"): lambda m: m.push(_text(m.long_bytes("<I"))),
    0x8C: lambda m: m.push(_text(m.long_bytes("<B"))),
    0x8D: lambda m: m.push(_text(m.long_bytes("<Q"))),
    ord("B"): lambda m: m.push(m.long_bytes("<I")),
    ord("C"): lambda m: m.push(m.long_bytes("<B")),
    0x8E: lambda m: m.push(m.long_bytes("<Q")),
    0x96: lambda m: m.push(m.long_bytes("<Q")),
    ord("]"): lambda m: m.push([]),
    ord("}"): lambda m: m.push({}),
    ord(")"): lambda m: m.push(()),
    0x8F: lambda m: m.push(set()),
    ord("l"): lambda m: m.push(m.pop_to_mark()),
    ord("d"): _dict,
    ord("t"): lambda m: m.push(tuple(m.pop_to_mark())),
    0x85: lambda m: _tuple(m, 1),
    0x86: lambda m: _tuple(m, 2),
    0x87: lambda m: _tuple(m, 3),
    0x91: lambda m: m.push(_set_of(m)),
    ord("a"): _append,
    ord("e"): lambda m: m.extend(m.pop_to_mark()),
    ord("s"): _set_item,
    ord("u"): lambda m: m.set_items(m.pop_to_mark()),
    0x90: lambda m: m.add_all(m.pop_to_mark()),
    ord("p"): lambda m: m.remember(_index(_line_int(m))),
    ord("q"): lambda m: m.remember(m.number("<B")),
    ord("r"): lambda m: m.remember(m.number("<I")),
    0x94: lambda m: m.remember(len(m.memo)),
    ord("g"): lambda m: m.recall(_index(_line_int(m))),
    ord("h"): lambda m: m.recall(m.number("<B")),
    ord("j"): lambda m: m.recall(m.number("<I")),
    ord("c"): lambda m: m.find_global(_text(m.line()), _text(m.line())),
    0x93: _stack_global,
    ord("R"): lambda m: m.reduce(),
    # NEWOBJ: torch writes ParameterDict so; only names of the allow-list can stand below it.
    0x81: lambda m: m.reduce(),
    ord("b"): lambda m: m.build(),
    ord("Q"): lambda m: m.persistent(),
}


def _no(_: object) -> None:
    """Drop a value."""


def _index(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise FileRefusedError("its pickle is malformed: a memo index is not a number")
    return value
