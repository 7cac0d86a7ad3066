"""What is written while a trial runs: the lines of its `events.jsonl`.

Every time that ends in `t_s`, `start_s` or `end_s` is on the *trial's clock*: seconds since the trial's process was
started. A trial that was interrupted and taken up again goes on at the time of its last finished epoch, so that work
which was lost is counted once.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from bench.record import Record

Status = Literal[
    "ok", "diverged", "hopeless", "oom_host", "oom_gpu", "timeout", "killed", "failed", "skipped", "interrupted"
]
Phase = Literal[
    "import", "data", "build", "compile", "probe", "features", "warmup", "train", "validate", "test", "checkpoint"
]


class Attempt(Record, frozen=True, tag="attempt", tag_field="event"):
    """A process begins on the trial; events of earlier attempts after `offset_s` are lost work.

    `machine` is a digest of the machine that it runs on, empty where that was not recorded.
    """

    number: int
    unix_s: float
    offset_s: float = 0.0
    epochs_done: int = 0
    machine: str = ""


class Runtime(Record, frozen=True, tag="runtime", tag_field="event"):
    """What the worker really got.

    Attributes:
        versions: Of Python, TensorFlow, Keras and NumPy.
        intra_threads: Size of TensorFlow's intra-op pool, as TensorFlow reports it.
        inter_threads: Size of its inter-op pool.
        cpus: The process's affinity after pinning; empty where it cannot be read.
        threads_used: Threads that did work in a convolution; None if it could not be seen.
        devices: TensorFlow's names of the devices that the trial trains on.
        tensor_float_32: Whether float32 products are rounded to TF32, TensorFlow's default on newer GPUs.
        environment: Variables that were set and can change results or speed.
        preloaded: Paths of the CUDA libraries that were loaded before TensorFlow was imported.
        not_preloaded: Paths of those that could not be, and why; TensorFlow was left to find others.
        onednn: Whether TensorFlow computes with oneDNN's kernels on the CPU; None if this build does not tell.
        xla: What XLA compiles: nothing, because this build is without it (`absent`); what is asked for (`asked`); or
            whatever it chooses (`auto`, TensorFlow's auto-clustering).
    """

    versions: dict[str, str]
    intra_threads: int
    inter_threads: int
    cpus: tuple[int, ...]
    threads_used: int | None
    devices: tuple[str, ...]
    tensor_float_32: bool = False
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    preloaded: tuple[str, ...] = ()
    not_preloaded: dict[str, str] = msgspec.field(default_factory=dict)
    onednn: bool | None = None
    xla: Literal["absent", "asked", "auto"] | None = None


class Built(Record, frozen=True, tag="built", tag_field="event"):
    """The model as it was built."""

    parameters: int
    trainable_parameters: int
    output: Literal["logits", "softmax"]


class PhaseDone(Record, frozen=True, tag="phase", tag_field="event"):
    """A phase ended, devices synchronised; `epoch` counts from 1 where the phase belongs to one."""

    phase: Phase
    start_s: float
    end_s: float
    epoch: int | None = None


class Steps(Record, frozen=True, tag="steps", tag_field="event"):
    """Blocks of training steps: `counts[i]` steps ended at `ends_s[i]`; the first block starts at `start_s`.

    `image_height` is that of the images in a stage of smaller ones, in pixels; None where they have their own size.
    """

    epoch: int
    start_s: float
    counts: tuple[int, ...]
    ends_s: tuple[float, ...]
    images: int
    image_height: int | None = None


class Epoch(Record, frozen=True, tag="epoch", tag_field="event"):
    """An epoch ended; it is finished when its checkpoint, which comes next, is on disk.

    Accuracies are shares of 1, losses are nats. `images` are fewer than the training split has where a budget ended the
    training within the epoch, and `last` says that one did so in or after it. `data_wait_s` is how long training waited
    for its batches; None where that cannot be seen, with several devices. `learning_rate` is that of the last step. Of
    a linear probe an epoch is a strength of regularisation, its `images` are those of all passes, and the figures are
    those of the best one so far, whose strength is `l2`.
    """

    epoch: int
    end_s: float
    images: int
    loss: float
    accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    data_wait_s: float | None = None
    learning_rate: float | None = None
    last: bool = False
    l2: float | None = None


class Flops(Record, frozen=True, tag="flops", tag_field="event"):
    """The arithmetic of the model as it trains, counted in its graph.

    Attributes:
        forward: FLOPs of the forward pass for one image, 2 a multiply-add; None if they could not be counted.
        training: FLOPs of a training step, for one of its images.
        operations: Operations of a training step that compute something.
        problem: Why a count is None.
        traffic_bytes: Memory traffic of a training step that its layers' outputs cause, for one image; an estimate.
        image_height: Of the images that were counted for, where a stage has smaller ones, in pixels; None for whole
            images.
    """

    forward: int | None = None
    training: int | None = None
    operations: int | None = None
    problem: str | None = None
    traffic_bytes: int | None = None
    image_height: int | None = None


class Extracted(Record, frozen=True, tag="extracted", tag_field="event"):
    """What the frozen part of a model puts out was computed for images, or found where it was remembered.

    Attributes:
        split: `training`, `validation` or `test`.
        images: Computed by this process; those of each variant, such as mirrored ones, count.
        seconds: In which they were.
        reused_images: Found, from an earlier process.
        saved_s: Seconds in which those had been computed.
        values: Of one image.
        stored_bytes: Of all images of the split, on the disk.
        uncounted_s: Seconds of calls that a calibration makes besides, to find out how many images a call are best.
    """

    split: Literal["training", "validation", "test"]
    images: int
    seconds: float
    values: int
    reused_images: int = 0
    saved_s: float = 0.0
    stored_bytes: int = 0
    uncounted_s: float = 0.0


class Extracting(Record, frozen=True, tag="extracting", tag_field="event"):
    """What a frozen part puts out is there for so many images of a split, on the way to all of them."""

    split: Literal["training", "validation", "test"]
    images: int
    of: int


class Sentinel(Record, frozen=True, tag="sentinel", tag_field="event"):
    """A fixed piece of work on the trial's first device, before or after the training; its shortest time in seconds."""

    when: Literal["before", "after"]
    seconds: float


class Evaluated(Record, frozen=True, tag="evaluated", tag_field="event"):
    """A calibration evaluated so many images, of whichever split, in so many seconds."""

    images: int
    seconds: float


class Tested(Record, frozen=True, tag="test", tag_field="event"):
    """The test split, used once, at the end."""

    images: int
    loss: float
    accuracy: float


class Memory(Record, frozen=True, tag="memory", tag_field="event"):
    """The worker's own peaks: resident set (VmHWM) and TensorFlow's device allocator, in bytes."""

    peak_rss_bytes: int | None = None
    peak_gpu_bytes: int | None = None


class Failure(Record, frozen=True, tag="failure", tag_field="event"):
    """The worker saw its trial fail and said why."""

    status: Status
    reason: str


class Done(Record, frozen=True, tag="done", tag_field="event"):
    """The worker reached its end; what comes later is the process shutting down."""

    end_s: float


Event = (
    Attempt
    | Runtime
    | Built
    | Flops
    | PhaseDone
    | Steps
    | Epoch
    | Evaluated
    | Extracted
    | Extracting
    | Sentinel
    | Tested
    | Memory
    | Failure
    | Done
)
