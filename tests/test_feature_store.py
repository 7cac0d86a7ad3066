"""Features on the disk: what was made safe is found, whatever happened since; memory and disk stay within bounds."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bench.errors import StoreError
from bench.worker import feature_store
from bench.worker.feature_store import FeatureStore, Part
from test_imports import HOUSE, modules_after

SHAPE = (3, 5)
ROW_BYTES = 60
COUNT = 40


@pytest.fixture
def features():
    """What a frozen part puts out for all images."""
    return np.random.default_rng(0).normal(size=(COUNT, *SHAPE)).astype(np.float32)


@pytest.fixture
def commits(monkeypatch):
    """Everything that is written is made safe at once."""
    monkeypatch.setattr(feature_store, "COMMIT_S", 0.0)


@pytest.fixture
def no_commits(monkeypatch):
    """Nothing is made safe before a part is whole."""
    monkeypatch.setattr(feature_store, "COMMIT_S", 1e9)


def open_part(folder, *, count=COUNT):
    """Return a part as a new process finds it."""
    return Part(folder, "training", count, SHAPE)


def complete(folder, features):
    """Write what is missing of a part, as a new process does; return at which row that began."""
    part = open_part(folder, count=len(features))
    began_at = part.progress.rows
    for start in range(began_at, len(features), 7):
        part.append(features[start : start + 7], 0.5)
    assert part.is_whole
    return began_at


def check(folder, features):
    """See that a new process finds the whole part, with these rows."""
    part = open_part(folder, count=len(features))
    assert part.is_whole
    assert part.missing_bytes == 0
    rows = part.rows()
    assert len(rows) == len(features)
    assert rows.shape == features.shape
    np.testing.assert_array_equal(rows.take(np.arange(len(features))), features)
    assert (folder / "training.f32").stat().st_size >= features.nbytes


def test_the_store_needs_no_tensorflow():
    """What features lie in can be read and tested without TensorFlow."""
    assert not modules_after("import bench.worker.feature_store") & {"tensorflow", "keras"}


# Writing and reading.


def test_what_was_written_is_read(tmp_path, features):
    """Rows come back in any order, repeated too, as copies, and in pieces of any size."""
    complete(tmp_path, features)
    check(tmp_path, features)
    rows = open_part(tmp_path).rows()
    for indices in ([7], [39, 0, 7, 7, 20], []):
        taken = rows.take(np.array(indices, np.int64))
        np.testing.assert_array_equal(taken, features[np.array(indices, np.int64)])
        assert (taken.dtype, taken.shape) == (np.float32, (len(indices), *SHAPE))
    taken = rows.take(np.array([3]))
    taken[:] = 0  # a copy: whoever changes it changes no feature
    for size in (1, 7, 40, 1000):
        chunks = list(rows.chunks(size))
        assert [len(chunk) for chunk in chunks[:-1]] == [size] * (len(chunks) - 1)
        np.testing.assert_array_equal(np.concatenate(chunks), features)
    chunks[0][:] = 0
    check(tmp_path, features)


def test_what_a_part_has_come_to_is_told(tmp_path, features, commits):
    """Rows, seconds and what is missing on the disk are known at every step, and to the next process."""
    part = open_part(tmp_path)
    assert (part.progress.rows, part.progress.seconds, part.missing_bytes) == (0, 0.0, COUNT * ROW_BYTES)
    part.append(features[:30], 1.5)
    part.append(features[30:36], 0.25)
    for seen in (part, open_part(tmp_path)):
        assert (seen.progress.rows, seen.progress.seconds) == (36, 1.75)
        assert seen.missing_bytes == 4 * ROW_BYTES
        assert not seen.is_whole


def test_rows_that_lie_apart_in_memory_are_written_as_they_read(tmp_path, features):
    """What is appended may be a view, or of another float type."""
    part = open_part(tmp_path)
    part.append(features[::-1][:20].astype(np.float64), 0.1)
    part.append(features[:20][::-1], 0.1)
    check(tmp_path, features[::-1])


# Taking up what an earlier process left.


def test_a_part_is_taken_up_where_it_was_made_safe(tmp_path, features, commits):
    """The next process goes on behind the last row that was made safe."""
    open_part(tmp_path).append(features[:11], 1.0)
    assert complete(tmp_path, features) == 11
    check(tmp_path, features)
    assert open_part(tmp_path).progress.seconds == 1.0 + 5 * 0.5


def test_rows_since_the_last_commit_are_lost(tmp_path, features, no_commits):
    """What was not made safe is done again, and what stands in the file of it does no harm."""
    part = open_part(tmp_path)
    part._committed_s = -1e10
    part.append(features[:11], 1.0)
    part.append(np.full_like(features[:9], np.nan), 1.0)
    assert part.progress.rows == 20
    assert open_part(tmp_path).progress.rows == 11
    assert complete(tmp_path, features) == 11
    check(tmp_path, features)


def test_rows_are_made_safe_from_time_to_time(tmp_path, features, monkeypatch):
    """A commit comes once enough time has passed since the last one, and when the part is whole."""
    monkeypatch.setattr(feature_store, "COMMIT_S", 0.1)
    part = open_part(tmp_path)
    part.append(features[:5], 1.0)
    assert open_part(tmp_path).progress.rows == 0
    time.sleep(0.11)
    part.append(features[5:9], 1.0)
    assert open_part(tmp_path).progress.rows == 9
    part.append(features[9:], 1.0)
    assert open_part(tmp_path).is_whole


def head_of(rows, seconds=1.0):
    """What a JSON file says."""
    return f'{{"rows": {rows}, "seconds": {seconds}}}'.encode()


DAMAGES = {
    "data cut within a row": (10 * ROW_BYTES - 7, head_of(10), 0),
    "data cut by rows": (4 * ROW_BYTES, head_of(10), 0),
    "data longer by rows and a half": (16 * ROW_BYTES + 30, head_of(10), 10),
    "data longer by a byte": (10 * ROW_BYTES + 1, head_of(10), 10),
    "no data": (None, head_of(10), 0),
    "empty data": (0, head_of(10), 0),
    "no JSON": (10 * ROW_BYTES, None, 0),
    "empty JSON": (10 * ROW_BYTES, b"", 0),
    "half of JSON": (10 * ROW_BYTES, head_of(10)[:9], 0),
    "other JSON": (10 * ROW_BYTES, b"[1, 2]", 0),
    "binary JSON": (10 * ROW_BYTES, b"\xff\x00\xfe", 0),
    "rows are no number": (10 * ROW_BYTES, b'{"rows": "ten", "seconds": 1.0}', 0),
    "fewer rows than none": (10 * ROW_BYTES, head_of(-1), 0),
    "more rows than images": (60 * ROW_BYTES, head_of(60), 0),
    "nothing safe yet": (3 * ROW_BYTES, head_of(0, 0.0), 0),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_process_that_was_killed_anywhere_costs_no_right_row(tmp_path, features, damage):
    """Whatever lies there, the next process begins at a row before which all are right, and ends with all of them."""
    data_bytes, head, begins_at = DAMAGES[damage]
    if data_bytes is not None:
        whole = np.concatenate([features[:10], np.full((60, *SHAPE), np.nan, np.float32)]).tobytes()
        (tmp_path / "training.f32").write_bytes(whole[:data_bytes])
    if head is not None:
        (tmp_path / "training.json").write_bytes(head)
    assert complete(tmp_path, features) == begins_at
    check(tmp_path, features)
    assert (tmp_path / "training.f32").stat().st_size == features.nbytes


def test_a_whole_part_with_more_behind_it_is_read(tmp_path, features):
    """Bytes behind the last row, not even a whole number, are left alone."""
    complete(tmp_path, features)
    with (tmp_path / "training.f32").open("ab") as file:
        file.write(b"abc")
    check(tmp_path, features)


def test_a_part_that_is_begun_anew_claims_nothing_old(tmp_path, features, no_commits):
    """While its first rows are not safe yet, no old JSON vouches for them: a power cut may leave anything there."""
    (tmp_path / "training.f32").write_bytes(features[:4].tobytes())
    (tmp_path / "training.json").write_bytes(head_of(10))
    open_part(tmp_path).append(features[:20], 1.0)
    assert open_part(tmp_path).progress.rows == 0


WRITER = """
import sys
from pathlib import Path
import numpy as np
from bench.worker import feature_store
feature_store.COMMIT_S = 0.01
part = feature_store.Part(Path(sys.argv[1]), "training", 1_000_000, (3, 5))
print("begins", flush=True)
while True:
    at = part.progress.rows
    part.append(np.arange(at * 15, (at + 3) * 15, dtype=np.float32).reshape(3, 3, 5), 0.001)
