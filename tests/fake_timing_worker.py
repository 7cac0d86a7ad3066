"""A worker that answers requests to time something, or does not: `fake_timing_worker.py BEHAVIOUR`."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time

import msgspec

from bench.timings import TimingAnswer, TimingRequest


def main() -> None:
    """Answer as the behaviour says."""
    behaviour = sys.argv[1]
    with socket.socket(fileno=0) as channel, channel.makefile("rb") as requests:
        for number, line in enumerate(requests, start=1):
            request = msgspec.json.decode(line, type=TimingRequest)
            if behaviour == "crash" or (behaviour == "crash later" and number > 1):
                print("a last word")
                sys.exit(7)
            if behaviour == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if behaviour == "hang":
                time.sleep(600)
            if behaviour == "garbage":
                channel.sendall(b"\x00 what?\n")
                continue
            if behaviour == "slow":
                time.sleep(1)
            if behaviour == "problem":
                answer = TimingAnswer(problem="no such layer")
            elif behaviour == "short":
                answer = TimingAnswer(seconds=(0.5,) * (request.rounds + 1))
            else:
                answer = TimingAnswer(seconds=tuple(0.01 * (1 + round_) for round_ in range(request.rounds)))
            channel.sendall(msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    main()
