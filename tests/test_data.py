"""Data sets are read as they are, or refused with a reason."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import bench
from bench.data.loading import load
from bench.data.order import permutation
from bench.data.sources import NAMES, SOURCES, find, folders, source_name
from bench.errors import DataError, UsageError

NUM_FINE, NUM_COARSE = 10, 5


@pytest.fixture(autouse=True)
def data_dir(tmp_path_factory, monkeypatch):
    """An empty data folder, and no other to be found."""
    folder = tmp_path_factory.mktemp("data")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    monkeypatch.setenv("HOURGLASS_DATA_DIR", str(folder))
    return folder


def cifar100_files(num_train=40, num_test=20):
    """The three dictionaries of a small CIFAR-100 whose every pixel tells the row that it stood in."""

    def batch(count):
        fine = [row % NUM_FINE for row in range(count)]
        pixels = np.repeat(np.arange(count, dtype=np.uint8)[:, None], 3072, axis=1)
        return {b"data": pixels, b"fine_labels": fine, b"coarse_labels": [label // 2 for label in fine]}

    meta = {
        b"fine_label_names": [b"fine%d" % label for label in range(NUM_FINE)],
        b"coarse_label_names": [b"coarse%d" % label for label in range(NUM_COARSE)],
    }
    return {"train": batch(num_train), "test": batch(num_test), "meta": meta}


def write_cifar100(data_dir, files):
    """Write them as they lie after extraction."""
    folder = data_dir / "cifar-100-python"
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(pickle.dumps(content))
    return folder


def write_cifar10(data_dir):
    """Write a small CIFAR-10, ten images a batch whose every pixel tells the batch."""
    folder = data_dir / "cifar-10-batches-py"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]):
        labels = [(number + i) % 10 for i in range(10)]
        pixels = np.full((10, 3072), number, np.uint8)
        (folder / name).write_bytes(pickle.dumps({b"data": pixels, b"labels": labels}))


def npz_arrays(**changes):
    """A small data set whose every pixel tells the row that it stood in, sorted by class."""
    arrays = {
        "x_train": np.repeat(np.arange(40, dtype=np.uint8), 4 * 4 * 3).reshape(40, 4, 4, 3),
        "y_train": np.repeat(np.arange(4), 10),
        "x_test": np.repeat(np.arange(20, dtype=np.uint8), 4 * 4 * 3).reshape(20, 4, 4, 3),
        "y_test": np.repeat(np.arange(4), 5),
    }
    return {key: value for key, value in (arrays | changes).items() if value is not None}


def write_npz(path, **changes):
    """Write the small data set, some of its arrays changed, or left out where they are None."""
    np.savez(path, **npz_arrays(**changes))
    return str(path)


def rows(images):
    """Which rows of the file the images stood in."""
    return images[:, 0, 0, 0].tolist()


def test_cifar100_keeps_pixels_with_their_labels(data_dir):
    """Each image keeps its label, its name and its group through decoding, mixing and the validation split."""
    write_cifar100(data_dir, cifar100_files())
    data = load("cifar100", validation=0.25)
    assert data.x_train.dtype == np.uint8
    assert data.y_train.dtype == np.int32
    assert data.spec.input_shape == (32, 32, 3)
    assert (data.spec.num_train, data.spec.num_validation, data.spec.num_test) == (30, 10, 20)
    assert sorted(rows(data.x_train) + rows(data.x_validation)) == list(range(40))
    for images, labels in ((data.x_train, data.y_train), (data.x_validation, data.y_validation)):
        assert [row % NUM_FINE for row in rows(images)] == labels.tolist()
    assert data.class_names[3] == "fine3"
    assert data.coarse_names == tuple(f"coarse{group}" for group in range(NUM_COARSE))
    assert data.coarse_of_fine == tuple(fine // 2 for fine in range(NUM_FINE))


def test_cifar100_channels_come_last(data_dir):
    """The three planes of a row become the three channels of its pixels."""
    files = cifar100_files()
    files["test"][b"data"] = np.tile(np.arange(3072) // 1024 * 100, (20, 1)).astype(np.uint8)
    files["test"][b"data"][:, 1] = 7  # second column of the first plane
    write_cifar100(data_dir, files)
    image = load("cifar100").x_test[0]
    assert image[0, 0].tolist() == [0, 100, 200]
    assert image[0, 1].tolist() == [7, 100, 200]


def test_coarse_cifar100_has_the_groups_as_classes(data_dir):
    """`cifar100:coarse` takes coarse labels and their names and has no groups of its own."""
    write_cifar100(data_dir, cifar100_files())
    data = load("cifar100:coarse")
    assert data.spec.name == "cifar100:coarse"
    assert data.spec.num_classes == NUM_COARSE
    assert [row % NUM_FINE // 2 for row in rows(data.x_test)] == data.y_test.tolist()
    assert data.coarse_names == data.coarse_of_fine == ()


def test_cifar100_is_found_in_each_form(data_dir):
    """The old folder, Keras 3's folder and the archive give the same data."""
    folder = write_cifar100(data_dir, cifar100_files())
    plain = load("cifar100").sha256
    with tarfile.open(data_dir / "cifar-100-python.tar.gz", "w:gz") as archive:
        archive.add(folder, "cifar-100-python")
    (data_dir / "cifar-100-python-target").mkdir()
    folder.rename(data_dir / "cifar-100-python-target" / "cifar-100-python")
    assert load("cifar100").sha256 == plain
    (data_dir / "cifar-100-python-target").rename(data_dir / "elsewhere")
    assert find("cifar100") == data_dir / "cifar-100-python.tar.gz"
    assert load("cifar100").sha256 == plain


