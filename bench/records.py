"""The types that cross rooms, and with them the run folder's format.

Schema 1: the first. A field that is added with a default leaves old folders readable and old trial keys as they are
(defaults are not written); anything else is a new schema.

Every time that ends in `t_s`, `start_s` or `end_s` is on the *trial's clock*: seconds since the trial's process was
started. A trial that was interrupted and taken up again goes on at the time of its last finished epoch, so that work
which was lost is counted once.
"""

from __future__ import annotations

import hashlib
from typing import Literal

import msgspec

from bench.config import Jit, RunConfig
from bench.machine import Gpu as Gpu  # noqa: PLC0414 -- all records are found here
from bench.machine import Host as Host  # noqa: PLC0414 -- likewise
from bench.peaks import DevicePeak
from bench.recipe import Precision, Recipe
from bench.record import Record as Record  # noqa: PLC0414 -- likewise
from bench.samples import GpuSample as GpuSample  # noqa: PLC0414 -- likewise
from bench.samples import Sample as Sample  # noqa: PLC0414 -- likewise

SCHEMA = 1

Status = Literal["ok", "diverged", "oom_host", "oom_gpu", "timeout", "killed", "failed", "skipped", "interrupted"]
Phase = Literal["import", "data", "build", "compile", "probe", "warmup", "train", "validate", "test", "checkpoint"]


class Device(Record, frozen=True):
    """Where a trial runs.

    Attributes:
        kind: `cpu` or `gpu`.
        threads: Threads of TensorFlow's intra-op pool.
        cpus: Logical CPUs that the process is pinned to, one a physical core unless `siblings`; empty where pinning is
            impossible.
        gpu_uuids: GPUs that the process may see; more than one are trained on together.
        gpu_indices: The same GPUs by their index in NVML's order, for the label only.
        siblings: Whether the threads share cores: `cpus` are all sibling threads of each core.
    """

    kind: Literal["cpu", "gpu"]
    threads: int
    cpus: tuple[int, ...] = ()
    gpu_uuids: tuple[str, ...] = ()
    gpu_indices: tuple[int, ...] = ()
    siblings: bool = False

    @property
    def label(self) -> str:
        """The device nearly as `--device` takes it, such as `cpu:2`, `gpu:0+1`, or `cpu:8smt` for siblings."""
        if self.kind == "cpu":
            return f"cpu:{self.threads}smt" if self.siblings else f"cpu:{self.threads}"
        return "gpu:" + "+".join(map(str, self.gpu_indices)) if self.gpu_indices else "gpu"


class ModelSpec(Record, frozen=True):
    """A model file: its name, where it lies, and the SHA-256 of its bytes (empty if it could not be read)."""

    name: str
    path: str
    sha256: str


class DatasetSpec(Record, frozen=True):
    """What a trial is trained and tested on, after limits and the validation split.

    Attributes:
        name: As `--dataset` was given, such as `cifar100` or `photos/`.
        sha256: Of the pixels and labels of both splits as they are used, after limits, before the validation split.
        num_train: Images trained on.
        num_validation: Images held back from the training split; 0 for none.
        num_test: Images tested on.
        input_shape: Height, width, channels.
        num_classes: Classes.
        official: Whether the content is the published one; None for data that has no published form.
    """

    name: str
    sha256: str
    num_train: int
    num_validation: int
    num_test: int
    input_shape: tuple[int, int, int]
    num_classes: int
    official: bool | None = None


