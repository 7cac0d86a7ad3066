"""State dicts of PyTorch are read as they were written, and nothing that a file asks for is run."""

from __future__ import annotations

import contextlib
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib.stride_tricks import as_strided

from bench.errors import ModelError
from bench.weights.torch_file import read_state, take
from torch_files_for_tests import (
    KINDS,
    Call,
    Parameter,
    Tensor,
    pickled,
    state_of,
    storage,
    tensor,
    write_rows,
    write_zip,
)

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS = pytest.mark.parametrize("write", [write_zip, write_rows])
NUMBERS = np.arange(24, dtype=np.float32)


@FORMATS
def test_a_state_dict_is_read_as_it_was_written(tmp_path: Path, write: Callable[..., None]) -> None:
    """Names keep their order; tensors have their type, shape and numbers; a parameter is the tensor that it holds."""
    arrays = {f"layer.{code}": np.arange(6).astype(code).reshape(2, 3) for code in KINDS}
    arrays["count"] = np.array(7, np.int64)
    arrays["empty"] = np.zeros((0, 4), np.float32)
    state: OrderedDict[str, Any] = state_of(arrays)
    state["layer.f4"] = Parameter(state["layer.f4"])
    write(tmp_path / "w.pth", state)
    found = read_state(tmp_path / "w.pth")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@FORMATS
def test_bfloat16_becomes_float32(tmp_path: Path, write: Callable[..., None]) -> None:
    """A bfloat16 is the upper half of a float32, so nothing is lost."""
    numbers = np.array([1.0, -2.5, 3.140625, np.inf], np.float32)
    halves = (numbers.view(np.uint32) >> 16).astype(np.int16)
    lying = storage("1", halves, kind="BFloat16Storage")
    write(tmp_path / "w.pth", {"w": Tensor(lying, 0, (4,), (1,))})
    found = read_state(tmp_path / "w.pth")["w"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, numbers)


@pytest.mark.parametrize("order", ["big", "little", None])
def test_the_byte_order_is_the_one_that_the_file_names(tmp_path: Path, order: str | None) -> None:
    """A machine of the other byte order reads the same numbers; files without a byte order are little-endian."""
    write_zip(tmp_path / "w.pth", state_of({"w": NUMBERS}), order=order)
    found = read_state(tmp_path / "w.pth")["w"]
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, NUMBERS)


@FORMATS
def test_a_part_of_a_file_can_be_read(tmp_path: Path, write: Callable[..., None]) -> None:
    """With a prefix only the tensors whose names begin with it are read, wherever they lie in the file."""
    arrays = {"head.w": NUMBERS, "body.w": -NUMBERS, "head.b": NUMBERS.astype(np.int64), "body.b": 2 * NUMBERS}
    write(tmp_path / "w.pth", state_of(arrays))
    found = read_state(tmp_path / "w.pth", prefix="body.")
    assert list(found) == ["body.w", "body.b"]
    np.testing.assert_array_equal(found["body.w"], -NUMBERS)
    np.testing.assert_array_equal(found["body.b"], 2 * NUMBERS)


def test_a_part_that_is_not_read_may_be_missing(tmp_path: Path) -> None:
    """What lies behind the last storage that is asked for is not looked at."""
    write_rows(tmp_path / "w.pth", OrderedDict(a=tensor("1", NUMBERS), b=tensor("2", NUMBERS)))
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(content[: -NUMBERS.nbytes])
    np.testing.assert_array_equal(read_state(tmp_path / "w.pth", prefix="a")["a"], NUMBERS)
    with pytest.raises(ModelError, match="truncated"):
        read_state(tmp_path / "w.pth")


@FORMATS
def test_tensors_may_share_a_storage(tmp_path: Path, write: Callable[..., None]) -> None:
    """Two tensors at different places of one storage are views of the same numbers, and can not be written to."""
    shared = storage("1", NUMBERS)
    write(tmp_path / "w.pth", {"a": Tensor(shared, 0, (2, 3), (3, 1)), "b": Tensor(shared, 20, (4,), (1,))})
    found = read_state(tmp_path / "w.pth")
    np.testing.assert_array_equal(found["a"], NUMBERS[:6].reshape(2, 3))
    np.testing.assert_array_equal(found["b"], NUMBERS[20:])
    with pytest.raises(ValueError, match="read-only"):
        found["a"][0, 0] = 1.0


def test_a_view_of_a_storage_is_a_part_of_it(tmp_path: Path) -> None:
    """Files of PyTorch 0.x may name a part of a storage; a tensor in it counts from where it begins."""
    part = storage("1", NUMBERS, view=("9", 10, 6))
    write_rows(tmp_path / "w.pth", {"w": Tensor(part, 2, (2, 2), (2, 1))})
    np.testing.assert_array_equal(read_state(tmp_path / "w.pth")["w"], NUMBERS[12:16].reshape(2, 2))