"""


def test_killed_while_it_writes(tmp_path):
    """A process killed by SIGKILL at any time leaves rows that are right; the next ones go on behind them."""
    found = [0]
    for delay_s in (0.0, 0.03, 0.07):
        command = [sys.executable, "-P", "-c", WRITER, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, env={"PYTHONPATH": str(HOUSE.parent)}) as writer:
            writer.stdout.readline()
            while open_part(tmp_path, count=1_000_000).progress.rows == found[-1] and writer.poll() is None:
                time.sleep(0.01)
            time.sleep(delay_s)
            writer.send_signal(signal.SIGKILL)
        found.append(open_part(tmp_path, count=1_000_000).progress.rows)
        stored = np.fromfile(tmp_path / "training.f32", np.float32)
        np.testing.assert_array_equal(stored[: found[-1] * 15], np.arange(found[-1] * 15, dtype=np.float32))
    assert found == sorted(set(found))


# A disk that is full.


@contextmanager
def largest_file(size_bytes):
    """No file grows beyond a size, as on a disk that is full; Python ignores the signal and sees an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("width", [5, 5000], ids=["seen when the file is closed", "seen at once"])
def test_a_full_disk_costs_nothing_that_was_safe(tmp_path, commits, width):
    """The error names the place and the variable; what was safe is there, for this process and for the next one."""
    features = np.random.default_rng(0).normal(size=(20, width)).astype(np.float32)

    def wide_part():
        return Part(tmp_path, "training", 20, (width,))

    part = wide_part()
    part.append(features[:10], 1.0)
    with largest_file(14 * width * 4 + 2), pytest.raises(StoreError, match="HOURGLASS_CACHE_DIR") as caught:
        part.append(features[10:18], 1.0)
    assert str(tmp_path / "training.f32") in str(caught.value)
    assert part.progress.rows == wide_part().progress.rows == 10
    assert part.missing_bytes == 10 * width * 4
    # Somebody made room.
    part.append(features[10:18], 1.0)
    part = wide_part()
    assert part.progress.rows == 18
    part.append(features[18:], 1.0)
    np.testing.assert_array_equal(part.rows().take(np.arange(20)), features)


