"""Reads a PyTorch state dict with NumPy alone: `.pth` files hold pickles, and nothing that a pickle asks for is run.

PyTorch has written two formats. Since 1.6 a file is a zip archive of `data.pkl` and one file a storage, `data/KEY`.
Before, it was five pickles in a row (magic number, protocol, system, the state, the storages' keys) with the bare
storages behind them. In both, a tensor is a storage, an offset into it, a shape and strides, all counted in elements.

Source: https://github.com/pytorch/pytorch/blob/v2.5.1/torch/serialization.py
"""

from __future__ import annotations

import io
import math
import os
import pickle
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np
from numpy.lib.stride_tricks import as_strided

from bench.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from typing import BinaryIO

    from numpy.typing import NDArray

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_ZIP_MAGIC = b"PK\x03\x04"
_STORED_AS = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "u2",  # NumPy has no bfloat16: the upper half of a float32
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}


def read_state(path: Path, *, prefix: str = "") -> dict[str, NDArray[Any]]:
    """Read the tensors of a state dict.

    Args:
        path: A file that `torch.save(model.state_dict(), path)` has written, in either format.
        prefix: Only tensors whose names begin with it are read, which saves the memory of the others. Defaults to none,
            all are read.

    Returns:
        The tensors by name, in the file's order, read-only, with the file's types; bfloat16 becomes float32.

    Raises:
        ModelError: The file is missing, damaged, no state dict, or asks for anything but tensors.
    """
    try:
        with path.open("rb") as file:
            is_zip = file.read(len(_ZIP_MAGIC)) == _ZIP_MAGIC
            file.seek(0)
            return _read_zip(file, prefix) if is_zip else _read_rows(file, prefix)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}") from error
    except _RefusedError as error:
        raise ModelError(f"{path} {error}") from None
    except Exception as error:  # a damaged pickle or archive may raise anything
        raise ModelError(
            f"{path} is truncated, damaged or no PyTorch file ({type(error).__name__}: {error}); fetch it again, or "
            "write it again with torch.save(model.state_dict(), path)"
        ) from error