@st.composite
def layouts(draw: st.DrawFn) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """An offset, a shape and the strides of a tensor that a model could have: its axes in any order, with gaps."""
    shape = draw(st.lists(st.integers(0, 4), max_size=5))
    strides = [0] * len(shape)
    step = draw(st.integers(1, 3))
    for axis in draw(st.permutations(range(len(shape)))):
        # PyTorch writes wild strides for axes of one element: they are never taken a step along.
        strides[axis] = step if shape[axis] != 1 else draw(st.sampled_from([step, 1 << 40]))
        step *= max(shape[axis], 1) * draw(st.integers(1, 2))
    return draw(st.integers(0, 5)), tuple(shape), tuple(strides)


@given(layout=layouts(), write=st.sampled_from([write_zip, write_rows]), spare=st.integers(0, 2))
def test_strides_are_followed(tmp_path_factory: Any, layout: Any, write: Any, spare: int) -> None:
    """Whatever its strides, each element of a tensor is the number that they lead to."""
    offset, shape, strides = layout
    steps = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True) if size > 1)
    numbers = np.arange(offset + steps + 1 + spare, dtype=np.float32)
    honest = all(size > 1 or stride < 1 << 40 for size, stride in zip(shape, strides, strict=True))
    path = tmp_path_factory.mktemp("strides") / "w.pth"
    write(path, {"w": Tensor(storage("1", numbers), offset, shape, strides)})
    found = read_state(path)["w"]
    assert found.shape == shape
    for index in np.ndindex(*shape):
        assert found[index] == offset + sum(at * stride for at, stride in zip(index, strides, strict=True))
    if honest and found.size:
        bytewise = [4 * stride for stride in strides]
        np.testing.assert_array_equal(found, as_strided(numbers[offset:], shape, bytewise))


# What is refused.

OUTSIDE = {
    "one element too far": (0, (25,), (1,)),
    "behind the end": (24, (1,), (1,)),
    "too far a stride": (0, (2,), (24,)),
    "a huge shape": (0, (1 << 50, 1 << 50), (1 << 50, 1)),
    "a huge shape of one number": (0, (1 << 50,), (0,)),
    "a huge offset": (1 << 70, (1,), (1,)),
}
IMPOSSIBLE = {
    "a negative offset": (-1, (4,), (1,)),
    "a negative size": (0, (-4,), (1,)),
    "a negative stride": (23, (4,), (-1,)),
    "a size that is no number": (0, ("4",), (1,)),
    "a size that is a truth": (0, (True,), (1,)),
    "a shape that is no tuple": (0, 4, (1,)),
}


@FORMATS
@pytest.mark.parametrize("layout", OUTSIDE.values(), ids=OUTSIDE)
def test_a_tensor_beyond_its_storage_is_refused(tmp_path: Path, write: Callable[..., None], layout: Any) -> None:
    """Offset, shape and strides are checked against the storage before anything is made of that size."""
    write(tmp_path / "w.pth", {"w": Tensor(storage("1", NUMBERS), *layout)})
    with pytest.raises(ModelError, match="reaches beyond its storage of 24 elements"):
        read_state(tmp_path / "w.pth")


@FORMATS
@pytest.mark.parametrize("layout", IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_a_tensor_that_cannot_be_is_refused(tmp_path: Path, write: Callable[..., None], layout: Any) -> None:
    """Offset, shape and strides are counts."""
    write(tmp_path / "w.pth", {"w": Tensor(storage("1", NUMBERS), *layout)})
    with pytest.raises(ModelError, match="describes a tensor that cannot be"):
        read_state(tmp_path / "w.pth")


@FORMATS
@pytest.mark.parametrize("strides", [(), (1, 1)])
def test_a_stride_for_each_axis_is_needed(tmp_path: Path, write: Callable[..., None], strides: Any) -> None:
    """A shape and strides of different lengths are damage."""
    write(tmp_path / "w.pth", {"w": Tensor(storage("1", NUMBERS), 0, (4,), strides)})
    with pytest.raises(ModelError, match="damaged"):
        read_state(tmp_path / "w.pth")


@FORMATS
@pytest.mark.parametrize(
    ("asked", "named"),
    [
        (Call("os", "system", ("touch was_run",)), "asks for os.system"),
        (Call("posix", "system", ("touch was_run",)), "asks for posix.system"),
        (Call("builtins", "eval", ("open('was_run', 'w')",)), "asks for builtins.eval"),
        (Call("torch._utils", "_rebuild_tensor_v3", ()), "asks for torch._utils._rebuild_tensor_v3"),
        (Call("torchvision.models.alexnet", "AlexNet", None), "asks for torchvision.models.alexnet.AlexNet"),
        (Call("torch", "load", ("other.pth",)), "asks for torch.load"),
    ],
)
def test_nothing_that_a_file_asks_for_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None], asked: Any, named: str
) -> None:
    """A pickle that asks for anything but tensors is refused by the name of what it asks for, at whatever place."""
    monkeypatch.chdir(tmp_path)
    for state in (asked, {"w": tensor("1", NUMBERS), "x": asked}, {"w": Parameter(asked)}):
        write(tmp_path / "w.pth", state)
        with pytest.raises(ModelError) as caught:
            read_state(tmp_path / "w.pth")
        assert f"w.pth {named}, which no state dict needs; it was not run." in str(caught.value)
        assert "torch.save(model.state_dict(), path)" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["w.pth"]


