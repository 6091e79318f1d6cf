"""What the few names that embedding pickles use stand for, as plain data.

Each builder takes the unpickled arguments and returns data or a description of a tensor; none
of them touches the module whose name it answers to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tireg.dialects.content import RawTensor
from tireg.dialects.views import (
    ITEM_BYTES,
    BuildError,
    Storage,
    checked_sizes,
    row_strides,
    view,
)

STORAGES: dict[str, str] = {
    "DoubleStorage": "fp64",
    "FloatStorage": "fp32",
    "HalfStorage": "fp16",
    "BFloat16Storage": "bf16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "UntypedStorage": "uint8",
}
TORCH_DTYPES: dict[str, str] = {
    "float64": "fp64",
    "double": "fp64",
    "float32": "fp32",
    "float": "fp32",
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "int64": "int64",
    "long": "int64",
    "int32": "int32",
    "int": "int32",
    "int16": "int16",
    "int8": "int8",
    "uint8": "uint8",
    "bool": "bool",
    "float8_e4m3fn": "fp8",
    "float8_e5m2": "fp8",
}
NUMPY_CODES: dict[str, str] = {
    "f8": "fp64",
    "f4": "fp32",
    "f2": "fp16",
    "i8": "int64",
    "i4": "int32",
    "i2": "int16",
    "i1": "int8",
    "u1": "uint8",
    "b1": "bool",
}


@dataclass(frozen=True)
class Global:
    """A name from the allow-list, standing for itself."""

    name: str


@dataclass
class Numpy:
    """A numpy dtype or array while it is being put together."""

    kind: str
    dtype: str = ""
    swapped: bool = False
    value: RawTensor | None = None


class Parameters(dict[Any, Any]):
    """A ParameterDict; its state fills it."""


def apply(target: Any, arguments: Any) -> Any:
    """What "calling" ``target`` gives. Raises BuildError for anything not foreseen."""
    if not isinstance(target, Global):
        raise BuildError("calls something that is not a name")
    if not isinstance(arguments, tuple):
        raise BuildError(f"gives {target.name} arguments that are no tuple")
    builder = BUILDERS.get(target.name)
    if builder is None:
        raise BuildError(f"calls {target.name}, which embeddings only mention")
    try:
        return builder(*arguments)
    except (TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
        raise BuildError(f"gives {target.name} arguments that make no sense") from error


def cost(arguments: Any) -> int:
    """Work units of one call: bytes of text, sixteen for each item that is copied."""
    if not isinstance(arguments, tuple):
        return 0
    return sum(
        len(item) if isinstance(item, (str, bytes)) else 16 * len(item)
        for item in arguments
        if isinstance(item, (str, bytes, list, tuple, set, dict))
    )


def unwrap(value: Any) -> Any:
    """``value`` without the helper classes of this file: numpy arrays become tensors.

    Each container is copied once, however often a hostile pickle refers to it. Levels deeper
    than any embedding has are left as they are.
    """
    return _unwrap(value, 6, {})


def _unwrap(value: Any, depth: int, done: dict[int, Any]) -> Any:
    if isinstance(value, Numpy):
        return value.value
    if depth == 0 or not isinstance(value, (dict, list, tuple)):
        return value
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, dict):
        table: dict[Any, Any] = {}
        done[id(value)] = table
        table.update((key, _unwrap(item, depth - 1, done)) for key, item in value.items())
        return table
    items: list[Any] = []
    done[id(value)] = items
    items.extend(_unwrap(item, depth - 1, done) for item in value)
    return items


def build(target: Any, state: Any) -> Any:
    """``target`` with its pickled state. Raises BuildError for anything not foreseen."""
    if isinstance(target, Parameters):
        target.update(_parameters(state))
        return target
    if isinstance(target, dict):
        # An OrderedDict's attributes, such as a state dict's _metadata: nothing of use.
        return target
    if isinstance(target, Numpy):
        return _numpy_state(target, state)
    if isinstance(target, RawTensor):
        return target
    raise BuildError("sets the state of something that has none")


def _parameters(state: Any) -> dict[Any, Any]:
    if not isinstance(state, dict):
        raise BuildError("holds a ParameterDict without parameters")
    inner = state.get("_parameters", state.get("_keys", {}))
    if not isinstance(inner, dict):
        raise BuildError("holds a ParameterDict without parameters")
    found = {key: value for key, value in inner.items() if isinstance(value, RawTensor)}
    # Newer torch keeps values that are no Parameter as attributes named by the keys.
    for key in state.get("_keys") or {}:
        if isinstance(state.get(key), RawTensor):
            found.setdefault(key, state[key])
    return found


def _ordered_dict(*arguments: Any) -> dict[Any, Any]:
    if not arguments:
        return {}
    (pairs,) = arguments
    if not isinstance(pairs, (list, tuple)):
        raise BuildError("builds an OrderedDict from something odd")
    result: dict[Any, Any] = {}
    for pair in pairs:
        key, value = pair
        if not isinstance(key, (str, int)) or (isinstance(key, int) and abs(key) > 2**32):
            raise BuildError("builds an OrderedDict with odd keys")
        result[key] = value
    return result


def _set(*arguments: Any) -> list[Any]:
    if not arguments:
        return []
    (values,) = arguments
    if not isinstance(values, (list, tuple, set)):
        raise BuildError("builds a set from something odd")
    return list(values)


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise BuildError("encodes text in an odd way")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError as error:
        raise BuildError("hides data in text that is not Latin-1") from error


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> RawTensor:
    """``torch._utils._rebuild_tensor_v2``: a view of a storage, refused where it overlaps."""
    if not isinstance(storage, Storage):
        raise BuildError("makes a tensor out of something that is no storage")
    return view(storage, storage.dtype, offset, checked_sizes(size), checked_sizes(stride))


def _tensor_v3(
    storage: Any, offset: Any, size: Any, stride: Any, _grad: Any, _hooks: Any, dtype: Any, *_: Any
) -> RawTensor:
    if not isinstance(storage, Storage):
        raise BuildError("makes a tensor out of something that is no storage")
    return view(storage, _dtype(dtype), offset, checked_sizes(size), checked_sizes(stride))


def _parameter(tensor: Any, *_: Any) -> RawTensor:
    if not isinstance(tensor, RawTensor):
        raise BuildError("makes a parameter out of something that is no tensor")
    return tensor


def _from_type(_function: Any, _kind: Any, arguments: Any, _state: Any) -> Any:
    """``torch._tensor._rebuild_from_type_v2``: the inner name is on the allow-list as well."""
    return apply(_function, arguments)


def _device_tensor(array: Any, dtype: Any, *_: Any) -> RawTensor:
    """``_rebuild_device_tensor_from_numpy``: tensors saved on Apple GPUs and others."""
    raw = array.value if isinstance(array, Numpy) else array
    if not isinstance(raw, RawTensor):
        raise BuildError("makes a device tensor without data")
    wanted = _dtype(dtype)
    if wanted == raw.dtype:
        return raw
    if (raw.dtype, wanted) != ("fp32", "bf16"):
        raise BuildError("makes a device tensor of another type than its data")
    # numpy has no bf16, so torch saves such tensors widened; the upper halves are the values.
    return RawTensor("bf16", raw.shape, lambda: _upper_halves(raw.read()))


def _upper_halves(data: bytes) -> bytes:
    import numpy as np

    return bytes(np.frombuffer(data, dtype="<u2")[1::2].tobytes())


def _device_from_cpu(tensor: Any, *_: Any) -> RawTensor:
    return _parameter(tensor)


def _dtype(value: Any) -> str:
    name = value.name.removeprefix("torch.") if isinstance(value, Global) else ""
    if name not in TORCH_DTYPES:
        raise BuildError("names a type of numbers that is not known")
    return TORCH_DTYPES[name]


def _numpy_dtype(code: Any, *_: Any) -> Numpy:
    name = str(code).lstrip("<>|=") if isinstance(code, str) else ""
    if name not in NUMPY_CODES:
        raise BuildError("holds a numpy type that is not a plain number")
    return Numpy("dtype", NUMPY_CODES[name], swapped=str(code).startswith(">"))


def _numpy_array(*_: Any) -> Numpy:
    return Numpy("array")


def _numpy_state(target: Numpy, state: Any) -> Any:
    if target.kind == "dtype":
        if isinstance(state, tuple) and len(state) > 1 and state[1] == ">":
            raise BuildError("holds big-endian numbers")
        return target
    if not isinstance(state, tuple) or len(state) != 5:
        raise BuildError("holds a numpy array without data")
    _, shape, dtype, fortran, data = state
    sizes = checked_sizes(shape)
    if not isinstance(dtype, Numpy) or dtype.swapped or not isinstance(data, bytes):
        raise BuildError("holds a numpy array of objects or of odd data")
    if len(data) != math.prod(sizes) * ITEM_BYTES[dtype.dtype]:
        raise BuildError("holds a numpy array whose data do not fit its shape")
    storage = Storage(dtype.dtype, math.prod(sizes), lambda at, size: data[at : at + size])
    target.value = view(storage, dtype.dtype, 0, sizes, row_strides(sizes, bool(fortran)))
    return target


def _numpy_scalar(dtype: Any, data: Any) -> Any:
    """A numpy number: a step or a loss beside the vectors."""
    import struct

    forms = {"fp64": "<d", "fp32": "<f", "int64": "<q", "int32": "<i", "uint8": "<B", "bool": "<?"}
    if not isinstance(dtype, Numpy) or dtype.dtype not in forms or not isinstance(data, bytes):
        raise BuildError("holds a numpy number of an odd type")
    if len(data) != ITEM_BYTES[dtype.dtype]:
        raise BuildError("holds a numpy number of an odd size")
    return struct.unpack(forms[dtype.dtype], data)[0]


def _nothing(*_: Any) -> None:
    return None


def _size(*arguments: Any) -> tuple[int, ...]:
    return checked_sizes(arguments[0] if arguments else ())


BUILDERS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": _ordered_dict,
    "builtins.set": _set,
    "__builtin__.set": _set,
    "builtins.frozenset": _set,
    "__builtin__.frozenset": _set,
    "_codecs.encode": _encode,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch._utils._rebuild_device_tensor_from_numpy": _device_tensor,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _device_from_cpu,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.nn.modules.container.ParameterDict": lambda *_: Parameters(),
    "torch.nn.parameter.Parameter": _parameter,
    "torch.device": _nothing,
    "torch.Size": _size,
    "numpy.core.multiarray._reconstruct": _numpy_array,
    "numpy._core.multiarray._reconstruct": _numpy_array,
    "numpy.core.multiarray.scalar": _numpy_scalar,
    "numpy._core.multiarray.scalar": _numpy_scalar,
    "numpy.dtype": _numpy_dtype,
}

NAMES: frozenset[str] = frozenset(
    [
        *BUILDERS,
        *(f"torch.{name}" for name in STORAGES),
        *(f"torch.cuda.{name}" for name in STORAGES),
        *(f"torch.{name}" for name in TORCH_DTYPES),
        "torch.storage.UntypedStorage",
        "torch.storage.TypedStorage",
        "torch.Tensor",
        "numpy.ndarray",
    ]
)
