"""The run folder: lock, append, atomic write, read back.

    reports/<time>-<name>/
      run.json                 configuration, host, trials, schema version
      trials/<key>/trial.json  what was asked
                   events.jsonl, samples.jsonl   appended while it runs
                   result.json    how it ended; written under another name and renamed
                   predictions.npz, worker.log, checkpoint/
      report/                  can be made again from the above

What was written stays readable whatever happens next: journals grow by whole lines, everything else is renamed into
place after it has reached the disk.
"""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec
from filelock import FileLock, Timeout

from bench.errors import StoreError
from bench.new_folder import new_folder
from bench.peaks import DevicePeak
from bench.records import SCHEMA, Event, Result, Run, RunData, Sample, Trial, TrialData

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import BinaryIO

T = TypeVar("T")


class Journal:
    """Appends records to a file of JSON lines, one `write` a line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mend = b""
        with _storing(path):
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self._fd).st_size
            # A process that was killed while it wrote left half a line: the next record must not be glued to it.
            if size and os.pread(self._fd, 1, size - 1) != b"\n":
                os.write(self._fd, b"\n")

    def append(self, record: msgspec.Struct) -> None:
        """Write one record as a line.

        Raises:
            StoreError: The line could not be written whole.
        """
        line = self._mend + msgspec.json.encode(record) + b"\n"
        with _storing(self.path):
            if os.write(self._fd, line) != len(line):
                self._mend = b"\n"  # if space is freed, the next record must not be glued to this half
                raise StoreError(f"{self.path}: only a part of a line could be written; free some space and resume")
        self._mend = b""

    def sync(self) -> None:
        """Return when everything appended is on the disk, safe from a power cut."""
        with _storing(self.path):
            os.fsync(self._fd)

    def close(self) -> None:
        """Close the file; what was written is on its way to the disk."""
        os.close(self._fd)


class TrialFolder:
    """One trial's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.request = path / "trial.json"
        self.events = path / "events.jsonl"
        self.samples = path / "samples.jsonl"
        self.result = path / "result.json"
        self.predictions = path / "predictions.npz"
        self.log = path / "worker.log"
        self.checkpoint = path / "checkpoint"

    def create(self, trial: Trial) -> None:
        """Make the folder and write what is asked of the trial."""
        with _storing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.request, encode_pretty(trial))

    def read_trial(self) -> Trial:
        """Return what was asked."""
        return read_json(self.request, Trial)

    def read_events(self) -> tuple[tuple[Event, ...], int]:
        """Return the events and how many lines could not be read."""
        return read_journal(self.events, Event)  # type: ignore[arg-type]  # a union is a type to msgspec

    def read_samples(self) -> tuple[tuple[Sample, ...], int]:
        """Return the samples and how many lines could not be read."""
        return read_journal(self.samples, Sample)

    def read_result(self) -> Result | None:
        """Return how the trial ended, or None if that was never written."""
        return read_json(self.result, Result) if self.result.exists() else None

    def write_result(self, result: Result) -> None:
        """Write how the trial ended."""
        write_atomically(self.result, encode_pretty(result))

    def forget_result(self) -> None:
        """Remove how an earlier attempt ended: until the next one has ended too, there is no result."""
        with _storing(self.result):
            self.result.unlink(missing_ok=True)

    def checkpoints(self) -> frozenset[int]:
        """Return after how many finished epochs whole checkpoints were taken."""
        numbers = (path.stem.removeprefix("epoch-") for path in self.checkpoint.glob("epoch-*.npz"))
        return frozenset(int(number) for number in numbers if number.isdecimal())