def test_a_disk_that_is_full_when_rows_are_made_safe_says_so_too(tmp_path, features, commits, monkeypatch):
    """If there is no room for the JSON either, the error is the same, and what was safe before still is."""
    part = open_part(tmp_path)
    part.append(features[:10], 1.0)

    def refuse(self, target):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(Path, "replace", refuse)
        with pytest.raises(StoreError, match="HOURGLASS_CACHE_DIR") as caught:
            part.append(features[10:20], 1.0)
    assert os.strerror(errno.ENOSPC) in str(caught.value)
    assert open_part(tmp_path).progress.rows == 10
    assert complete(tmp_path, features) == 10
    check(tmp_path, features)


def test_a_place_that_cannot_be_written_is_said(tmp_path):
    """Where no folder can be made, the error names the place and the variable."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match=r"file/features/abc cannot be written: .*HOURGLASS_CACHE_DIR"):
        FeatureStore(tmp_path / "file" / "features", "abc")


# Room for others.

LONG_AGO_S = 10 * feature_store.IN_USE_S


def remembered(cache, name, *, size_bytes, age_s=LONG_AGO_S):
    """Make features that were last used so long ago."""
    folder = cache / name
    folder.mkdir(parents=True)
    (folder / "training.f32").write_bytes(bytes(size_bytes))
    (folder / "training.json").write_bytes(head_of(1))
    then = time.time() - age_s
    os.utime(folder, (then, then))
    return folder


def set_free(monkeypatch, cache, capacity_bytes):
    """Let the disk have so many bytes for the cache, and let it be asked after every removal."""

    def usage(_):
        used = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
        return SimpleNamespace(total=capacity_bytes, used=used, free=capacity_bytes - used)

    monkeypatch.setattr(shutil, "disk_usage", usage)


def names(cache):
    """What is still remembered."""
    return {path.name for path in cache.iterdir()}


def test_features_that_were_not_used_longest_go_first(tmp_path, monkeypatch):
    """Just as many are removed as all together may not take, the oldest first."""
    monkeypatch.setattr(feature_store, "LARGEST_BYTES", 10_000)
    for name, age in {"old": 4, "older": 5, "oldest": 6, "recent": 3}.items():
        remembered(tmp_path, name, size_bytes=2000, age_s=age * LONG_AGO_S)
    store = FeatureStore(tmp_path, "own")
    store.make_room(5000)
    assert names(tmp_path) == {"own", "old", "recent"}
    store.make_room(1)
    assert names(tmp_path) == {"own", "old", "recent"}


def test_features_make_room_on_a_full_disk(tmp_path, monkeypatch):
    """Where the disk is nearly full, old features are removed until the new ones fit beside what others need."""
    for age in (3, 4, 5):
        remembered(tmp_path, f"age {age}", size_bytes=2000, age_s=age * LONG_AGO_S)
    set_free(monkeypatch, tmp_path, feature_store.SPARE_BYTES + 7000)
    FeatureStore(tmp_path, "own").make_room(3500)
    assert names(tmp_path) == {"own", "age 3"}


def test_what_is_used_is_not_removed(tmp_path, monkeypatch):
    """However much is needed, neither the store's own features go nor those that others used a moment ago."""
    own = remembered(tmp_path, "own", size_bytes=3000)
    remembered(tmp_path, "in use", size_bytes=3000, age_s=0.5 * feature_store.IN_USE_S)
    remembered(tmp_path, "old", size_bytes=3000)
    store = FeatureStore(tmp_path, "own")
    then = time.time() - 100 * LONG_AGO_S
    os.utime(own, (then, then))
    set_free(monkeypatch, tmp_path, 8000)
    with pytest.raises(StoreError, match="HOURGLASS_CACHE_DIR"):
        store.make_room(100_000)
    assert names(tmp_path) == {"own", "in use"}
    assert {path.name for path in own.iterdir()} == {"training.f32", "training.json"}


