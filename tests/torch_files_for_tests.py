"""Writes `.pth` files in both formats of PyTorch, opcode by opcode and without PyTorch."""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

KINDS = {
    "f8": "DoubleStorage",
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "i8": "LongStorage",
    "i4": "IntStorage",
    "i2": "ShortStorage",
    "i1": "CharStorage",
    "u1": "ByteStorage",
    "b1": "BoolStorage",
}


class Storage(NamedTuple):
    """Numbers in a row, under a key of the file; `length` and `view` may be lies."""

    key: str
    values: NDArray[Any]
    kind: str
    length: int
    view: tuple[str, int, int] | None = None


class Tensor(NamedTuple):
    """What `torch._utils._rebuild_tensor_v2` is called with."""

    storage: Storage
    offset: Any
    shape: Any
    strides: Any


class Parameter(NamedTuple):
    """A tensor that is trained."""

    tensor: Tensor


class Call(NamedTuple):
    """Anything that a pickle may ask for."""

    module: str
    name: str
    arguments: tuple[Any, ...]


def storage(key: str, values: NDArray[Any], **changes: Any) -> Storage:
    """Return a storage of an array's numbers, in C order."""
    return Storage(key, values.reshape(-1), KINDS[values.dtype.str[1:]], values.size)._replace(**changes)


def tensor(key: str, values: NDArray[Any]) -> Tensor:
    """Return a contiguous tensor in a storage of its own."""
    strides = tuple(stride // values.itemsize for stride in np.ascontiguousarray(values).strides)
    return Tensor(storage(key, values), 0, values.shape, strides if values.ndim else ())


def state_of(arrays: Mapping[str, NDArray[Any]]) -> OrderedDict[str, Tensor]:
    """Return a state dict of contiguous tensors."""
    return OrderedDict((name, tensor(str(10 + key), values)) for key, (name, values) in enumerate(arrays.items()))


def write_zip(path: Path, state: Any, *, order: str | None = "little", compression: int = zipfile.ZIP_STORED) -> None:
    """Write a file as PyTorch 1.6 and later do; `byteorder` since 2.1 only."""
    storages: dict[str, Storage] = {}
    content = pickled(state, storages, with_views=False)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("net/data.pkl", content)
        if order:
            archive.writestr("net/byteorder", order)
        for found in storages.values():
            archive.writestr(f"net/data/{found.key}", _bytes(found, ">" if order == "big" else "<"))
        archive.writestr("net/version", "3\n")


def write_rows(path: Path, state: Any, *, magic: int = 0x1950A86A20F9469CFC6C) -> None:
    """Write a file as PyTorch before 1.6 did."""
    storages: dict[str, Storage] = {}
    content = pickled(state, storages, with_views=True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    keys = sorted(storages)
    with path.open("wb") as file:
        for head in (magic, 1001, system):
            pickle.dump(head, file, protocol=2)
        file.write(content)
        pickle.dump(keys, file, protocol=2)
        for key in keys:
            file.write(struct.pack("<q", storages[key].length) + _bytes(storages[key], "<"))


def pickled(value: Any, storages: dict[str, Storage], *, with_views: bool) -> bytes:
    """Return the pickle of a value, of protocol 2, and note the storages that it refers to."""

    def opcodes(value: Any) -> bytes:  # noqa: PLR0911 -- one for each type
        match value:
            case None:
                return b"N"
            case bool():
                return b"\x88" if value else b"\x89"
            case int():
                return pickle.dumps(value, 2)[2:-1]
            case str():
                return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
            case Storage():
                storages[value.key] = value
                view = [value.view] if with_views else []
                pid = ("storage", Call("torch", value.kind, None), value.key, "cpu", value.length, *view)
                return opcodes(pid) + b"Q"
            case Tensor():
                hooks = Call("collections", "OrderedDict", ())
                return opcodes(Call("torch._utils", "_rebuild_tensor_v2", (*value, False, hooks)))
            case Parameter():
                hooks = Call("collections", "OrderedDict", ())
                return opcodes(Call("torch._utils", "_rebuild_parameter", (value.tensor, True, hooks)))
            case Call(module, name, None):
                return f"c{module}\n{name}\n".encode()
            case Call(module, name, arguments):
                return opcodes(Call(module, name, None)) + opcodes(arguments) + b"R"
            case tuple():
                return b"(" + b"".join(map(opcodes, value)) + b"t"
            case dict():
                new = opcodes(Call("collections", "OrderedDict", ())) if isinstance(value, OrderedDict) else b"}"
                return new + b"(" + b"".join(opcodes(key) + opcodes(item) for key, item in value.items()) + b"u"
            case _:
                raise TypeError(f"no opcodes for {value!r}")

    return b"\x80\x02" + opcodes(value) + b"."


def _bytes(found: Storage, order: str) -> bytes:
    return found.values.astype(found.values.dtype.newbyteorder(order)).tobytes()