def take(state: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return one tensor of a state dict.

    Args:
        state: As `read_state` gives it.
        name: Of the tensor.
        shape: That it must have.

    Raises:
        ModelError: There is none, or it has another shape: the weights are those of another model.
    """
    tensor = state.get(name)
    received = "none" if tensor is None else f"one of shape {tensor.shape}"
    if tensor is None or tensor.shape != shape:
        raise ModelError(
            f"the weights must have a tensor {name!r} of shape {shape}; received {received}. They are not this model's"
        )
    return tensor


class _RefusedError(pickle.UnpicklingError):
    """The file is sound, and not what it should be; the message goes on from the file's name."""


class _Storage(NamedTuple):
    """Where numbers lie: a key of the file, and the part that is meant; counted in elements."""

    kind: str
    key: str
    length: int
    start: int
    end: int


class _Tensor(NamedTuple):
    """A tensor that is still in the file; offset, shape and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _read_zip(file: BinaryIO, prefix: str) -> dict[str, NDArray[Any]]:
    with zipfile.ZipFile(file) as archive:
        found = [name for name in archive.namelist() if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(found) != 1:
            raise _RefusedError("is a zip archive that PyTorch did not write; it has no file data.pkl in its folder")
        folder = found[0].removesuffix("data.pkl")
        is_big = f"{folder}byteorder" in archive.namelist() and _stored(archive, f"{folder}byteorder") == b"big"
        state = _state(_Unpickler(io.BytesIO(_stored(archive, found[0]))).load(), prefix)
        arrays: dict[str, NDArray[Any]] = {}
        for storage in _storages(state):
            content = _stored(archive, f"{folder}data/{storage.key}")
            arrays[storage.key] = _array(content, storage, ">" if is_big else "<")
    return {name: _view(arrays[tensor.storage.key], tensor) for name, tensor in state.items()}


def _stored(archive: zipfile.ZipFile, name: str) -> bytes:
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED:  # PyTorch compresses nothing; it might unpack to any size
        raise _RefusedError(f"holds {name!r} compressed, which PyTorch does not do; write it again with PyTorch")
    return archive.read(info)


def _read_rows(file: BinaryIO, prefix: str) -> dict[str, NDArray[Any]]:
    magic, protocol = (_Unpickler(file).load() for _ in range(2))
    if magic != _MAGIC or protocol != _PROTOCOL:
        raise _RefusedError("is no file that torch.save has written")
    _Unpickler(file).load()  # of the system that wrote it; the storages are little-endian on all of them
    unpickler = _Unpickler(file)
    state = _state(unpickler.load(), prefix)
    wanted = {storage.key for storage in _storages(state)}
    arrays: dict[str, NDArray[Any]] = {}
    end_bytes = os.fstat(file.fileno()).st_size
    for key in _Unpickler(file).load():
        storage = unpickler.storages[key]
        size_bytes = storage.length * np.dtype(_STORED_AS[storage.kind]).itemsize
        if int.from_bytes(file.read(8), "little") != storage.length:
            raise _RefusedError(f"contradicts itself on the size of storage {key!r}; fetch it again")
        if key in wanted:
            content = file.read(min(size_bytes, end_bytes - file.tell()))  # room for no more than there is
            arrays[key] = _array(content, storage, "<")
        else:
            file.seek(size_bytes, io.SEEK_CUR)
    return {name: _view(arrays[tensor.storage.key], tensor) for name, tensor in state.items()}


def _state(value: object, prefix: str) -> dict[str, _Tensor]:
    """Return the tensors that are asked for, after a look at all that the pickle held."""
    if not isinstance(value, dict):
        raise _RefusedError(f"must hold a state dict, tensors by name; received {type(value).__name__}")
    for name, tensor in value.items():
        if not isinstance(name, str) or not isinstance(tensor, _Tensor):
            raise _RefusedError(
                f"must hold a state dict, tensors by name; received {type(tensor).__name__} as {name!r}. "
                "Write it again with torch.save(model.state_dict(), path)"
            )
    return {name: tensor for name, tensor in value.items() if name.startswith(prefix)}


def _storages(state: Mapping[str, _Tensor]) -> list[_Storage]:
    """Return the storages that tensors lie in, each once."""
    return list({tensor.storage.key: tensor.storage for tensor in state.values()}.values())


def _array(content: bytes, storage: _Storage, order: str) -> NDArray[Any]:
    """Return a storage as an array of one dimension, in this machine's byte order."""
    stored = np.dtype(order + _STORED_AS[storage.kind])
    if len(content) != storage.length * stored.itemsize:
        raise _RefusedError(
            f"is truncated or damaged: storage {storage.key!r} must have {storage.length:,} elements of "
            f"{stored.itemsize} bytes; received {len(content):,} bytes. Fetch it again"
        )
    array = np.frombuffer(content, stored).astype(stored.newbyteorder("="), copy=False)
    return (array.astype(np.uint32) << 16).view(np.float32) if storage.kind == "BFloat16Storage" else array


def _view(array: NDArray[Any], tensor: _Tensor) -> NDArray[Any]:
    """Return a tensor as a view of its storage; `_RebuildTensor` has seen to it that it lies inside."""
    if not math.prod(tensor.shape):
        return np.empty(tensor.shape, array.dtype)
    # An axis of one element may have any stride, and PyTorch writes wild ones.
    strides = [
        stride * array.itemsize if size > 1 else 0 for size, stride in zip(tensor.shape, tensor.strides, strict=True)
    ]
    return as_strided(array[tensor.storage.start + tensor.offset :], tensor.shape, strides, writeable=False)


class _Unpickler(pickle.Unpickler):
    """Lets through what state dicts are made of; nothing of it is PyTorch's, and nothing of it can be changed."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 -- as in the base class
        match module, name:
            case "collections", "OrderedDict":
                return OrderedDict
            case "torch._utils", "_rebuild_tensor_v2":
                return _RebuildTensor()
            case "torch._utils", "_rebuild_parameter":
                return _RebuildParameter()
            case "torch", kind if kind in _STORED_AS:
                return _StorageKind(kind)
            case _:
                raise _RefusedError(
                    f"asks for {module}.{name}, which no state dict needs; it was not run. "
                    "Write the file again with torch.save(model.state_dict(), path)"
                )

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401 -- as in the base class
        match pid:
            case "storage", _StorageKind(kind), str(key), str(), length, *view if _is_count(length):
                pass
            case _:
                raise _RefusedError(f"refers to {pid!r:.200}, which is no storage of tensors")
        start, end = 0, length
        if view and view[0] is not None:  # a part of a storage, in files of PyTorch 0.x
            _, start, size = view[0]
            end = start + size
            if not (_is_count(start) and _is_count(size) and end <= length):
                raise _RefusedError(f"refers to elements {start} to {end} of a storage of {length:,}")
        whole = _Storage(kind, key, length, 0, length)
        if self.storages.setdefault(key, whole) != whole:
            raise _RefusedError(f"contradicts itself on storage {key!r}; fetch it again")
        return whole._replace(start=start, end=end)


class _StorageKind(NamedTuple):
    """Stands for a class such as `torch.FloatStorage`."""

    name: str


class _RebuildTensor:
    """Stands for `torch._utils._rebuild_tensor_v2`; what follows the strides matters to a training only."""

    __slots__ = ()

    def __call__(self, storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
        if not (isinstance(storage, _Storage) and _is_count(offset) and _are_counts(shape) and _are_counts(strides)):
            raise _RefusedError(
                f"describes a tensor that cannot be: offset {offset}, shape {shape!s:.80}, strides {strides!s:.80}"
            )
        available = storage.end - storage.start
        last = offset + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        elements = math.prod(shape)
        if elements and (last >= available or elements > available):
            raise _RefusedError(
                f"describes a tensor that reaches beyond its storage of {available:,} elements: "
                f"offset {offset}, shape {shape!s:.80}, strides {strides!s:.80}"
            )
        return _Tensor(storage, offset, shape, strides)


class _RebuildParameter:
    """Stands for `torch._utils._rebuild_parameter`: a parameter is a tensor that is trained."""

    __slots__ = ()

    def __call__(self, tensor: object, *_: object) -> object:
        return tensor


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _are_counts(value: object) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and all(map(_is_count, value))