def test_features_in_use_count_as_well(tmp_path, monkeypatch):
    """What another process uses is part of what all may take, so that others go for it."""
    monkeypatch.setattr(feature_store, "LARGEST_BYTES", 10_000)
    remembered(tmp_path, "in use", size_bytes=7000, age_s=0.0)
    remembered(tmp_path, "old", size_bytes=2000)
    FeatureStore(tmp_path, "own").make_room(2000)
    assert names(tmp_path) == {"own", "in use"}


def test_to_open_features_is_to_use_them(tmp_path, monkeypatch):
    """Features that are found again are the last to go."""
    monkeypatch.setattr(feature_store, "LARGEST_BYTES", 5000)
    for name, age in {"found again": 9, "old": 3}.items():
        remembered(tmp_path, name, size_bytes=2000, age_s=age * LONG_AGO_S)
    FeatureStore(tmp_path, "found again")
    FeatureStore(tmp_path, "own").make_room(2000)
    assert names(tmp_path) == {"own", "found again"}


def test_where_nothing_is_needed_nothing_is_removed(tmp_path, monkeypatch):
    """A store whose features are all there is usable on a full disk, and costs no other anything."""
    remembered(tmp_path, "old", size_bytes=2000)
    store = FeatureStore(tmp_path, "own")
    set_free(monkeypatch, tmp_path, 3000)
    store.make_room(0)
    assert names(tmp_path) == {"own", "old"}


def test_a_disk_that_is_too_small_is_said_with_figures(tmp_path, monkeypatch):
    """What does not fit is refused before it is computed, with what is needed, what is free and the variable."""
    store = FeatureStore(tmp_path, "own")
    set_free(monkeypatch, tmp_path, 2_100_000_000)
    store.make_room(1_500_000_000)
    with pytest.raises(StoreError, match=r"takes 1\.7 GB in .*own, where 2\.1 GB are free.*HOURGLASS_CACHE_DIR"):
        store.make_room(1_700_000_000)