def test_pickles_of_python_2_are_read(data_dir):
    """Arrays are read as Python 2 and an early NumPy pickled them, which is how CIFAR is published."""
    files = cifar100_files()
    folder = write_cifar100(data_dir, files)
    expected = load("cifar100").sha256
    pixels = files["test"][b"data"]
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntU\x01btR"
        b"(I1\n(I%d\nI3072\ntcnumpy\ndtype\n(U\x02u1I0\nI1\ntR(I3\nU\x01|NNNI-1\nI-1\nI0\ntbI00\nT%sS%stb"
    )
    array = array.replace(b"T%sS%s", b"T" + struct.pack("<I", pixels.size) + pixels.tobytes()).replace(b"%d", b"20")
    entries = b"U\x04data" + array
    for key in (b"fine_labels", b"coarse_labels"):
        entries += b"U" + bytes([len(key)]) + key + b"(" + b"".join(b"I%d\n" % i for i in files["test"][key]) + b"l"
    (folder / "test").write_bytes(b"\x80\x02}(" + entries + b"u.")
    assert load("cifar100").sha256 == expected


def test_other_content_is_used_with_a_warning(data_dir):
    """Files that are not the published ones are used, and said to be others."""
    write_cifar100(data_dir, cifar100_files())
    data = load("cifar100")
    assert data.official is False
    assert data.spec.official is False
    assert "not cifar100 as published" in data.warnings[0]


def test_published_content_is_official(data_dir, monkeypatch):
    """Files with the published digests are official and need no warning; one that differs is enough to lose that."""
    folder = write_cifar100(data_dir, cifar100_files())
    for name in ("train", "test", "meta"):
        assert load("cifar100").official is False
        digest = hashlib.md5((folder / name).read_bytes(), usedforsecurity=False).hexdigest()
        monkeypatch.setitem(SOURCES["cifar100"].digests, name, digest)
    data = load("cifar100")
    assert data.official is True
    assert data.warnings == ()


def test_pickle_that_runs_code_is_refused(data_dir, tmp_path):
    """A pickle that asks for anything but arrays is refused before it runs."""

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    files = cifar100_files()
    files["train"][b"data"] = Trap()
    write_cifar100(data_dir, files)
    with pytest.raises(DataError, match=r"train in .* asks for \w+\.mkdir"):
        load("cifar100")
    assert not (tmp_path / "sprung").exists()


def test_truncated_file_is_named(data_dir):
    """A file that was cut off is named, with the command that fetches it again."""
    folder = write_cifar100(data_dir, cifar100_files())
    content = (folder / "test").read_bytes()
    (folder / "test").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"test in .* is truncated or damaged .*bench fetch cifar100"):
        load("cifar100")


