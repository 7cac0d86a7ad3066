"""The types that cross rooms, and with them the run folder's format.

Schema 1: the first. A field that is added with a default leaves old folders readable and old trial keys as they are
(defaults are not written); anything else is a new schema. Keys name the trials of one run: whether a value that equals
its default is written, which a key depends on, may differ between runs of different versions.

Every time that ends in `t_s`, `start_s` or `end_s` is on the *trial's clock*: seconds since the trial's process was
started. A trial that was interrupted and taken up again goes on at the time of its last finished epoch, so that work
which was lost is counted once.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import Literal

import msgspec

from bench.config import Jit, Onednn, RunConfig
from bench.events import Attempt as Attempt  # noqa: PLC0414 -- all records are found here
from bench.events import Built as Built  # noqa: PLC0414 -- likewise
from bench.events import Done as Done  # noqa: PLC0414 -- likewise
from bench.events import Epoch as Epoch  # noqa: PLC0414 -- likewise
from bench.events import Evaluated as Evaluated  # noqa: PLC0414 -- likewise
from bench.events import Event as Event  # noqa: PLC0414 -- likewise
from bench.events import Extracted as Extracted  # noqa: PLC0414 -- likewise
from bench.events import Extracting as Extracting  # noqa: PLC0414 -- likewise
from bench.events import Failure as Failure  # noqa: PLC0414 -- likewise
from bench.events import Flops as Flops  # noqa: PLC0414 -- likewise
from bench.events import Memory as Memory  # noqa: PLC0414 -- likewise
from bench.events import Phase as Phase  # noqa: PLC0414 -- likewise
from bench.events import PhaseDone as PhaseDone  # noqa: PLC0414 -- likewise
from bench.events import Runtime as Runtime  # noqa: PLC0414 -- likewise
from bench.events import Sentinel as Sentinel  # noqa: PLC0414 -- likewise
from bench.events import Status as Status  # noqa: PLC0414 -- likewise
from bench.events import Steps as Steps  # noqa: PLC0414 -- likewise
from bench.events import Tested as Tested  # noqa: PLC0414 -- likewise
from bench.machine import Gpu as Gpu  # noqa: PLC0414 -- likewise
from bench.machine import Host as Host  # noqa: PLC0414 -- likewise
from bench.peaks import DevicePeak
from bench.recipe import PROBE_PASSES, BudgetClock, Precision, Recipe
from bench.record import Record as Record  # noqa: PLC0414 -- likewise
from bench.samples import GpuSample as GpuSample  # noqa: PLC0414 -- likewise
from bench.samples import Sample as Sample  # noqa: PLC0414 -- likewise
from bench.weights.spec import WeightsSpec

SCHEMA = 1

Mode = Literal["train", "calibrate"]


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
        host: Name of the machine that has it, in a run that was merged from several; empty otherwise.
    """

    kind: Literal["cpu", "gpu"]
    threads: int
    cpus: tuple[int, ...] = ()
    gpu_uuids: tuple[str, ...] = ()
    gpu_indices: tuple[int, ...] = ()
    siblings: bool = False
    host: str = ""

    @property
    def label(self) -> str:
        """What the device is called, such as `cpu:2`, or `cpu:2@laptop` in a run of several machines."""
        return f"{self.local_label}@{self.host}" if self.host else self.local_label

    @property
    def local_label(self) -> str:
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
        content: A digest of the same images and labels in any order (`bench.data.content`), by which trainings on the
            same images in another order are found; empty where it was not recorded.
    """

    name: str
    sha256: str
    num_train: int
    num_validation: int
    num_test: int
    input_shape: tuple[int, int, int]
    num_classes: int
    official: bool | None = None
    content: str = ""

    @property
    def short_name(self) -> str:
        """The name without the place: where users keep their files is nobody's business."""
        return PurePath(self.name).name