def test_what_vanishes_meanwhile_does_not_count(tmp_path, monkeypatch):
    """Another process may remove files and folders at the same time."""
    monkeypatch.setattr(feature_store, "LARGEST_BYTES", 3000)
    old = remembered(tmp_path, "old", size_bytes=2000)
    (old / "gone").symlink_to(tmp_path / "nowhere")  # looks like a file that vanishes between two looks
    then = time.time() - LONG_AGO_S
    os.utime(old, (then, then))
    (tmp_path / "stray file").touch()
    store = FeatureStore(tmp_path, "own")
    is_dir = Path.is_dir

    def vanish(path):
        was_there = is_dir(path)
        if path.name == "vanishes":
            shutil.rmtree(path)
        return was_there

    remembered(tmp_path, "vanishes", size_bytes=1)
    monkeypatch.setattr(Path, "is_dir", vanish)
    store.make_room(2500)
    assert names(tmp_path) == {"own", "stray file"}


def test_rows_that_are_removed_while_they_are_read_can_still_be_read(tmp_path, features):
    """Who has features open keeps them, until the end."""
    store = FeatureStore(tmp_path, "own")
    complete(store.folder, features)
    rows = store.part("training", COUNT, SHAPE).rows()
    shutil.rmtree(store.folder)
    np.testing.assert_array_equal(rows.take(np.arange(COUNT)), features)
    np.testing.assert_array_equal(np.concatenate(list(rows.chunks(9))), features)


# Others who want the same.


def test_two_who_want_the_same_features_write_one_after_the_other(tmp_path):
    """The second one waits, as long as it has patience, and then says who has them."""
    first, second = FeatureStore(tmp_path, "own"), FeatureStore(tmp_path, "own")
    with first.lock(patience_s=0.0):
        with pytest.raises(StoreError, match="another run, which computes the same features"):
            second.lock(patience_s=0.1).__enter__()
        with FeatureStore(tmp_path, "other").lock(patience_s=0.0):
            pass
    held, released = threading.Event(), []

    def hold_for_a_moment():
        with first.lock(patience_s=0.0):
            held.set()
            time.sleep(0.2)
            released.append(True)

    holder = threading.Thread(target=hold_for_a_moment)
    holder.start()
    held.wait()
    with second.lock(patience_s=30.0):
        assert released
    holder.join()


# Memory.


def file_pages_bytes():
    """Pages of files that stand in this process's memory."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssFile:"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_reading_leaves_no_more_in_memory_than_is_allowed(tmp_path, monkeypatch):
    """However many rows are read, in any order, only so much of a large file stands in the process's memory."""
    monkeypatch.setattr(feature_store, "MAPPED_BYTES", 4_000_000)
    width, count = 1000, 24_000
    part = Part(tmp_path, "training", count, (width,))
    for _ in range(6):
        part.append(np.ones((4000, width), np.float32), 1.0)
    rows = part.rows()
    before_bytes = file_pages_bytes()
    most_bytes = 0
    order = np.random.default_rng(0).permutation(count)
    for start in range(0, count, 256):
        assert rows.take(order[start : start + 256]).min() == 1.0
        most_bytes = max(most_bytes, file_pages_bytes())
    for chunk in rows.chunks(1000):
        assert chunk.min() == 1.0
        most_bytes = max(most_bytes, file_pages_bytes())
    assert most_bytes - before_bytes < 3 * 4_000_000


def test_a_small_file_is_read_through_memory(tmp_path, features):
    """Rows of a file that may stand in memory are taken from there: nothing is read from the file for each of them."""
    complete(tmp_path, features)
    rows = open_part(tmp_path).rows()
    (tmp_path / "training.f32").write_bytes((2 * features).tobytes())
    np.testing.assert_array_equal(rows.take(np.arange(COUNT)), 2 * features)


def test_a_file_that_ends_too_soon_is_said(tmp_path, features, monkeypatch):
    """Rows that cannot be read whole are an error, not whatever stood in memory."""
    monkeypatch.setattr(feature_store, "MAPPED_BYTES", 0)
    complete(tmp_path, features)
    rows = open_part(tmp_path).rows()
    np.testing.assert_array_equal(rows.take(np.arange(COUNT)), features)
    os.truncate(tmp_path / "training.f32", 10 * ROW_BYTES)
    with pytest.raises(StoreError, match="ends"):
        rows.take(np.arange(COUNT))
