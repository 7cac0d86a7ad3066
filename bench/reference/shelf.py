"""Where reference curves lie: those that are shipped, and the user's own; a JSON file each."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import StoreError, UsageError
from bench.reference.curve import SCHEMA, Merged, ReferenceCurve, merge
from bench.store import encode_pretty, hold, read_json, write_atomically

if TYPE_CHECKING:
    from collections.abc import Iterable

PATIENCE_S = 10.0
LARGEST_BYTES = 1_000_000  # a curve of a hundred epochs and ten seeds has 20,000
SHIPPED = Path(__file__).resolve().parent.parent / "references"


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A curve that lies in a file.

    Attributes:
        path: The file.
        curve: What it holds.
    """

    path: Path
    curve: ReferenceCurve

    @property
    def name(self) -> str:
        """As `reference list` shows it and `reference remove` takes it."""
        return self.path.stem

    @property
    def is_shipped(self) -> bool:
        """Whether it came with the program."""
        return self.path.parent.resolve() == SHIPPED


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """All curves that were found.

    Attributes:
        references: The user's own, then those that are shipped, by name.
        warnings: Files that were skipped, each with its reason.
    """

    references: tuple[Reference, ...]
    warnings: tuple[str, ...]

    @property
    def curves(self) -> tuple[ReferenceCurve, ...]:
        """What the files hold; measured curves of one key, the user's and a shipped one, are one."""
        merged: dict[str, ReferenceCurve] = {}
        published = []
        for reference in self.references:
            curve = reference.curve
            if curve.published:
                published.append(curve)
            else:
                merged[curve.key] = merge(merged[curve.key], curve).curve if curve.key in merged else curve
        return (*merged.values(), *published)


def user_folder() -> Path:
    """Return where this user's curves lie: `$HOURGLASS_REFERENCE_DIR`, else below the system's folder for data."""
    own = os.environ.get("HOURGLASS_REFERENCE_DIR")
    if own:
        return Path(own)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "hourglass" / "references"
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "hourglass" / "references"


def load(folders: Iterable[Path] | None = None) -> Shelf:
    """Read all curves; a file that cannot be read is named in a warning and skipped.

    Args:
        folders: Where to look. Defaults to `user_folder()` and what is shipped.
    """
    places = (user_folder(), SHIPPED) if folders is None else folders
    references, warnings = [], []
    for folder in dict.fromkeys(place.resolve() for place in places):
        for path in sorted(folder.glob("*.json")):
            try:
                references.append(Reference(path=path, curve=_read(path)))
            except (StoreError, RecursionError) as error:
                why = str(error) if isinstance(error, StoreError) else f"{path} is damaged: it is nested too deep"
                warnings.append(f"a reference curve is left out: {why}")
    return Shelf(references=tuple(references), warnings=tuple(warnings))


def put(curve: ReferenceCurve, folder: Path) -> tuple[Reference, Merged]:
    """Write a curve, or add its seeds to the one of the same key that lies there.

    Args:
        curve: The curve.
        folder: Where; it is made if it is not there.

    Returns:
        The curve as it lies there now, and what was added.

    Raises:
        StoreError: The folder cannot be written, or a file that the curve belongs into cannot be read.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}; choose another one by --to") from error
    # Two who add seeds to one curve at a time would lose those of one.
    with hold(folder, busy="another `reference add`; try again", elsewhere="a --to", patience_s=PATIENCE_S):
        return _put(curve, folder)


def _put(curve: ReferenceCurve, folder: Path) -> tuple[Reference, Merged]:
    present = next((one for one in load([folder]).references if one.curve.key == curve.key), None)
    if present is None:
        path = folder / f"{_name(curve)}.json"
        if path.exists():
            raise StoreError(f"{path} is in the way, and cannot be read as a curve; mend it, or move it away")
        merged = Merged(curve=curve, added=tuple(seed.seed for seed in curve.seeds))
    else:
        path = present.path
        merged = merge(present.curve, curve)
    if present is None or merged.curve != present.curve:
        write_atomically(path, encode_pretty(merged.curve))
    return Reference(path=path, curve=merged.curve), merged


def remove(name: str, folder: Path | None = None) -> Path:
    """Remove a curve of the user's, also one that cannot be read.

    Args:
        name: As `Reference.name` has it.
        folder: Where. Defaults to `user_folder()`.

    Returns:
        The file that is no more.

    Raises:
        UsageError: There is no such curve, or it is a shipped one.
        StoreError: The file cannot be removed.
    """
    place = user_folder() if folder is None else folder
    files = {path.stem: path for path in place.glob("*.json")}
    if name not in files:
        if name in {path.stem for path in SHIPPED.glob("*.json")}:
            raise UsageError(f"{name} came with the program; only curves that you added can be removed")
        near = get_close_matches(name, files, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise UsageError(f"no reference curve {name!r} of yours{hint}; `python -m bench reference list` lists them")
    try:
        files[name].unlink()
    except OSError as error:
        raise StoreError(f"{files[name]} cannot be removed: {error.strerror}") from error
    return files[name]


def _read(path: Path) -> ReferenceCurve:
    if not path.is_file() or path.stat().st_size > LARGEST_BYTES:
        raise StoreError(f"{path} is no reference curve: it is no file, or larger than {LARGEST_BYTES:,} bytes")
    schema = read_json(path, dict).get("schema")
    if not isinstance(schema, int):
        raise StoreError(f"{path} names no schema; received {schema!r}; it was not written by this program")
    if schema > SCHEMA:
        raise StoreError(
            f"{path} was written by a newer version (schema {schema}; this one reads up to {SCHEMA}); upgrade "
            "hourglass-bench to read it"
        )
    return read_json(path, ReferenceCurve)


def _name(curve: ReferenceCurve) -> str:
    """A file's name that tells what the curve is of; a part of the key keeps others apart."""
    said = f"{_slug(curve.model)}-{_slug(curve.dataset)}-batch-{curve.batch_size}-epochs-{curve.epochs}"
    return f"{said}-{curve.key[:8]}"


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:40] or "unnamed"
