"""The best setting that a tuning found, as a file that `run --config` takes."""

from __future__ import annotations

import json
import textwrap
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from bench.config import PRESETS, merge
from bench.report.format import plain
from bench.report.tuning import about_setting, measured_words, setting_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.analysis.tuned import Tuned
    from bench.records import Cell, Device, Run

WIDTH = 100
# They say where a run is written, not what is trained.
_LEFT_OUT = {"preset", "model", "name", "out", "host-name", "repeats", "order", "peak", "force"}


def bench_toml(run: Run, tuned: Tuned) -> str:
    """The fastest setting of the same arithmetic, with what was measured, where and when, as comments.

    A faster setting of another arithmetic stands beside it, commented out.

    Args:
        run: The tuning.
        tuned: What it found.

    Returns:
        TOML with the names of `RunConfig`.
    """
    said = _said(run, tuned.same.cell)
    tables = {name: value for name, value in said.items() if isinstance(value, dict)}
    # Tables come last: what is below one, also once it is no comment any more, belongs to it.
    names = [f"{name} = {_value(value)}" for name, value in said.items() if name not in tables]
    return "\n".join([*_comments(run, tuned), "", *names, *_alternative(tuned), *_tables(tables)]) + "\n"


def _comments(run: Run, tuned: Tuned) -> Iterator[str]:
    created = datetime.fromtimestamp(run.created_unix_s, tz=UTC)
    host = run.host
    machine = f"{host.cpu}, {host.usable_cores} of {host.physical_cores} cores usable"
    gpus = [gpu.name for gpu in host.gpus] if tuned.default.cell.device.kind == "gpu" else []
    versions = [f"{name} {host.packages[name]}" for name in ("tensorflow", "keras") if name in host.packages]
    yield from _comment(f"The fastest setting of {tuned.default.cell.model.name}, found by: {' '.join(run.command)}")
    yield from _comment(f"{created:%Y-%m-%d %H:%M} UTC on {', '.join([machine, *gpus, *versions])}; 90 % intervals.")
    for setting in tuned.settings:
        name = setting_words(setting.cell, tuned.default.cell)
        if setting.rate is not None:
            yield from _comment(f"  {name}: {measured_words(setting)}")


def _said(run: Run, cell: Cell) -> dict[str, Any]:
    """What the run asked for beyond its preset, with the setting in place of what was tuned."""
    config = run.config
    asked = _builtins(config)
    # A preset's limits are for its own data set: what it means is what it comes to with the one that was named.
    named = merge({"preset": config.preset, "dataset": config.dataset})
    preset = _builtins(named) | {"dataset": PRESETS[config.preset].dataset}
    beyond = {name: value for name, value in asked.items() if value != preset.get(name) and name not in _LEFT_OUT}
    model = config.model[0]
    place = cell.model.path if model.endswith(".py") else model
    return {"preset": config.preset, "model": [place]} | beyond | _tuned(cell)


def _tables(tables: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, table in tables.items():
        yield f"\n[{name}]"
        yield from (f"{key} = {_value(value)}" for key, value in table.items())


def _alternative(tuned: Tuned) -> Iterator[str]:
    if tuned.other is None:
        return
    yield ""
    yield from _comment(f"Faster, but it is another training, of another accuracy: {about_setting(tuned.other)}.")
    same, other = _tuned(tuned.same.cell), _tuned(tuned.other.cell)
    yield from (f"# {name} = {_value(value)}" for name, value in other.items() if value != same[name])


def _tuned(cell: Cell) -> dict[str, Any]:
    return {
        "device": [_request(cell.device)],
        "batch-size": [cell.batch_size],
        "steps-per-execution": cell.steps_per_execution,
        "precision": [cell.precision],
        "jit": [cell.jit],
        "onednn": [cell.onednn],
    }


def _request(device: Device) -> str:
    """The device as `--device` takes it; how many siblings there are follows from the machine."""
    return "cpu:smt" if device.siblings else device.label


def _builtins(config: msgspec.Struct) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(config)
    return {name: value for name, value in values.items() if value is not None}


def _value(value: object) -> str:
    """A value as TOML, which writes text, numbers and lists of them as JSON does, but for a sign."""
    return json.dumps(value, ensure_ascii=True).replace("\x7f", "\\u007f")


def _comment(text: str) -> list[str]:
    shown = plain(text)
    indent = "# " + " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(shown, WIDTH, initial_indent=indent, subsequent_indent=indent + "  ")