@pytest.mark.parametrize("name", ["_rebuild_tensor_v2", "_rebuild_parameter"])
def test_a_file_cannot_change_what_rebuilds_tensors(tmp_path: Path, name: str) -> None:
    """A pickle may set attributes of what it is given; what it is given has none, so the next file is read as ever."""
    content = b"\x80\x02}(X\x01\x00\x00\x00w" + f"ctorch._utils\n{name}\n".encode() + b"N}X\x01\x00\x00\x00aNs\x86bu."
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        archive.writestr("net/data.pkl", content)
    with pytest.raises(ModelError, match="AttributeError"):
        read_state(tmp_path / "bad.pth")


@FORMATS
@pytest.mark.parametrize(
    ("state", "received"),
    [
        ({"epoch": 3, "state_dict": {}}, "received int as 'epoch'"),
        ({"state_dict": {"w": tensor("1", NUMBERS)}}, "received dict as 'state_dict'"),
        ({3: tensor("1", NUMBERS)}, "received _Tensor as 3"),
        ({"w": storage("1", NUMBERS)}, "received _Storage as 'w'"),
        (tensor("1", NUMBERS), "received _Tensor"),
        ("weights", "received str"),
        (None, "received NoneType"),
    ],
)
def test_what_is_no_state_dict_is_refused(
    tmp_path: Path, write: Callable[..., None], state: Any, received: str
) -> None:
    """Checkpoints of a training and other contents are refused with what they are."""
    write(tmp_path / "w.pth", state)
    with pytest.raises(ModelError) as caught:
        read_state(tmp_path / "w.pth")
    assert "must hold a state dict, tensors by name; " + received in str(caught.value)


@FORMATS
@pytest.mark.parametrize("pid", [("module", "x"), ("storage", "FloatStorage", "1", "cpu", 4), "storage", ()])
def test_a_reference_to_something_else_is_refused(tmp_path: Path, write: Callable[..., None], pid: Any) -> None:
    """A persistent identifier that names no storage, such as one of a module's source, is refused."""
    write(tmp_path / "w.pth", {})
    content = (tmp_path / "w.pth").read_bytes()
    asked = b"\x80\x02}(" + pickled("w", {}, with_views=False)[2:-1] + pickled(pid, {}, with_views=False)[2:-1] + b"Qu."
    if write is write_zip:
        with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
            archive.writestr("net/data.pkl", asked)
    else:
        empty = pickled({}, {}, with_views=True)
        assert empty in content
        (tmp_path / "w.pth").write_bytes(content.replace(empty, asked))
    with pytest.raises(ModelError, match="which is no storage of tensors"):
        read_state(tmp_path / "w.pth")


@pytest.mark.parametrize("view", [("9", 20, 5), ("9", -1, 5), ("9", 0, 1 << 60)])
def test_a_view_beyond_its_storage_is_refused(tmp_path: Path, view: Any) -> None:
    """A part of a storage must lie in it."""
    write_rows(tmp_path / "w.pth", {"w": Tensor(storage("1", NUMBERS, view=view), 0, (1,), (1,))})
    with pytest.raises(ModelError, match=r"refers to elements .* of a storage of 24"):
        read_state(tmp_path / "w.pth")


@FORMATS
def test_a_storage_that_is_described_in_two_ways_is_refused(tmp_path: Path, write: Callable[..., None]) -> None:
    """All tensors of a storage must agree on its type and length."""
    longer = storage("1", NUMBERS, length=1 << 40)
    write(tmp_path / "w.pth", {"a": tensor("1", NUMBERS), "b": Tensor(longer, 0, (4,), (1,))})
    with pytest.raises(ModelError, match="contradicts itself on storage '1'"):
        read_state(tmp_path / "w.pth")


