"""What a run was made on and with, name by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bench.report.format import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.records import Run

LONGEST = 300  # letters of a value


def settings(run: Run) -> list[tuple[str, list[tuple[str, str]]]]:
    """The machine and what was asked for, as titles with names and values; what is empty or unknown is left out."""
    hosts = run.hosts or {"": run.host}
    return [
        *((f"Host {name}".strip(), list(_flat("", msgspec.to_builtins(host)))) for name, host in hosts.items()),
        ("Configuration", list(_flat("", msgspec.to_builtins(run.config)))),
    ]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:  # noqa: ANN401 -- what JSON can say
    match value:
        case dict():
            for key, inner in value.items():
                yield from _flat(f"{name} {key}".strip().replace("_", " "), inner)
        case [dict(), *_]:
            for number, inner in enumerate(value):
                yield from _flat(f"{name} {number}", inner)
        case None | "" | [] | ():
            return
        case list() | tuple():
            yield plain(name), plain(", ".join(map(str, value)))[:LONGEST]
        case _:
            yield plain(name), plain(str(value))[:LONGEST]
