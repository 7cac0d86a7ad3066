"""Runs made by hand: what a run folder would hold, without running anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from bench.config import RunConfig
from bench.peaks import Peak
from bench.recipe import Recipe
from bench.records import (
    SCHEMA,
    Attempt,
    Built,
    Cell,
    DatasetSpec,
    Device,
    Done,
    Epoch,
    Event,
    Gpu,
    GpuSample,
    Host,
    Memory,
    ModelSpec,
    Phase,
    PhaseDone,
    Result,
    Run,
    RunData,
    Runtime,
    Sample,
    Status,
    Steps,
    Tested,
    Trial,
    TrialData,
)
from bench.store import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CPU = Device(kind="cpu", threads=2, cpus=(0, 1))
GPU = Device(kind="gpu", threads=2, gpu_uuids=("GPU-1",), gpu_indices=(0,))
DATASET = DatasetSpec(
    name="cifar100",
    sha256="d" * 64,
    num_train=1000,
    num_validation=100,
    num_test=200,
    input_shape=(32, 32, 3),
    num_classes=100,
    official=True,
)
HOST = Host(
    cpu="Example CPU",
    physical_cores=4,
    logical_cpus=8,
    usable_cores=2,
    smt=True,
    memory_bytes=16_000_000_000,
    os="Linux 6.1",
    python="3.12.1",
    packages={"tensorflow": "2.21.0"},
)
EXAMPLE_GPU = Gpu(index=0, uuid="GPU-1", name="Example GPU", memory_bytes=8_000_000_000)

PEAK = Peak(
    flops_per_s=1e12,
    flops_by="matrix product, 1024×1024",
    bandwidth_bytes_per_s=1e11,
    dispatch_s=1e-3,
    operation_s=5e-6,
    precision="float32",
    jit="off",
    threads=2,
    tensorflow="2.21.0",
    measured_unix_s=1.8e9,
)
START_UP_S: dict[Phase, float] = {
    "import": 2.0,
    "data": 1.0,
    "build": 0.5,
    "compile": 0.25,
    "warmup": 1.25,
}  # 5 s in all
VALIDATE_S = 1.0
CHECKPOINT_S = 0.5


def trial(model: str = "small", *, device: Device = CPU, seed: int = 0, epochs: int = 2, **cell: Any) -> Trial:
    """A trial of two epochs; `cell` replaces fields of its cell."""
    fields: dict[str, Any] = {
        "model": ModelSpec(name=model, path=f"/somewhere/{model}.py", sha256="a" * 64),
        "device": device,
        "precision": "float32",
        "jit": "off",
        "batch_size": 100,
        "epochs": epochs,
        "dataset": DATASET,
        "recipe": Recipe(),
    }
    return Trial(cell=Cell(**fields | cell), seed=seed)


def start_up(asked: Trial, *, number: int = 1, offset_s: float = 0.0, epochs_done: int = 0) -> list[Event]:
    """What a worker writes before its first epoch, which begins 5 s after `offset_s`."""
    device = asked.cell.device
    events: list[Event] = [Attempt(number=number, unix_s=1.8e9, offset_s=offset_s, epochs_done=epochs_done)]
    now_s = offset_s
    for phase, seconds in START_UP_S.items():
        events.append(PhaseDone(phase=phase, start_s=now_s, end_s=now_s + seconds))
        now_s += seconds
    return [
        *events,
        Built(parameters=1_638_052, trainable_parameters=1_638_052, output="logits"),
        Runtime(
            versions={"python": "3.12.1"},
            intra_threads=device.threads,
            inter_threads=1,
            cpus=device.cpus,
            threads_used=device.threads if device.kind == "cpu" else None,
            devices=(f"/device:{device.kind.upper()}:0",),
        ),
    ]


def epoch(asked: Trial, number: int, *, start_s: float, train_s: float, accuracy: float = 0.3) -> list[Event]:
    """What a worker writes in an epoch: ten steps in two blocks, validation, the epoch, its checkpoint."""
    images = asked.cell.dataset.num_train
    trained_s = start_s + train_s
    validated_s = trained_s + VALIDATE_S
    return [
        Steps(
            epoch=number,
            start_s=start_s,
            counts=(4, 6),
            ends_s=(start_s + 0.4 * train_s, trained_s),
            images=images,
        ),
        PhaseDone(phase="train", start_s=start_s, end_s=trained_s, epoch=number),
        PhaseDone(phase="validate", start_s=trained_s, end_s=validated_s, epoch=number),
        Epoch(
            epoch=number,
            end_s=validated_s,
            images=images,
            loss=3.0 / number,
            accuracy=accuracy,
            val_loss=3.5 / number,
            val_accuracy=accuracy - 0.02,
        ),
        PhaseDone(phase="checkpoint", start_s=validated_s, end_s=validated_s + CHECKPOINT_S, epoch=number),
    ]


def epochs(asked: Trial, *, first: int = 1, start_s: float = 5.0, train_s: float = 10.0) -> list[Event]:
    """All epochs from `first` on, each of `train_s` seconds of training and 1.5 s of what follows it."""
    each_s = train_s + VALIDATE_S + CHECKPOINT_S
    return [
        event
        for number in range(first, asked.cell.epochs + 1)
        for event in epoch(asked, number, start_s=start_s + (number - first) * each_s, train_s=train_s)
    ]


def end(*, start_s: float, accuracy: float = 0.381, peak_gpu_bytes: int | None = None) -> list[Event]:
    """What a worker writes last: two seconds of testing, its peaks, and that it is done."""
    return [
        PhaseDone(phase="test", start_s=start_s, end_s=start_s + 2.0),
        Tested(images=200, loss=2.48, accuracy=accuracy),
        Memory(peak_rss_bytes=1_420_000_000, peak_gpu_bytes=peak_gpu_bytes),
        Done(end_s=start_s + 2.0),
    ]


def samples(
    *, until_s: float, every_s: float = 1.0, start_s: float = 0.0, gpus: Sequence[str] = (), energy_joules: float = 0.0
) -> list[Sample]:
    """One sample every `every_s`; each GPU is busy for 80 % of the time and uses 100 W."""
    times = [start_s + every_s * number for number in range(1, int((until_s - start_s) / every_s) + 1)]
    return [
        Sample(
            t_s=t_s,
            rss_bytes=1_200_000_000,
            pss_bytes=1_100_000_000,
            peak_rss_bytes=1_300_000_000,
            cpu_percent=198.0,
            threads=20,
            gpus=tuple(
                GpuSample(
                    uuid=uuid,
                    utilization_percent=80.0,
                    memory_used_bytes=3_000_000_000,
                    power_watts=100.0,
                    energy_joules=energy_joules + 100.0 * (t_s - start_s),
                )
                for uuid in gpus
            ),
        )
        for t_s in times
    ]


def ok_trial(
    asked: Trial, *, train_s: float = 10.0, accuracy: float = 0.381, official: bool = True, **changes: Any
) -> TrialData:
    """A trial that ended ok after epochs of `train_s` seconds of training each; `changes` replaces fields."""
    trained_s = 5.0 + asked.cell.epochs * (train_s + VALIDATE_S + CHECKPOINT_S)
    gpus = asked.cell.device.gpu_uuids
    fields: dict[str, Any] = {
        "trial": asked,
        "events": (
            *start_up(asked),
            *epochs(asked, train_s=train_s),
            *end(start_s=trained_s, accuracy=accuracy, peak_gpu_bytes=2_500_000_000 if gpus else None),
        ),
        "samples": tuple(samples(until_s=trained_s, every_s=max(1.0, trained_s / 1000), gpus=gpus)),
        "result": Result(
            key=asked.key,
            status="ok",
            wall_s=trained_s + 3.0,
            attempts=1,
            exit_code=0,
            sampler_cpu_s=0.001 * trained_s,
            sampled_s=trained_s,
        ),
    }
    return TrialData(**fields | changes)


def ended_trial(asked: Trial, *, status: Status, reason: str, events: Sequence[Event] = ()) -> TrialData:
    """A trial that ended otherwise; without events its process was never started."""
    attempts = 1 if events else 0
    result = Result(key=asked.key, status=status, reason=reason, wall_s=7.0 if events else 0.0, attempts=attempts)
    return TrialData(trial=asked, events=tuple(events), result=result)


def run_data(*trials: TrialData, name: str = "example", host: Host = HOST) -> RunData:
    """A run of these trials."""
    return RunData(
        run=Run(
            schema=SCHEMA,
            version="0.1.0",
            name=name,
            created_unix_s=1_800_000_000.0,
            command=("python", "-m", "bench", "run", "--preset", "quick"),
            config=RunConfig(),
            host=host,
            trials=tuple(data.trial for data in trials),
        ),
        trials=trials,
    )


def write_run(path: Path, data: RunData) -> RunFolder:
    """A run folder as `run` leaves it."""
    folder = RunFolder.create(path, data.run)
    for one in data.trials:
        place = folder.trial(one.trial.key)
        for journal, records in ((place.events, one.events), (place.samples, one.samples)):
            journal.write_bytes(b"".join(msgspec.json.encode(record) + b"\n" for record in records))
        if one.result is not None:
            place.write_result(one.result)
    return folder
