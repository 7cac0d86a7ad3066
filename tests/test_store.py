"""The run folder: what was written stays readable, whatever happened to the disk or to the process that wrote."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import types
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench
from bench.config import PRESETS, RunConfig
from bench.errors import StoreError
from bench.peaks import DevicePeak
from bench.recipe import Positive, Recipe
from bench.records import SCHEMA, Event, Record, Result, Run, RunData, Sample, TrialData
from bench.store import (
    Journal,
    RunFolder,
    TrialFolder,
    checkpoint_file,
    encode_pretty,
    read_journal,
    read_json,
    read_run,
    write_atomically,
)
from records_for_tests import ok_trial, run_data, trial

FULL = Path("/dev/full")  # every write to it says that the disk is full


def make_run(path: Path, *trials: TrialData) -> RunFolder:
    """A run folder with nothing run."""
    return RunFolder.create(path, run_data(*trials).run)


def disk_full(*_: object) -> None:
    """What every call says when there is no space."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


# Writing.


@pytest.mark.parametrize("call", ["os.fsync", "pathlib.Path.replace"])
def test_a_full_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Any) -> None:
    """A file that cannot be written whole is what it was, nothing lies beside it, and the error says why."""
    path = tmp_path / "result.json"
    write_atomically(path, b"old")
    monkeypatch.setattr(call, disk_full)
    with pytest.raises(StoreError, match=r"result\.json cannot be written: No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_atomic_write_replaces_the_content_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the moment of renaming the old content stands; then the new one does, and it has reached the disk."""
    path = tmp_path / "result.json"
    write_atomically(path, b"old")
    seen: list[object] = []
    replace, fsync = Path.replace, os.fsync

    def synced(fd: int) -> None:
        fsync(fd)
        seen.append("synced")

    def watched(source: Path, target: Path) -> Path:
        seen.append((source.read_bytes(), target.read_bytes()))
        return replace(source, target)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr(Path, "replace", watched)
    write_atomically(path, b"new")
    assert seen == ["synced", (b"new", b"old")]
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_journal_on_a_full_disk_says_so(tmp_path: Path) -> None:
    """An event that cannot be appended is an error with the file's name and the system's reason."""
    path = tmp_path / "events.jsonl"
    path.symlink_to(FULL)
    journal = Journal(path)
    with pytest.raises(StoreError, match=r"events\.jsonl cannot be written: No space left"):
        journal.append(Sample(t_s=1.0))
    journal.close()


def test_a_line_that_was_written_in_part_is_not_glued_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk takes half a line, that is an error; once there is space again, the next record is whole."""
    journal = Journal(tmp_path / "samples.jsonl")
    write = os.write
    with monkeypatch.context() as patched:
        patched.setattr("os.write", lambda fd, data: write(fd, data[: len(data) // 2]))
        with pytest.raises(StoreError, match="free some space"):
            journal.append(Sample(t_s=1.0))
    journal.append(Sample(t_s=2.0))
    journal.append(Sample(t_s=3.0))
    journal.close()
    assert read_journal(journal.path, Sample) == ((Sample(t_s=2.0), Sample(t_s=3.0)), 1)


def test_half_a_line_of_a_killed_process_is_not_glued_to_the_next(tmp_path: Path) -> None:
    """A new process that appends leaves the damaged line alone; it is counted and costs no other record."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"t_s":1.0}\n{"t_s":2')
    assert read_journal(path, Sample) == ((Sample(t_s=1.0),), 1)
    journal = Journal(path)
    journal.append(Sample(t_s=3.0))
    journal.close()
    assert read_journal(path, Sample) == ((Sample(t_s=1.0), Sample(t_s=3.0)), 1)


@pytest.mark.parametrize("content", [b"", b'{"t_s":1.0}\n'])
def test_a_whole_journal_is_only_appended_to(tmp_path: Path, content: Any) -> None:
    """Opening one that ends with a line's end writes nothing."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(content)
    Journal(path).close()
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[1]", b'{"t_s":"soon"}', b'{"t_s":NaN}', b"\xff\xfe\x00", b'{"t_s":1,"x":' + b"[" * 100_000],
    ids=["empty", "null", "list", "wrong type", "not JSON", "binary", "nested too deeply"],
)
def test_a_damaged_line_costs_only_itself(tmp_path: Path, line: Any) -> None:
    """Whatever stands in a journal, the lines around it are read."""
    path = tmp_path / "samples.jsonl"
    path.write_bytes(b'{"t_s":1.0}\n' + line + b'\n{"t_s":2.0}\n')
    assert read_journal(path, Sample) == ((Sample(t_s=1.0), Sample(t_s=2.0)), 1)


def test_a_journal_that_was_never_written_is_empty(tmp_path: Path) -> None:
    """A trial that never ran has no events, and none are damaged."""
    assert read_journal(tmp_path / "events.jsonl", Sample) == ((), 0)


# Places that cannot be written. The tests may run as root, for whom permissions mean nothing: a folder below a file
# cannot be made by anybody.


def test_a_place_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    """Making a run or a trial, writing a file, opening a journal and locking each say which place and why."""
    in_the_way = tmp_path / "file"
    in_the_way.write_bytes(b"")
    below = in_the_way / "below"
    for write in (
        lambda: make_run(below, ok_trial(trial())),
        lambda: TrialFolder(below).create(trial()),
        lambda: write_atomically(below / "result.json", b""),
        lambda: Journal(below / "events.jsonl"),
        lambda: RunFolder(below).lock().__enter__(),
    ):
        with pytest.raises(StoreError, match=r"below.* cannot be written: .*[Dd]irectory"):
            write()
    assert in_the_way.read_bytes() == b""


def test_a_run_that_cannot_be_made_whole_leaves_nothing(tmp_path: Path) -> None:
    """A folder without its run.json is none to any command; the one that was there already is not touched."""

    def fill(_: RunFolder) -> None:
        raise StoreError("the disk is full")

    run = run_data(ok_trial(trial())).run
    with pytest.raises(StoreError, match="the disk is full"):
        RunFolder.create(tmp_path / "run", run, fill=fill)
    assert not (tmp_path / "run").exists()
    RunFolder.create(tmp_path / "run", run)
    with pytest.raises(StoreError, match="is there already"):
        RunFolder.create(tmp_path / "run", run, fill=fill)
    assert RunFolder.open(tmp_path / "run").read_run() == run


def test_a_run_is_never_written_over(tmp_path: Path) -> None:
    """A folder that holds a run is refused and stays as it was; the error names what to do instead."""
    folder = make_run(tmp_path / "run", ok_trial(trial()))
    before = folder.file.read_bytes()
    with pytest.raises(StoreError, match="is there already; choose another --name, or go on with it by --resume"):
        make_run(folder.path)
    assert folder.file.read_bytes() == before


# Reading back.


def test_a_whole_run_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    """Trials, events, samples and results come back equal, in the run's order; a trial without a result has none."""
    ran, waits = ok_trial(trial("small")), TrialData(trial=trial("large"))
    expected = run_data(ran, waits)
    folder = RunFolder.create(tmp_path / "reports" / "run", expected.run)
    place = folder.trial(ran.trial.key)
    events, samples = Journal(place.events), Journal(place.samples)
    for event in ran.events:
        events.append(event)
    events.sync()
    for sample in ran.samples:
        samples.append(sample)
    events.close()
    samples.close()
    assert ran.result is not None
    place.write_result(ran.result)
    assert read_run(folder.path) == expected
    assert RunFolder.open(folder.path).read_run() == expected.run
    assert place.read_trial() == ran.trial


def test_checkpoints_are_those_that_were_renamed_into_place(tmp_path: Path) -> None:
    """A half-written checkpoint, or a file of somebody else, is none."""
    folder = TrialFolder(tmp_path)
    assert folder.checkpoints() == frozenset()
    folder.checkpoint.mkdir()
    for name in (checkpoint_file(folder.checkpoint, 7).name, "epoch-123456.npz", "epoch-00009.part", "epoch-best.npz"):
        (folder.checkpoint / name).touch()
    assert folder.checkpoints() == {7, 123456}


def test_a_folder_without_a_run_is_called_so(tmp_path: Path) -> None:
    """A folder that holds something else, or nothing, is no run folder; the error says where to look."""
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(StoreError, match=r"is no run folder \(it has no run\.json\); `ls reports/`"):
            RunFolder.open(path)
        with pytest.raises(StoreError, match="is no run folder"):
            read_run(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged"),
        (b'{"schema": 1, "ver', "is damaged"),
        (b"\xff\xfe\x00", "is damaged"),
        (b"[]", "is damaged"),
        (b'{"schema": 1}', "is damaged.*missing required field"),
        (b"{}", "names no schema; received None"),
        (b'{"schema": "one"}', "names no schema; received 'one'"),
        (b'{"schema": 99, "version": "9.9", "all": "new"}', r"newer version \(9\.9, schema 99; .*upgrade"),
        (b'{"schema": 99}', r"newer version \(unknown, schema 99; .*upgrade"),
    ],
)
def test_a_run_that_cannot_be_understood_is_refused_with_the_reason(tmp_path: Path, content: Any, said: Any) -> None:
    """A damaged file, one of another program and one of a newer version are told apart."""
    folder = make_run(tmp_path / "run")
    folder.file.write_bytes(content)
    with pytest.raises(StoreError, match=rf"run\.json.* {said}"):
        RunFolder.open(folder.path)


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    """The error says which file is damaged; it is never taken for a trial that has not run."""
    folder = make_run(tmp_path / "run", ok_trial(trial()))
    place = folder.trial(trial().key)
    place.result.write_bytes(b'{"key": ')
    with pytest.raises(StoreError, match=r"result\.json is damaged"):
        read_run(folder.path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """The system's reason is said."""
    with pytest.raises(StoreError, match=r"trial\.json cannot be read: No such file"):
        read_json(tmp_path / "trial.json", Result)


# The lock.


def test_a_run_is_held_by_one_process_and_freed_when_that_dies(tmp_path: Path) -> None:
    """While another process holds the folder it is refused; kill -9 frees it."""
    folder = make_run(tmp_path / "run")
    code = (
        "import pathlib, sys; from bench.store import RunFolder\n"
        "with RunFolder(pathlib.Path(sys.argv[1])).lock(): print('held', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(bench.__file__).parent.parent)}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StoreError, match="in use by another run; wait for it, or choose another --name"):
            folder.lock().__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with folder.lock():
            pass


def test_the_lock_ends_with_its_block(tmp_path: Path) -> None:
    """A run that fails frees its folder."""
    folder = make_run(tmp_path / "run")

    def fail() -> None:
        with folder.lock():
            raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            fail()


def test_damaged_peaks_cost_no_run(tmp_path: Path) -> None:
    """What devices attain is read back, and a damaged file of it leaves the run readable without."""
    folder = make_run(tmp_path / "run", ok_trial(trial()))
    known = DevicePeak(machine="1a2b", device="cpu:2", precision="float32", jit="off", problem="the child was killed")
    folder.write_peaks([known])
    assert read_run(folder.path).peaks == (known,)
    folder.peaks.write_text("[{", encoding="utf-8")
    assert read_run(folder.path).peaks == ()


# The format.


def values(kind: Any) -> st.SearchStrategy[Any]:  # noqa: PLR0911 -- a table
    """Values of a record's field by its type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return st.sampled_from(arguments)
    if kind == Positive:
        return st.floats(min_value=0, exclude_min=True, allow_infinity=False)
    if origin is Annotated:
        return values(arguments[0])
    if origin in (Union, types.UnionType):
        return st.one_of(*map(values, arguments))
    if origin is tuple and arguments[-1] is ...:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is tuple:
        return st.tuples(*map(values, arguments))
    if origin is dict:
        return st.dictionaries(values(arguments[0]), values(arguments[1]), max_size=2)
    if isinstance(kind, type) and issubclass(kind, Record):
        fields = msgspec.structs.fields(kind)
        return st.builds(kind, **{field.name: values(field.type) for field in fields})
    return SIMPLE[kind]


SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(max_size=5),
    type(None): st.none(),
    Recipe: st.sampled_from([Recipe(), Recipe(optimizer="sgd", momentum=0.9, nesterov=True, batch_size=8)]),
    RunConfig: st.sampled_from([RunConfig(), *PRESETS.values(), RunConfig(model=("a", "b"), timeout=90.0)]),
}

# Of the run folder; reference curves, which other tests may have loaded, check their values and have their own tests.
KINDS = [
    kind
    for kind in Record.__subclasses__()
    if kind not in {RunData, TrialData} and not kind.__module__.startswith("bench.reference")
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=20)
@given(data=st.data())
def test_every_record_survives_the_disk(kind: Any, data: st.DataObject) -> None:
    """A record that is encoded and decoded is equal, on one line and indented."""
    record = data.draw(values(kind))
    encoded = msgspec.json.encode(record)
    assert b"\n" not in encoded
    assert msgspec.json.decode(encoded, type=kind) == record
    assert msgspec.json.decode(encode_pretty(record), type=kind) == record


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=5)
@given(data=st.data())
def test_a_field_of_a_later_version_is_ignored(kind: Any, data: st.DataObject) -> None:
    """A record that a later version of the same schema wrote, with a field that this one does not know, is read."""
    record = data.draw(values(kind))
    encoded = msgspec.json.encode(msgspec.to_builtins(record) | {"of_the_future": {"deep": [1]}})
    assert msgspec.json.decode(encoded, type=kind) == record


def test_a_run_of_a_later_version_with_the_same_schema_is_read(tmp_path: Path) -> None:
    """New fields of the run, its configuration and its host do no harm."""
    expected = run_data(ok_trial(trial())).run
    folder = RunFolder.create(tmp_path / "run", expected)
    content = msgspec.json.decode(folder.file.read_bytes())
    for place in (content, content["config"], content["host"]):
        place["of-the-future"] = True
    folder.file.write_bytes(msgspec.json.encode(content))
    assert RunFolder.open(folder.path).read_run() == expected


def test_every_event_is_known_by_its_tag() -> None:
    """The journal's union decodes each kind of event to itself."""
    kinds = get_args(Event)
    assert len({kind.__struct_config__.tag for kind in kinds}) == len(kinds)
    for kind in kinds:
        assert kind.__struct_config__.tag_field == "event"


def test_defaults_are_not_written() -> None:
    """What is not said takes no space, and a field that is added with a default changes no old record."""
    assert msgspec.json.encode(Sample(t_s=1.5)) == b'{"t_s":1.5}'
    assert msgspec.json.encode(Result(key="k", status="ok")) == b'{"key":"k","status":"ok"}'


def test_the_run_says_its_schema(tmp_path: Path) -> None:
    """The number by which later versions know how to read a run stands in its file."""
    folder = make_run(tmp_path / "run")
    assert msgspec.json.decode(folder.file.read_bytes())["schema"] == SCHEMA
    assert "schema" in Run.__struct_fields__
