"""Ends this process, and what it started, as soon as the launcher that holds its standard input is gone."""

from __future__ import annotations

import os
import select
import signal
import threading

EXIT_ORPHANED = 3
_HANGUP = getattr(select, "POLLRDHUP", 0)  # macOS has no such event; POLLHUP is told whether it is asked for or not


def watch() -> None:
    """Watch from now on, in a thread of its own. What the launcher sends is left to whoever reads it."""
    threading.Thread(target=_end_with_launcher, name="launcher-watch", daemon=True).start()


def _end_with_launcher() -> None:
    poll = select.poll()
    poll.register(0, _HANGUP)
    poll.poll()
    if os.getpgrp() == os.getpid():  # the launcher gave it a group of its own: what it started ends with it
        os.killpg(0, signal.SIGKILL)
    os._exit(EXIT_ORPHANED)