def test_truncated_archive_is_refused(data_dir):
    """An archive that was cut off is refused."""
    folder = write_cifar100(data_dir, cifar100_files())
    archive = data_dir / "cifar-100-python.tar.gz"
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, "cifar-100-python")
    archive.write_bytes(archive.read_bytes()[:300])
    folder.rename(data_dir / "elsewhere")
    with pytest.raises(DataError, match="truncated or damaged"):
        load("cifar100")


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("train", b"data", np.zeros((40, 100), np.uint8), r"must be uint8 of shape \(images, 3072\)"),
        ("train", b"data", np.zeros((40, 3072), np.float32), "received float32"),
        ("train", b"data", np.zeros((30, 3072), np.uint8), "30 images and 40 labels"),
        ("test", b"fine_labels", [NUM_FINE] * 20, "labels must be 0 to 9"),
        ("test", b"fine_labels", [-1] * 20, "received -1"),
        ("test", b"fine_labels", [2**40] * 20, "labels must be 0 to 9"),
        ("test", b"fine_labels", ["cat"] * 20, "must be one integer an image"),
        ("train", b"coarse_labels", list(range(5)) * 8, None),
        ("train", b"coarse_labels", [row // 20 for row in range(40)], "contradict"),
    ],
)
def test_wrong_content_is_refused(data_dir, name, key, value, message):
    """Wrong shapes, types, counts and labels each have their own message."""
    files = cifar100_files()
    files[name][key] = value
    write_cifar100(data_dir, files)
    if message is None:
        assert load("cifar100").coarse_of_fine == (0, 1, 2, 3, 4) * 2
    else:
        with pytest.raises(DataError, match=message):
            load("cifar100")


def test_missing_member_and_key_are_named(data_dir):
    """A folder without one of its files, and a file without one of its entries, say what is missing."""
    files = cifar100_files()
    del files["test"][b"data"]
    folder = write_cifar100(data_dir, files)
    with pytest.raises(DataError, match=r"test in .* has no 'data'"):
        load("cifar100")
    (folder / "meta").unlink()
    with pytest.raises(DataError, match="has no file 'meta'"):
        load("cifar100")


def test_missing_data_says_where_it_was_looked_for(data_dir, tmp_path):
    """Data that is not there is reported with all folders in their order, and with the command that fetches it."""
    with pytest.raises(DataError) as error:
        load("cifar100:coarse", data_dir=str(tmp_path / "mine"))
    message = str(error.value)
    keras_folder = f"{os.environ['KERAS_HOME']}/datasets"
    places = [message.index(place) for place in (str(tmp_path / "mine"), str(data_dir), keras_folder)]
    assert places == sorted(places)
    assert "python -m bench fetch cifar100`" in message


def test_data_dir_comes_first(data_dir, tmp_path):
    """A folder that the user names is looked in before the others."""
    mine = tmp_path / "mine"
    mine.mkdir()
    write_cifar100(data_dir, cifar100_files())
    write_cifar100(mine, cifar100_files(num_test=10))
    assert load("cifar100", data_dir=str(mine)).spec.num_test == 10
    assert load("cifar100").spec.num_test == 20


def test_folders_follow_keras(monkeypatch):
    """Without variables, Keras's own folder in the home folder is the place."""
    monkeypatch.delenv("KERAS_HOME")
    monkeypatch.delenv("HOURGLASS_DATA_DIR")
    assert [folder.parts[-2:] for folder in folders(None)] == [(".keras", "datasets")]


def test_cifar10_joins_its_batches(data_dir):
    """The five batches become one training split of ten named classes."""
    write_cifar10(data_dir)
    data = load("cifar10", validation=0)
    assert sorted(rows(data.x_train)) == sorted(list(range(5)) * 10)
    assert rows(data.x_test) == [5] * 10
    assert data.class_names[9] == "truck"
    assert data.official is False


def test_mnist_gets_a_channel(data_dir):
    """MNIST's images become 28x28x1 and its classes are the digits."""
    images = np.arange(20 * 784).astype(np.uint8).reshape(20, 28, 28)
    arrays = npz_arrays(x_train=images, y_train=np.arange(20) % 10, x_test=images, y_test=np.arange(20) % 10)
    np.savez(data_dir / "mnist.npz", **arrays)
    data = load("mnist")
    assert data.spec.input_shape == (28, 28, 1)
    assert data.class_names == tuple("0123456789")
    assert data.official is False