class Cell(Record, frozen=True):
    """One point of the matrix. What its recipe asked for is settled in the cell's own fields.

    A training ends after `epochs`, or when the clock named by `budget_clock` stands at `budget_s` seconds; the other of
    the two is None. `weights` are those that the model starts with; None for a model that is drawn.
    """

    model: ModelSpec
    device: Device
    precision: Precision
    jit: Jit
    batch_size: int
    dataset: DatasetSpec
    recipe: Recipe
    steps_per_execution: int = 1
    onednn: Onednn = "on"
    epochs: int | None = None
    budget_s: float | None = None
    budget_clock: BudgetClock = "fit"
    weights: WeightsSpec | None = None

    @property
    def model_label(self) -> str:
        """The model's name, which says of one that was trained before that it was."""
        return self.model.name if self.recipe.weights == "none" else f"{self.model.name} (pre-trained)"

    @property
    def winograd(self) -> bool:
        """Whether 3×3 convolutions may be computed by fewer multiplications, as its recipe asks for.

        On a CPU in float32 alone: cuDNN chooses by itself, lower precisions would lose digits, and XLA needs to know
        the sizes of images, which stages change.
        """
        plain = self.device.kind == "cpu" and self.precision == "float32" and self.jit == "off"
        return self.recipe.convolutions == "winograd" and plain

    @property
    def steps_per_epoch(self) -> int:
        """Steps that make an epoch; the last one may be of a smaller batch. Of a linear probe, passes at most."""
        if self.recipe.optimizer == "lbfgs":
            return PROBE_PASSES
        return -(-self.dataset.num_train // self.batch_size)

    @property
    def images_per_step(self) -> int:
        """Images of a step: of a linear probe those of a whole pass, each seen as often as the recipe shows it."""
        if self.recipe.optimizer == "lbfgs":
            return self.dataset.num_train * self.recipe.views
        return self.batch_size

    @property
    def label(self) -> str:
        """Model and device, and what else is not the plain case, in words."""
        parts = [self.model_label, self.device.label]
        if self.precision != "float32":
            parts.append(self.precision)
        if self.jit == "on":
            parts.append("jit")
        if self.onednn == "off":
            parts.append("no oneDNN")
        return " ".join(parts)


class Trial(Record, frozen=True):
    """One cell with one seed: the unit of replication, a process of its own.

    In mode `calibrate` it trains for a few steps only, to tell how long the whole training would take.
    """

    cell: Cell
    seed: int
    mode: Mode = "train"

    @property
    def key(self) -> str:
        """Names the trial's folder: a digest of everything that could change its result, where it lies left out."""
        cell = msgspec.structs.replace(self.cell, model=msgspec.structs.replace(self.cell.model, path=""))
        if cell.weights is not None:
            cell = msgspec.structs.replace(cell, weights=msgspec.structs.replace(cell.weights, path=""))
        content = msgspec.json.encode(msgspec.structs.replace(self, cell=cell), order="sorted")
        return f"{_slug(self.cell.label)}-s{self.seed}-{hashlib.sha256(content).hexdigest()[:12]}"


class Spent(Record, frozen=True):
    """What the finished epochs of a trial took, on the clocks that a budget can be on.

    Attributes:
        began_s: When the first of them began, on the trial's clock.
        train_s: Their training.
        fit_s: Their training and validation, and what a frozen part put out for both.
        features_s: What a frozen part put out, alone.
        checkpoint_s: The last one's checkpoint.
        ended: Whether the training ended with them, its budget spent.
    """

    began_s: float
    train_s: float
    fit_s: float
    checkpoint_s: float = 0.0
    ended: bool = False
    features_s: float = 0.0


class Assignment(Record, frozen=True):
    """What the launcher tells a worker besides the trial itself.

    Attributes:
        folder: The trial's folder, absolute.
        started_s: This process's monotonic clock when the worker was started.
        offset_s: Where the trial's clock stands at that moment.
        epochs_done: Epochs whose checkpoint is to be taken up; 0 starts anew.
        spent: What these took of a budget; None to start anew.
        limit_s: Where the trial's clock may stand at the end of a calibration; None for a training.
        enough_s: Seconds of steps after which a calibration that only compares speeds ends; None for one that tells
            how long the whole training would take.
        data_dir: Where data sets lie, if not in the usual places.
        features_dir: Where what frozen parts put out is remembered; empty for the trial's own folder.
        libraries: Paths of CUDA libraries to load before TensorFlow is imported, in this order.
    """

    folder: str
    started_s: float
    offset_s: float = 0.0
    epochs_done: int = 0
    spent: Spent | None = None
    limit_s: float | None = None
    enough_s: float | None = None
    data_dir: str | None = None
    features_dir: str = ""
    libraries: tuple[str, ...] = ()


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


class Tuning(Record, frozen=True):
    """What makes a run of calibrations the search for the best setting: its first trial is of the default one.

    Attributes:
        budget_s: Time that was given for all of it.
        rungs: How many of the trials, in their order, belong to each rung.
        in_turns: How many of the last trials are of settings that were compared in turns, A B B A.
        left_out: Settings that there was no time for.
    """

    budget_s: float
    rungs: tuple[int, ...] = ()
    in_turns: int = 0
    left_out: tuple[Cell, ...] = ()


class Run(Record, frozen=True):
    """A run as it was asked for: everything but what the trials did.

    `estimates` has what each trial was expected to need, by its key, where its model could be built for that. `tuning`
    is None but for a run that looks for the best setting. `hosts` has the machines of a run that was merged from
    several, by the name that its devices have them by, and is empty for any other run; `host` is the first of them.
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
    tuning: Tuning | None = None
    hosts: dict[str, Host] = msgspec.field(default_factory=dict)

    def host_of(self, device: Device) -> Host:
        """The machine that has a device."""
        return self.hosts.get(device.host, self.host)


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
