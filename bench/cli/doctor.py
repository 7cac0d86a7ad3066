"""`doctor`: why TensorFlow does or does not use the GPU."""

from __future__ import annotations

import sys
from typing import Annotated

import typer


def doctor(
    *,
    json: Annotated[bool, typer.Option("--json", help="Print all facts and the diagnosis as JSON.")] = False,
) -> None:
    """Find out whether TensorFlow uses the GPU, else the exact reason and its cure.

    Exit codes: 0 it computed on every visible GPU, 10 no hardware, 11 unsupported platform, 12 driver, 13 libraries,
    14 masked, 15 listed but its operation failed, 16 a probe crashed or did not end.
    """
    import msgspec

    from bench.cli.console import console
    from bench.cli.doctor_view import show
    from bench.hardware.doctor.examine import examine
    from bench.private import hide_home

    terminal = console()
    if json:
        checkup = examine()
        # To be passed on, so without the user's name; what the terminal shows is to be typed, so with whole paths.
        sys.stdout.write(hide_home(msgspec.json.format(msgspec.json.encode(checkup), indent=2).decode()) + "\n")
    else:
        with terminal.status("looking at the machine, then at what TensorFlow makes of it …"):
            checkup = examine()
        show(checkup, terminal)
    raise typer.Exit(checkup.diagnosis.exit_code)