def write_fashion_mnist(data_dir, count=20):
    """Write a small Fashion-MNIST whose every pixel tells the row that it stood in."""
    folder = data_dir / "fashion-mnist"
    folder.mkdir()
    for part in ("train", "t10k"):
        images = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28) + bytes(i // 784 for i in range(count * 784))
        labels = struct.pack(">BBBBI", 0, 0, 8, 1, count) + bytes(i % 10 for i in range(count))
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    return folder


def test_fashion_mnist_is_read(data_dir):
    """The four IDX files become images with their labels."""
    write_fashion_mnist(data_dir)
    data = load("fashion_mnist")
    assert data.spec.input_shape == (28, 28, 1)
    assert [row % 10 for row in rows(data.x_test)] == data.y_test.tolist()
    assert data.class_names[9] == "Ankle boot"


def test_damaged_idx_file_is_named(data_dir):
    """A short, a cut off and a missing IDX file are each named."""
    folder = write_fashion_mnist(data_dir)
    path = folder / "t10k-images-idx3-ubyte.gz"
    whole = path.read_bytes()
    for content in (gzip.compress(gzip.decompress(whole)[:-5]), whole[:-20], b"", gzip.compress(b"\0")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"t10k-images.* is truncated or damaged"):
            load("fashion_mnist")
    path.unlink()
    with pytest.raises(DataError, match="has no file 't10k-images"):
        load("fashion_mnist")


def test_npz_is_read(tmp_path):
    """A file of arrays is read with its class names, or with numbers for names."""
    data = load(write_npz(tmp_path / "a.npz"))
    assert data.class_names == ("0", "1", "2", "3")
    assert data.official is None
    assert [row // 5 for row in rows(data.x_test)] == data.y_test.tolist()
    named = load(
        write_npz(tmp_path / "b.npz", class_names=np.array(["a", "b", "c", "d"]), y_test=np.zeros((20, 1), int))
    )
    assert named.class_names == ("a", "b", "c", "d")
    assert named.y_test.shape == (20,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "must hold the arrays x_train, y_train, x_test, y_test"),
        ({"x_train": np.zeros((40, 4, 4, 3))}, "train split: images must be uint8, 0 to 255; received float64"),
        ({"x_train": np.zeros((40, 4, 4, 4), np.uint8)}, "with 1 or 3 channels"),
        ({"x_test": np.zeros((20, 5, 4, 3), np.uint8)}, r"\(4, 4, 3\) to train and \(5, 4, 3\) to test"),
        ({"x_test": np.zeros((0, 4, 4, 3), np.uint8), "y_test": np.zeros(0, int)}, "at least one image"),
        ({"y_train": np.zeros(39, int)}, "40 images and 39 labels"),
        ({"y_train": np.zeros(40)}, "one integer an image; received float64"),
        ({"y_train": np.full(40, 4), "class_names": np.array(list("abcd"))}, "received 4 to 4"),
        ({"y_train": np.zeros(40, int), "y_test": np.zeros(20, int)}, "at least two classes"),
        ({"y_train": np.array([None] * 40)}, "no .npz file of plain arrays"),
    ],
)
def test_wrong_npz_is_refused(tmp_path, changes, message):
    """Each way in which the arrays can be wrong has its own message."""
    with pytest.raises(DataError, match=message):
        load(write_npz(tmp_path / "wrong.npz", **changes))


def test_damaged_npz_is_refused(tmp_path):
    """A file that is cut off, is no .npz file or is not there is named."""
    path = tmp_path / "a.npz"
    with pytest.raises(DataError, match="no file"):
        load(str(path))
    write_npz(path)
    for content in (path.read_bytes()[:-200], b"text", b""):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"a\.npz is truncated, damaged"):
            load(str(path))


def write_images(folder, counts, *, size=(6, 4), mode="RGB"):
    """Write so many images of each class, all different."""
    for label, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            colour = label * 50 + i if mode == "L" else (label * 50 + i, 1, 2)
            Image.new(mode, size, colour).save(folder / name / f"{i:03}.png")


def test_folder_of_splits_is_read(tmp_path):
    """`train/` and `test/` with one folder a class become the splits, the classes in alphabetical order."""
    write_images(tmp_path / "train", {"dog": 3, "cat": 2})
    write_images(tmp_path / "test", {"dog": 1, "cat": 1})
    (tmp_path / "train" / "dog" / "notes.txt").write_text("no image")
    data = load(f"{tmp_path}/", validation=0)
    assert data.class_names == ("cat", "dog")
    assert data.spec.input_shape == (4, 6, 3)
    assert sorted(zip(rows(data.x_train), data.y_train.tolist(), strict=True)) == [
        (0, 1), (1, 1), (2, 1), (50, 0), (51, 0),
    ]  # fmt: skip
    assert data.x_train[0, 0, 0, 1:].tolist() == [1, 2]