class Cell(Record, frozen=True):
    """One point of the matrix. What its recipe asked for is settled in the cell's own fields."""

    model: ModelSpec
    device: Device
    precision: Precision
    jit: Jit
    batch_size: int
    epochs: int
    dataset: DatasetSpec
    recipe: Recipe
    steps_per_execution: int = 1

    @property
    def steps_per_epoch(self) -> int:
        """Steps that make an epoch; the last one may be of a smaller batch."""
        return -(-self.dataset.num_train // self.batch_size)

    @property
    def label(self) -> str:
        """Model and device, and what else is not the plain case, in words."""
        parts = [self.model.name, self.device.label]
        if self.precision != "float32":
            parts.append(self.precision)
        if self.jit == "on":
            parts.append("jit")
        return " ".join(parts)


class Trial(Record, frozen=True):
    """One cell with one seed: the unit of replication, a process of its own."""

    cell: Cell
    seed: int

    @property
    def key(self) -> str:
        """Names the trial's folder: a digest of everything that could change its result, where it lies left out."""
        cell = msgspec.structs.replace(self.cell, model=msgspec.structs.replace(self.cell.model, path=""))
        content = msgspec.json.encode(msgspec.structs.replace(self, cell=cell), order="sorted")
        return f"{_slug(self.cell.label)}-s{self.seed}-{hashlib.sha256(content).hexdigest()[:12]}"


class Assignment(Record, frozen=True):
    """What the launcher tells a worker besides the trial itself.

    Attributes:
        folder: The trial's folder, absolute.
        started_s: This process's monotonic clock when the worker was started.
        offset_s: Where the trial's clock stands at that moment.
        epochs_done: Epochs whose checkpoint is to be taken up; 0 starts anew.
        data_dir: Where data sets lie, if not in the usual places.
        libraries: Paths of CUDA libraries to load before TensorFlow is imported, in this order.
    """

    folder: str
    started_s: float
    offset_s: float = 0.0
    epochs_done: int = 0
    data_dir: str | None = None
    libraries: tuple[str, ...] = ()


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
    """Blocks of training steps: `counts[i]` steps ended at `ends_s[i]`; the first block starts at `start_s`."""

    epoch: int
    start_s: float
    counts: tuple[int, ...]
    ends_s: tuple[float, ...]
    images: int


class Epoch(Record, frozen=True, tag="epoch", tag_field="event"):
    """An epoch ended; it is finished when its checkpoint, which comes next, is on disk.

    Accuracies are shares of 1, losses are nats. `data_wait_s` is how long training waited for its batches; None where
    that cannot be seen, with several devices.
    """

    epoch: int
    end_s: float
    images: int
    loss: float
    accuracy: float
    val_loss: float | None = None
    val_accuracy: float | None = None
    data_wait_s: float | None = None


class Flops(Record, frozen=True, tag="flops", tag_field="event"):
    """The arithmetic of the model as it trains, counted in its graph.

    Attributes:
        forward: FLOPs of the forward pass for one image, 2 a multiply-add; None if they could not be counted.
        training: FLOPs of a training step, for one of its images.
        operations: Operations of a training step that compute something.
        problem: Why a count is None.
        traffic_bytes: Memory traffic of a training step that its layers' outputs cause, for one image; an estimate.
    """

    forward: int | None = None
    training: int | None = None
    operations: int | None = None
    problem: str | None = None
    traffic_bytes: int | None = None


class Sentinel(Record, frozen=True, tag="sentinel", tag_field="event"):
    """A fixed piece of work on the trial's first device, before or after the training; its shortest time in seconds."""

    when: Literal["before", "after"]
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


Event = Attempt | Runtime | Built | Flops | PhaseDone | Steps | Epoch | Sentinel | Tested | Memory | Failure | Done


class Result(Record, frozen=True):
    """How a trial ended, as the parent saw it; what happened inside stands in the events.

    Attributes:
        key: The trial's.
        status: How it ended.
        reason: Why, in words, unless `ok`.
        wall_s: The trial's clock when the process was gone.
        attempts: Processes that worked on it.
        exit_code: Of the last process; negative for a signal; None if none was started.
        sampler_cpu_s: CPU time that the parent spent on sampling the last attempt.
        parent_cpu_s: All CPU time that the parent spent meanwhile: sampling, writing, showing.
        sampled_s: Time over which it sampled.
        missing: Metrics that could not be read, each with its reason.
    """

    key: str
    status: Status
    reason: str = ""
    wall_s: float = 0.0
    attempts: int = 0
    exit_code: int | None = None
    sampler_cpu_s: float = 0.0
    parent_cpu_s: float = 0.0
    sampled_s: float = 0.0
    missing: dict[str, str] = msgspec.field(default_factory=dict)


class MemoryEstimate(Record, frozen=True):
    """What a trial is expected to need at its peak, before it runs; `bench.memory` says where the parts come from.

    Attributes:
        runtime_bytes: Python and TensorFlow.
        data_bytes: Images, batches, what the test puts out.
        parameters_bytes: Weights, optimizer values, gradients.
        activations_bytes: What a training step holds for the images of a batch.
        allocator_bytes: What TensorFlow's allocator holds beyond the two.
        gpu_runtime_bytes: CUDA's own, on each GPU; None on a CPU.
    """

    runtime_bytes: int
    data_bytes: int
    parameters_bytes: int
    activations_bytes: int
    allocator_bytes: int
    gpu_runtime_bytes: int | None = None

    @property
    def total_bytes(self) -> int:
        """The worker's resident set."""
        on_host = self._model_bytes if self.gpu_runtime_bytes is None else 0
        return self.runtime_bytes + self.data_bytes + on_host

    @property
    def gpu_total_bytes(self) -> int | None:
        """Memory of each of the trial's GPUs; None on a CPU."""
        return None if self.gpu_runtime_bytes is None else self.gpu_runtime_bytes + self._model_bytes

    @property
    def _model_bytes(self) -> int:
        return self.parameters_bytes + self.activations_bytes + self.allocator_bytes


class Run(Record, frozen=True):
    """A run as it was asked for: everything but what the trials did.

    `estimates` has what each trial was expected to need, by its key, where its model could be built for that.
    """

    schema: int
    version: str
    name: str
    created_unix_s: float
    command: tuple[str, ...]
    config: RunConfig
    host: Host
    trials: tuple[Trial, ...]
    estimates: dict[str, MemoryEstimate] = msgspec.field(default_factory=dict)


class TrialData(Record, frozen=True):
    """All that a run folder holds of one trial. `result` is None while it runs or when its run was cut off.

    `damaged_lines` counts lines of the journals that could not be read: a process was killed while it wrote them.
    """

    trial: Trial
    events: tuple[Event, ...] = ()
    samples: tuple[Sample, ...] = ()
    result: Result | None = None
    damaged_lines: int = 0


class RunData(Record, frozen=True):
    """All that a run folder holds."""

    run: Run
    trials: tuple[TrialData, ...]
    peaks: tuple[DevicePeak, ...] = ()


def _slug(text: str) -> str:
    return "".join(c if c.isascii() and (c.isalnum() or c in "._") else "-" for c in text).strip("-.")[:60]