class RunFolder:
    """A run's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.file = path / "run.json"
        self.report = path / "report"

    @classmethod
    def create(
        cls,
        path: Path,
        run: Run,
        *,
        refused: Iterable[Result] = (),
        fill: Callable[[RunFolder], None] | None = None,
    ) -> RunFolder:
        """Make a new run folder.

        Args:
            path: Where; it must not exist.
            run: What is asked for.
            refused: The results of trials that will not run.
            fill: Puts more into it, before it is whole.

        Raises:
            StoreError: There is one already, or the place cannot be written.
        """
        folder = cls(path)
        instead = f"choose another --name, or go on with it by --resume {path}"
        with _storing(path), new_folder(path, instead=instead):
            for trial in run.trials:
                folder.trial(trial.key).create(trial)
            for result in refused:
                folder.trial(result.key).write_result(result)
            if fill is not None:
                fill(folder)
            # Last: a folder with a run.json is whole, and what was refused stays refused.
            write_atomically(folder.file, encode_pretty(run))
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Open a run folder.

        Raises:
            StoreError: It is none, or not one that this version can read.
        """
        folder = cls(path)
        if not folder.file.is_file():
            raise StoreError(f"{path} is no run folder (it has no run.json); `ls reports/` shows yours")
        folder.read_run()
        return folder

    def read_run(self) -> Run:
        """Return the run as it was asked for."""
        head = read_json(self.file, dict)
        schema = head.get("schema")
        if not isinstance(schema, int):
            raise StoreError(f"{self.file} names no schema; received {schema!r}; it was not written by this program")
        if schema > SCHEMA:
            raise StoreError(
                f"{self.file} was written by a newer version ({head.get('version', 'unknown')}, schema {schema}; "
                f"this one reads up to {SCHEMA}); upgrade hourglass-bench to read it"
            )
        return read_json(self.file, Run)

    def update(self, run: Run) -> None:
        """Write the run anew: what is tried next in a search depends on what was found.

        Raises:
            StoreError: The folder cannot be written.
        """
        write_atomically(self.file, encode_pretty(run))

    @property
    def peaks(self) -> Path:
        """What the devices can attain at best."""
        return self.path / "peaks.json"

    def read_peaks(self) -> tuple[DevicePeak, ...]:
        """Return what the devices can attain at best; nothing where it was not measured.

        A file that is damaged counts as none: it can be measured again, and the trials are worth more than it is.
        """
        try:
            return read_json(self.peaks, tuple[DevicePeak, ...])
        except StoreError:
            return ()

    def write_peaks(self, peaks: Sequence[DevicePeak]) -> None:
        """Remember what the devices can attain at best.

        Raises:
            StoreError: The folder cannot be written.
        """
        write_atomically(self.peaks, encode_pretty(tuple(peaks)))

    def trial(self, key: str) -> TrialFolder:
        """Return the folder of the trial with this key."""
        return TrialFolder(self.path / "trials" / key)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for one process; the lock ends with the process, whatever ends it.

        Raises:
            StoreError: Another process holds it, or the place cannot be written.
        """
        with hold(self.path, busy="another run; wait for it, or choose another --name", elsewhere="an --out"):
            yield


def copy_trial(source: TrialFolder, target: TrialFolder, *, key: str) -> None:
    """Copy what a trial measured into a folder that was made for it under another key; checkpoints are left behind.

    Args:
        source: Where it is.
        target: Where it is to be.
        key: The trial's there.

    Raises:
        StoreError: It cannot be read or written.
    """
    copied = ("events", "samples", "predictions", "log")
    for file, copy in ((getattr(source, name), getattr(target, name)) for name in copied):
        if file.exists():
            try:
                content = file.open("rb")
            except OSError as error:
                raise StoreError(f"{file} cannot be read: {error.strerror}") from error
            with content, _storing(copy), copy.open("wb") as target_file:
                shutil.copyfileobj(content, target_file)
    result = source.read_result()
    if result is not None:
        target.write_result(msgspec.structs.replace(result, key=key))


@contextmanager
def hold(folder: Path, *, busy: str, elsewhere: str, patience_s: float = 0.0) -> Iterator[None]:
    """Hold a folder for one process; the lock ends with the process, whatever ends it.

    Args:
        folder: The folder.
        busy: Who else may hold it, and what to do then, in words.
        elsewhere: The flag that names another place, with its article.
        patience_s: How long to wait for another process. Defaults to 0.

    Raises:
        StoreError: Another process holds it, or the place cannot be written.
    """
    lock = FileLock(folder / ".lock", timeout=patience_s)
    with _storing(folder):
        try:
            lock.acquire()
        except Timeout:
            raise StoreError(f"{folder} is in use by {busy}") from None
        except NotImplementedError as error:
            raise StoreError(
                f"{folder} cannot be locked: {error}; choose {elsewhere} on a file system that has locks"
            ) from None
    try:
        yield
    finally:
        lock.release()


def checkpoint_file(folder: Path, epoch: int) -> Path:
    """Return where the state after `epoch` finished epochs lies; a file of that name is always whole."""
    return folder / f"epoch-{epoch:05d}.npz"


def read_run(path: Path) -> RunData:
    """Read everything that a run folder holds.

    Raises:
        StoreError: It is no run folder, or a file in it is not what it should be.
    """
    folder = RunFolder.open(path)
    run = folder.read_run()
    return RunData(
        run=run,
        trials=tuple(_read_trial(folder.trial(trial.key), trial) for trial in run.trials),
        peaks=folder.read_peaks(),
    )


def read_journal(path: Path, kind: type[T]) -> tuple[tuple[T, ...], int]:
    """Read a file of JSON lines; lines that cannot be read are counted, not fatal.

    Returns:
        The records, and the number of damaged lines. Both are empty for a file that was never written.
    """
    if not path.exists():
        return (), 0
    decoder = msgspec.json.Decoder(kind)
    records: list[T] = []
    damaged = 0
    for line in path.read_bytes().splitlines():
        try:
            records.append(decoder.decode(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            damaged += 1
    return tuple(records), damaged


def read_json(path: Path, kind: type[T]) -> T:
    """Read one JSON file as a type.

    Raises:
        StoreError: It cannot be read, or holds something else.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is damaged: {error}") from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a power cut, finds the old content or the new one.

    Raises:
        StoreError: The disk is full, or the place cannot be written; the old content is still there.
    """
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Yield a file that takes the place of `path` once it is whole and on the disk; see `write_atomically`."""
    staging = path.with_name(f".{path.name}.{os.getpid()}")
    with _storing(path):
        if not path.parent.exists():
            path.parent.mkdir()
        try:
            with staging.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            staging.replace(path)
        except BaseException:
            staging.unlink(missing_ok=True)
            raise


def encode_pretty(record: msgspec.Struct | tuple[msgspec.Struct, ...]) -> bytes:
    """Encode a record as indented JSON, for files that people open."""
    return msgspec.json.format(msgspec.json.encode(record), indent=2) + b"\n"


def _read_trial(folder: TrialFolder, trial: Trial) -> TrialData:
    events, damaged_events = folder.read_events()
    samples, damaged_samples = folder.read_samples()
    return TrialData(
        trial=trial,
        events=events,
        samples=samples,
        result=folder.read_result(),
        damaged_lines=damaged_events + damaged_samples,
    )


@contextmanager
def _storing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path} cannot be written: {error.strerror or error}; nothing that was written before is lost"
        ) from error