def test_folder_without_splits_is_divided_per_class(tmp_path):
    """A fifth of each class, and at least one image, becomes the test split, always the same ones."""
    write_images(tmp_path, {"a": 20, "b": 10, "c": 2}, mode="L")
    data = load(str(tmp_path), validation=0)
    assert np.bincount(data.y_test).tolist() == [4, 2, 1]
    assert np.bincount(data.y_train).tolist() == [16, 8, 1]
    assert data.spec.input_shape == (4, 6, 1)
    assert not set(rows(data.x_train)) & set(rows(data.x_test))
    assert load(str(tmp_path), validation=0).sha256 == data.sha256


def test_grey_among_coloured_images_becomes_coloured(tmp_path):
    """One coloured image is enough for three channels."""
    write_images(tmp_path, {"a": 3, "b": 3}, mode="L")
    Image.new("RGBA", (6, 4), (9, 8, 7, 255)).save(tmp_path / "b" / "000.png")
    assert load(str(tmp_path)).spec.input_shape == (4, 6, 3)


def test_images_of_other_size_are_named(tmp_path):
    """The first image that differs in size is named, with what to do."""
    write_images(tmp_path, {"a": 3, "b": 3})
    Image.new("RGB", (7, 4)).save(tmp_path / "b" / "001.png")
    with pytest.raises(DataError, match=r"b/001.png has 7x4 pixels and .*a/\d+.png has 6x4; .*resize"):
        load(str(tmp_path))


