"""What is asked of a warm worker that times parts of a training, and what it answers: a line of JSON each."""

from __future__ import annotations

from typing import Literal

from bench.record import Record
from bench.records import Cell

Part = Literal["training_step", "prediction", "input_pipeline"]
PARTS: tuple[Part, ...] = ("training_step", "prediction", "input_pipeline")


class TimingRequest(Record, frozen=True):
    """Time a part of a cell's training.

    Attributes:
        cell: What is trained; all that one worker is asked for are of one device, precision and oneDNN setting.
        part: A training step on images that are there, a prediction of as many, or the making of a batch.
        rounds: How often.
        data_dir: Where data sets lie, if not in the usual places.
    """

    cell: Cell
    part: Part
    rounds: int
    data_dir: str | None = None


class TimingAnswer(Record, frozen=True):
    """What the rounds took.

    Attributes:
        seconds: Of a batch, in each of them; empty if it could not be timed.
        batches: In a round.
        problem: Why not.
    """

    seconds: tuple[float, ...] = ()
    batches: float = 1.0
    problem: str = ""
