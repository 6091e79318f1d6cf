"""A pickle reader that can only build plain data and describe tensors.

Nothing is imported and nothing is called: a global is a name, looked up in an allow-list of
names, and "calling" it runs a small function of ours that returns data
(see ``pickle_builders``). Opcodes that build arbitrary objects do not exist here. Stack, memo,
opcodes, strings and numbers are bounded, so any input ends soon.

The opcodes are those of CPython's ``Lib/pickle.py`` and ``pickletools``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from tireg.dialects import limits
from tireg.dialects.content import printable
from tireg.dialects.pickle_builders import NAMES, Global, apply, build, cost, unwrap
from tireg.dialects.pickle_opcodes import FORBIDDEN, MARK, STEPS, checked_key
from tireg.dialects.views import BuildError, Storage
from tireg.errors import FileRefusedError

Resolve = Callable[[tuple[Any, ...]], Storage | Global]


class PickleMachine:
    """Runs one pickle out of ``data`` from ``position`` and returns the plain value.

    ``resolve`` turns a persistent id (a tuple) into the Storage or name it stands for. After
    ``run``, ``position`` is the first byte behind the pickle.
    """

    def __init__(
        self,
        data: bytes,
        resolve: Resolve,
        *,
        position: int = 0,
    ) -> None:
        self.data = data
        self.position = position
        self.resolve = resolve
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.opcodes = 0
        self.work = 0

    def run(self) -> Any:
        """The value of the pickle. Raises FileRefusedError for anything but plain data."""
        while True:
            self.opcodes += 1
            if self.opcodes > limits.PICKLE_OPCODES:
                raise FileRefusedError("its pickle has too many steps for an embedding")
            if len(self.stack) > limits.PICKLE_STACK:
                raise FileRefusedError("its pickle piles up too many values for an embedding")
            code = self.take(1)[0]
            if code == ord("."):
                value = self.pop()
                if self.stack:
                    raise FileRefusedError("its pickle is malformed: values are left over")
                return unwrap(value)
            step = STEPS.get(code)
            if step is None:
                what = FORBIDDEN.get(code)
                if what is not None:
                    raise FileRefusedError(
                        f"its pickle uses {what}: no embedding needs that, it may be an attack"
                    )
                raise FileRefusedError(f"its pickle has the unknown opcode 0x{code:02x}")
            step(self)

    # Bytes of the pickle.

    def take(self, count: int) -> bytes:
        """The next ``count`` bytes."""
        end = self.position + count
        if count < 0 or end > len(self.data):
            raise FileRefusedError("its pickle is cut short or was edited by hand")
        part = self.data[self.position : end]
        self.position = end
        return part

    def line(self) -> bytes:
        """The bytes up to the next line break, without it."""
        end = self.data.find(b"\n", self.position, self.position + 4096)
        if end < 0:
            raise FileRefusedError("its pickle is malformed: a line has no end")
        part = self.data[self.position : end]
        self.position = end + 1
        return part

    def number(self, form: str) -> int:
        """One unsigned or signed integer of struct format ``form``."""
        return int(struct.unpack(form, self.take(struct.calcsize(form)))[0])

    def long_bytes(self, form: str) -> bytes:
        """A length of ``form`` and that many bytes, within the cap on strings."""
        length = self.number(form)
        if not 0 <= length <= limits.PICKLE_TEXT:
            raise FileRefusedError(
                f"its pickle holds a string of {length} bytes, which is too long"
            )
        return self.take(length)

    # The stack.

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop(self) -> Any:
        """Take the top value; a MARK is none."""
        if not self.stack or self.stack[-1] is MARK:
            raise FileRefusedError("its pickle is malformed: a value is missing")
        return self.stack.pop()

    def top(self) -> Any:
        """Look at the top value."""
        if not self.stack or self.stack[-1] is MARK:
            raise FileRefusedError("its pickle is malformed: a value is missing")
        return self.stack[-1]

    def pop_to_mark(self) -> list[Any]:
        """Take every value above the last MARK, and the MARK."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is MARK:
                values = self.stack[index + 1 :]
                del self.stack[index:]
                return values
        raise FileRefusedError("its pickle is malformed: a mark is missing")

    # Memo.

    def remember(self, index: int) -> None:
        """Store the top value under ``index``."""
        if len(self.memo) >= limits.PICKLE_MEMO:
            raise FileRefusedError("its pickle remembers too many values for an embedding")
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        """Push the value stored under ``index``."""
        if index not in self.memo:
            raise FileRefusedError("its pickle is malformed: it recalls a value it never stored")
        self.push(self.memo[index])

    # Containers.

    def set_items(self, pairs: list[Any]) -> None:
        """Put key, value, key, value … into the dict on top."""
        target = self.top()
        if not isinstance(target, dict) or len(pairs) % 2:
            raise FileRefusedError("its pickle is malformed: items for something not a dict")
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            target[checked_key(key)] = value

    def extend(self, values: list[Any]) -> None:
        """Append to the list on top."""
        target = self.top()
        if not isinstance(target, list):
            raise FileRefusedError("its pickle is malformed: items for something not a list")
        target.extend(values)

    def add_all(self, values: list[Any]) -> None:
        """Add to the set on top."""
        target = self.top()
        if not isinstance(target, set):
            raise FileRefusedError("its pickle is malformed: items for something not a set")
        target.update(checked_key(value) for value in values)

    # Names.

    def find_global(self, module: str, name: str) -> None:
        """Push the name ``module.name`` if embeddings use it; nothing is imported."""
        full = f"{module}.{name}"
        if full not in NAMES:
            raise FileRefusedError(
                f"its pickle asks for {printable(full)}, which no embedding needs: it may be an "
                "attack, or a file of another kind"
            )
        self.push(Global(full))

    def reduce(self) -> None:
        """Apply the name below the top to the arguments on top, as plain data."""
        arguments, target = self.pop(), self.pop()
        # A memoised list or string can be copied by every few bytes of a pickle.
        self.work += cost(arguments)
        if self.work > limits.PICKLE_WORK:
            raise FileRefusedError("its pickle copies too much data for an embedding")
        self.push(_guarded(lambda: apply(target, arguments)))

    def build(self) -> None:
        """Give the state on top to the object below it."""
        state, target = self.pop(), self.pop()
        self.push(_guarded(lambda: build(target, state)))

    def persistent(self) -> None:
        """Replace a storage's persistent id by the storage."""
        identity = self.pop()
        if not isinstance(identity, tuple):
            raise FileRefusedError("its pickle names a storage in a way that torch never does")
        self.push(self.resolve(identity))


def _guarded(make: Callable[[], Any]) -> Any:
    try:
        return make()
    except BuildError as error:
        raise FileRefusedError(f"its pickle {error}") from error
