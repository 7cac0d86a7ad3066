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

from bench.data import fetching
from bench.data.fetching import ensure, fetch
from bench.data.loading import load
from bench.data.sources import SOURCES
from bench.errors import DataError, UsageError
from bench.worker.download import kind_of


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

    monkeypatch.setattr(fetching.subprocess, "run", fail)
    with pytest.raises(DataError, match=message):
        fetch("mnist")


@pytest.mark.parametrize("name", ["synthetic", "cifar", "photos/"])
def test_what_cannot_be_fetched_is_refused(name):
    """What has no download is refused by `fetch`, with the names that have, and left alone by `ensure`."""
    with pytest.raises(UsageError, match="cifar100, cifar10, mnist, fashion_mnist"):
        fetch(name)
    ensure(name)