def test_bad_folders_are_refused(tmp_path):
    """An empty class, a class of one image, different classes, a damaged image and no class each have their message."""
    with pytest.raises(DataError, match="must hold one folder a class"):
        load(str(tmp_path))
    write_images(tmp_path / "x", {"a": 3, "b": 0})
    with pytest.raises(DataError, match="b holds no image"):
        load(str(tmp_path / "x"))
    write_images(tmp_path / "y", {"a": 3, "b": 1})
    with pytest.raises(DataError, match="b holds one image"):
        load(str(tmp_path / "y"))
    write_images(tmp_path / "z" / "train", {"a": 1, "b": 1})
    write_images(tmp_path / "z" / "test", {"a": 1})
    with pytest.raises(DataError, match="received 'b' in one of them only"):
        load(str(tmp_path / "z"))
    write_images(tmp_path / "w", {"a": 2, "b": 2}, size=(60, 60))
    path = tmp_path / "w" / "a" / "000.png"
    whole = path.read_bytes()
    for content, message in ((b"", "cannot be read as an image"), (whole[:-30], "is truncated or damaged")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            load(str(tmp_path / "w"))
    with pytest.raises(DataError, match="no folder"):
        load(f"{tmp_path}/missing/")


@pytest.mark.parametrize(("wrong", "right"), [("cifar-100", "cifar100"), ("cifar100:corse", "cifar100:coarse")])
def test_unknown_name_is_corrected(wrong, right):
    """An unknown name is answered with the nearest one and the command that lists them."""
    with pytest.raises(UsageError, match=rf"no dataset '{wrong}' \(did you mean '{right}'\?\).*python -m bench data"):
        load(wrong)


def test_limits_take_a_mixed_prefix(tmp_path):
    """A limit takes the first images of one fixed mixed order, of files that are sorted by class."""
    path = write_npz(tmp_path / "a.npz")
    some = load(path, limit_train=20, limit_test=8, validation=0)
    more = load(path, limit_train=30, limit_test=500, validation=0)
    assert rows(more.x_train)[:20] == rows(some.x_train)
    assert rows(more.x_test)[:8] == rows(some.x_test)
    assert len(set(some.y_train.tolist())) == 4
    assert more.spec.num_test == 20


@given(count=st.integers(0, 300))
def test_permutation_holds_each_index_once(count):
    """The mixed order is a permutation."""
    assert sorted(permutation(count).tolist()) == list(range(count))


def test_permutation_never_changes():
    """The mixed order of a run made today is that of one made years from now."""
    assert permutation(12).tolist() == [7, 0, 6, 4, 2, 8, 3, 11, 10, 5, 1, 9]


def test_validation_is_the_last_part(tmp_path):
    """Validation takes the rounded share, from the end, and at least one image unless it is 0."""
    path = write_npz(tmp_path / "a.npz")
    everything = rows(load(path, validation=0).x_train)
    for share, held_back in ((0.1, 4), (0.26, 10), (0.001, 1)):
        data = load(path, validation=share)
        assert rows(data.x_train) == everything[:-held_back]
        assert rows(data.x_validation) == everything[-held_back:]
    none = load(path, validation=0)
    assert none.x_validation.shape == (0, 4, 4, 3)
    assert none.spec.num_validation == 0


def test_impossible_options_are_refused(tmp_path):
    """Limits below 1, shares out of range, and a split that leaves nothing to train on are refused."""
    path = write_npz(tmp_path / "a.npz")
    for options in ({"limit_train": 0}, {"limit_test": -1}, {"validation": 1.0}, {"validation": -0.1}):
        with pytest.raises(UsageError, match="limits must be at least 1"):
            load(path, **options)
    with pytest.raises(DataError, match="leaves none to train on"):
        load(path, limit_train=1, validation=0.5)


def test_digest_tells_data_sets_apart(tmp_path):
    """The digest changes with a pixel, a label, a shape and a limit, and not with the validation share."""
    digests = [load(write_npz(tmp_path / "a.npz")).sha256]
    assert load(str(tmp_path / "a.npz"), validation=0.5).sha256 == digests[0]
    digests.append(load(str(tmp_path / "a.npz"), limit_test=19).sha256)
    pixels, labels = npz_arrays()["x_test"], npz_arrays()["y_train"]
    pixels[3, 2, 1, 0] ^= 1
    labels[0] = 3
    changes = [{"x_test": pixels}, {"y_train": labels}]
    changes.append({key: npz_arrays()[key].reshape(-1, 2, 8, 3) for key in ("x_train", "x_test")})
    digests += [load(write_npz(tmp_path / "b.npz", **change)).sha256 for change in changes]
    assert len(set(digests)) == 5


def test_listing_imports_no_numpy():
    """The `data` command's source answers without NumPy."""
    code = "import sys, bench.data.sources; sys.exit('numpy' in sys.modules)"
    assert (
        subprocess.run([sys.executable, "-c", code], cwd=Path(bench.__file__).parent.parent, check=False).returncode
        == 0
    )


def test_sources_agree_with_themselves():
    """Every name leads to a source, and each download goes to the place that is looked in first."""
    assert {source_name(name) for name in NAMES} == set(SOURCES)
    for source in SOURCES.values():
        assert find(source.name) is None
        for download in source.downloads:
            assert source.places[0].split("/")[0] in {download.filename, download.folder}
            assert len(download.digest) in {32, 64}
        assert bool(source.downloads) == (source.name != "synthetic") == bool(source.download_bytes)


def test_synthetic_has_names_and_groups():
    """The drawn data set comes with its 100 classes in 20 groups, as many images as were asked for."""
    data = load("synthetic", limit_train=600, limit_test=100)
    assert (data.spec.num_train, data.spec.num_validation, data.spec.num_test) == (540, 60, 100)
    assert (len(data.class_names), len(data.coarse_names)) == (100, 20)
    assert data.coarse_names[data.coarse_of_fine[57]] in data.class_names[57]


@pytest.mark.data
def test_real_cifar100(monkeypatch):
    """The real CIFAR-100 has 500 and 100 images a class, its known groups and plausible pixels."""
    monkeypatch.undo()
    if find("cifar100") is None:
        pytest.skip("no CIFAR-100 here; `python -m bench fetch cifar100` brings it")
    data = load("cifar100", validation=0)
    assert data.spec.input_shape == (32, 32, 3)
    assert np.bincount(data.y_train).tolist() == [500] * 100
    assert np.bincount(data.y_test).tolist() == [100] * 100
    groups = {data.class_names[fine]: data.coarse_names[group] for fine, group in enumerate(data.coarse_of_fine)}
    assert groups["apple"] == "fruit_and_vegetables"
    assert groups["maple_tree"] == "trees"
    means = data.x_train.mean(axis=(0, 1, 2)) / 255
    assert means == pytest.approx([0.5071, 0.4866, 0.4409], abs=1e-3)