@FORMATS
def test_a_storage_shorter_than_described_is_refused(tmp_path: Path, write: Callable[..., None]) -> None:
    """A file that promises more numbers than it has is refused before memory is taken for them."""
    lying = storage("1", NUMBERS, length=1 << 40)
    write(tmp_path / "w.pth", {"w": Tensor(lying, 1 << 30, (4,), (1,))})
    with pytest.raises(ModelError, match=r"truncated or damaged: storage '1' must have 1,099,511,627,776 elements"):
        read_state(tmp_path / "w.pth")


def test_a_storage_of_another_size_than_described_is_refused(tmp_path: Path) -> None:
    """In the older format the size stands before the numbers too, and both must agree."""
    write_rows(tmp_path / "w.pth", state_of({"w": NUMBERS}))
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(content.replace(struct.pack("<q", 24), struct.pack("<q", 25)))
    with pytest.raises(ModelError, match="contradicts itself on the size of storage '10'"):
        read_state(tmp_path / "w.pth")


@FORMATS
def test_a_truncated_file_is_refused_wherever_it_ends(tmp_path: Path, write: Callable[..., None]) -> None:
    """However short a file was cut, it is an error for the user and never a wrong tensor."""
    write(tmp_path / "whole.pth", state_of({"a": NUMBERS, "b": NUMBERS[:3]}))
    content = (tmp_path / "whole.pth").read_bytes()
    for length in range(0, len(content), 7):
        (tmp_path / "w.pth").write_bytes(content[:length])
        with pytest.raises(ModelError, match=r"w\.pth "):
            read_state(tmp_path / "w.pth")


@FORMATS
@given(at=st.floats(0, 1, exclude_max=True), mask=st.integers(1, 255))
def test_damage_is_an_error_for_the_user(
    tmp_path_factory: Any, write: Callable[..., None], at: float, mask: int
) -> None:
    """Another byte anywhere gives tensors or an error for the user, and no other kind of failure."""
    path = tmp_path_factory.mktemp("damage") / "w.pth"
    write(path, state_of({"a": NUMBERS, "b": NUMBERS[:3]}))
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= mask
    path.write_bytes(content)
    with contextlib.suppress(ModelError):
        assert set(map(type, read_state(path).values())) <= {np.ndarray}


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04nonsense", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_nonsense_is_refused(tmp_path: Path, content: bytes) -> None:
    """What is no PyTorch file is said to be none, and what to do."""
    (tmp_path / "w.pth").write_bytes(content)
    with pytest.raises(ModelError, match=r"truncated, damaged or no PyTorch file .*fetch it again"):
        read_state(tmp_path / "w.pth")


def test_another_pickle_is_refused(tmp_path: Path) -> None:
    """A row of pickles that does not begin as PyTorch's do was written by something else."""
    write_rows(tmp_path / "w.pth", {}, magic=7)
    with pytest.raises(ModelError, match=r"is no file that torch\.save has written"):
        read_state(tmp_path / "w.pth")


def test_another_archive_is_refused(tmp_path: Path) -> None:
    """A zip archive without `data.pkl` in one folder is not PyTorch's, and neither is one with two."""
    for names in (["other.txt"], ["a/data.pkl", "b/data.pkl"], ["data.pkl"]):
        with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
            for name in names:
                archive.writestr(name, b"N.")
        with pytest.raises(ModelError, match="a zip archive that PyTorch did not write"):
            read_state(tmp_path / "w.pth")


def test_a_compressed_storage_is_refused(tmp_path: Path) -> None:
    """A few bytes might unpack to any size; PyTorch compresses nothing."""
    write_zip(tmp_path / "w.pth", state_of({"w": np.zeros(10_000)}), compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match="compressed"):
        read_state(tmp_path / "w.pth")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """A missing file and a folder are errors that name it and the system's reason."""
    with pytest.raises(ModelError, match=r"none\.pth cannot be read: No such file"):
        read_state(tmp_path / "none.pth")
    with pytest.raises(ModelError, match="cannot be read: Is a directory"):
        read_state(tmp_path)


def test_a_tensor_is_taken_by_name_and_shape() -> None:
    """Weights of another model are told by the first tensor that is missing or has another shape."""
    state = {"w": NUMBERS}
    assert take(state, "w", (24,)) is NUMBERS
    with pytest.raises(ModelError, match=r"a tensor 'v' of shape \(24,\); received none. They are not this model's"):
        take(state, "v", (24,))
    with pytest.raises(ModelError, match=r"a tensor 'w' of shape \(4, 6\); received one of shape \(24,\)"):
        take(state, "w", (4, 6))
