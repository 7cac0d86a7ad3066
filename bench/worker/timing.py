"""A warm worker: `python -P -m bench.worker.timing`, which times parts of trainings as often as it is asked.

Requests and answers go through the socket that is its standard input; when the other end is gone, it ends at once.
"""

from __future__ import annotations

import socket
import sys
import time
import traceback
from typing import TYPE_CHECKING

import msgspec

from bench.errors import BenchError
from bench.timings import TimingAnswer, TimingRequest
from bench.worker import launcher_watch, preload
from bench.worker.pinning import pin

if TYPE_CHECKING:
    from bench.records import Cell
    from bench.timings import Part
    from bench.worker.timed_parts import Timed

WARM_UP_ROUNDS = 2  # the first one traces and compiles, the second finds memory and caches as all others do


def main() -> None:
    """Answer requests until there are no more."""
    launcher_watch.watch()
    libraries = tuple(sys.argv[1:])
    timer: Timer | None = None
    with socket.socket(fileno=0) as channel, channel.makefile("rb") as requests:
        for line in requests:
            request = msgspec.json.decode(line, type=TimingRequest)
            try:
                if timer is None:  # TensorFlow starts its threads inside the mask
                    pin(request.cell.device)
                    preload.load(libraries)
                    timer = Timer(request)
                answer = timer.time(request)
            except Exception as error:  # noqa: BLE001 -- whatever it is, the one who asked must be told
                traceback.print_exc()
                told = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
                answer = TimingAnswer(problem=told)
            channel.sendall(msgspec.json.encode(answer) + b"\n")


class Timer:
    """Times parts of the trainings of one device.

    Args:
        request: The first one; its device and precision are this process's.
    """

    def __init__(self, request: TimingRequest) -> None:
        from bench.worker import runtime  # noqa: PLC0415 -- imports TensorFlow, once this process is pinned

        runtime.configure(request.cell.device, request.cell.precision, seed=0)
        self._synchronize = runtime.synchronize
        self._cell: Cell | None = None
        self._parts: dict[Part, Timed] = {}

    def time(self, request: TimingRequest) -> TimingAnswer:
        """Time the rounds, after the part was warmed up.

        Raises:
            BenchError: Model, data or device are not what the cell needs.
        """
        from bench.worker.timed_parts import timed_parts  # noqa: PLC0415 -- likewise

        if request.cell != self._cell:
            self._parts, self._cell = {}, None  # the other model goes before this one comes
            self._parts = timed_parts(request.cell, data_dir=request.data_dir)
            self._cell = request.cell
            self._warm: set[Part] = set()
        part = self._parts[request.part]
        if request.part not in self._warm:
            for _ in range(WARM_UP_ROUNDS):
                self._seconds(part)
            self._warm.add(request.part)
        return TimingAnswer(seconds=tuple(self._seconds(part) for _ in range(request.rounds)), batches=part.batches)

    def _seconds(self, part: Timed) -> float:
        part.prepare()
        self._synchronize()
        began_s = time.perf_counter()
        part.run()
        self._synchronize()
        return (time.perf_counter() - began_s) / part.batches


if __name__ == "__main__":
    main()
