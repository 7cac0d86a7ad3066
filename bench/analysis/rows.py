"""One trial's raw data as rows: every number here is a pure function of what was measured."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from bench.analysis.arithmetic import flops_as_trained
from bench.analysis.budget import budget_flag
from bench.analysis.energy import gpu_energy, is_short, package_energy
from bench.analysis.features import features_flag, features_saved_s
from bench.analysis.flags import flags
from bench.analysis.noise import measure_noise, noise_flags
from bench.analysis.rewind import covered_s, surviving_events, surviving_samples
from bench.analysis.sample_rows import sample_row
from bench.analysis.steady import steady
from bench.analysis.step_times import as_of_one_size, of_whole_images, step_times_s
from bench.analysis.totals import highest, mean, of, sum_by, sum_images
from bench.analysis.use import Use, hardware_use
from bench.recipe import describe, describe_fields
from bench.records import Attempt, Built, Epoch, Flops, Memory, Phase, PhaseDone, Sentinel, Steps, Tested

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.peaks import DevicePeak
    from bench.records import MemoryEstimate, TrialData

Row = dict[str, Any]
MOVED = "it ran on another machine than its run was planned on"
_METERED: tuple[Phase, ...] = ("features", "train", "validate", "test")


class TrialRows:
    """The rows of one trial.

    Args:
        data: All that the run folder holds of the trial.
        cell: Number of the trial's cell in the run.
        workload: Number of what the cell trains, wherever it does.
        peak: What a device of its cell attains at best; None if that was not looked for.
        estimate: What the trial was expected to need; None if that is not known.
        moved: Whether it ran on another machine than its run was planned on.
        virtualized: Whether it ran on a virtual machine.
        recipe_axes: Fields of the recipe that differ between cells of its model.
    """

    def __init__(
        self,
        data: TrialData,
        *,
        cell: int,
        workload: int,
        peak: DevicePeak | None = None,
        moved: bool = False,
        estimate: MemoryEstimate | None = None,
        virtualized: bool = False,
        recipe_axes: tuple[str, ...] = (),
    ) -> None:
        self._cell = cell
        self._recipe_axes = recipe_axes
        self._workload = workload
        self._peak = peak
        self._moved = moved
        self._virtualized = virtualized
        self._data = data
        self._estimate = estimate
        self._events = surviving_events(data.events)
        self._attempts = of(Attempt, self._events)
        self._segments = surviving_samples(data.samples, self._attempts)
        self._samples = [sample_row(data.trial.key, sample) for segment in self._segments for sample in segment]
        self._phases = of(PhaseDone, self._events)
        self._steps = of(Steps, self._events)
        self._epochs = of(Epoch, self._events)
        self._flops = flops_as_trained(of(Flops, self._events), self._steps)
        self._gpu_energy = gpu_energy(self._segments)
        self._package_energy = package_energy(self._segments)
        self._features_saved_s = features_saved_s(self._events)
        self._phases_s = sum_by(self._phases, lambda phase: phase.phase)
        self._sentinels_s = {event.when: event.seconds for event in of(Sentinel, self._events)}
        # On a GPU a step's stamp tells when it was handed over, not when it was done.
        device = data.trial.cell.device
        timed = self._steps if device.kind == "cpu" else []
        self._step_times_s = step_times_s(of_whole_images(timed)).tolist()
        self._steadiness = steady(as_of_one_size(timed).tolist()) if device.kind == "cpu" else None
        self._noise = measure_noise(self._segments, self._phases, cpus=len(device.cpus))
        train_s = self._phases_s.get("train")
        self._images_per_s = self._images_trained() / train_s if train_s else None
        self._use = self._hold_against_peak()
        result = data.result
        self._sampler_percent = 100 * result.sampler_cpu_s / result.sampled_s if result and result.sampled_s else None

    def trial(self) -> Row:
        """The trial's row; `columns.TRIALS` says what each column means."""
        result = self._data.result
        return {
            **self._asked(),
            **self._learned(),
            **self._clocks(),
            **self._used(),
            **self._memory(),
            **self._energy(),
            **self._disturbed(),
            "sampler_percent": self._sampler_percent,
            "parent_percent": 100 * result.parent_cpu_s / result.sampled_s if result and result.sampled_s else None,
            "attempts": result.attempts if result else len(self._attempts),
            "flags": tuple(self._flags()),
            "missing": tuple(f"{metric}: {reason}" for metric, reason in self._missing().items()),
        }

    def epochs(self) -> list[Row]:
        """A row for each finished epoch; `columns.EPOCHS` says what each column means."""
        trial = self._data.trial
        train_s = sum_by((p for p in self._phases if p.phase == "train"), lambda phase: phase.epoch)
        validate_s = sum_by((p for p in self._phases if p.phase == "validate"), lambda phase: phase.epoch)
        checkpoint_s = sum_by((p for p in self._phases if p.phase == "checkpoint"), lambda phase: phase.epoch)
        left_over_s = self._left_over_s()
        return [
            {
                "key": trial.key,
                "model": trial.cell.model_label,
                "device": trial.cell.device.label,
                "seed": trial.seed,
                "epoch": epoch.epoch,
                "end_s": epoch.end_s,
                "train_s": train_s.get(epoch.epoch),
                "validate_s": validate_s.get(epoch.epoch),
                "checkpoint_s": checkpoint_s.get(epoch.epoch),
                "other_s": left_over_s.get(epoch.epoch),
                "data_wait_s": epoch.data_wait_s,
                "images": epoch.images,
                "images_per_s": epoch.images / train_s[epoch.epoch] if train_s.get(epoch.epoch) else None,
                "learning_rate": epoch.learning_rate,
                "loss": epoch.loss,
                "accuracy": epoch.accuracy,
                "gpu_energy_joules": self._gpu_energy.joules(self._fit_phases(epoch.epoch)),
                "package_energy_joules": self._package_energy.joules(self._fit_phases(epoch.epoch)),
                "val_loss": epoch.val_loss,
                "val_accuracy": epoch.val_accuracy,
                "l2": epoch.l2,
            }
            for epoch in self._epochs
        ]

    def samples(self) -> list[Row]:
        """A row for each sample that counts; `columns.SAMPLES` says what each column means."""
        return self._samples

    def disturbances(self) -> tuple[str, ...]:
        """What disturbed the trial while it trained, as its flags say it; empty for a quiet one."""
        return noise_flags(
            self._noise,
            self._steadiness,
            sentinel_before_s=self._sentinels_s.get("before"),
            sentinel_after_s=self._sentinels_s.get("after"),
            virtualized=self._virtualized,
        )

    def _asked(self) -> Row:
        trial, result = self._data.trial, self._data.result
        cell = trial.cell
        began = bool(self._data.events or self._data.samples)
        return {
            "key": trial.key,
            "cell": self._cell,
            "model": cell.model_label,
            "weights": None if cell.weights is None else cell.weights.name,
            "device": cell.device.label,
            "host": cell.device.host or None,
            "device_kind": cell.device.kind,
            "threads": cell.device.threads,
            "siblings": cell.device.siblings,
            "workload": self._workload,
            "precision": cell.precision,
            "jit": cell.jit,
            "onednn": cell.onednn,
            "steps_per_execution": cell.steps_per_execution,
            "batch_size": cell.batch_size,
            "recipe": describe(cell.recipe),
            "recipe_axes": describe_fields(cell.recipe, self._recipe_axes) or None,
            "epochs_asked": cell.epochs,
            "budget_s": cell.budget_s,
            "budget_clock": None if cell.budget_s is None else cell.budget_clock,
            "dataset": cell.dataset.name,
            "seed": trial.seed,
            "status": result.status if result else "interrupted",
            "reason": result.reason if result else "has not ended" if began else "has not begun",
        }

    def _learned(self) -> Row:
        built, tested = of(Built, self._events), of(Tested, self._events)
        return {
            "parameters": built[-1].parameters if built else None,
            "test_accuracy": tested[-1].accuracy if tested else None,
            "test_loss": tested[-1].loss if tested else None,
            "val_accuracy": self._epochs[-1].val_accuracy if self._epochs else None,
            "epochs_done": len(self._whole_epochs()),
            "epochs_trained": self._epochs_trained() if self._epochs else None,
        }

    def _clocks(self) -> Row:
        result = self._data.result
        wall_s = result.wall_s if result and result.attempts else None
        ended_well = result is not None and result.status == "ok"
        whole = self._whole_epochs()
        epochs_s = sum_by(self._fit_phases(*whole), lambda phase: phase.epoch).values() if whole else ()
        return {
            **{f"{phase}_s": self._phases_s.get(phase) for phase in get_args(Phase)},
            "fit_s": self._fit_s(),
            "features_saved_s": self._features_saved_s,
            "wall_s": wall_s,
            "other_s": wall_s - covered_s(self._phases) if wall_s is not None and ended_well else None,
            "epoch_s": median(epochs_s) if epochs_s else None,
            "step_s": median(self._step_times_s) if self._step_times_s else None,
            "images_per_s": self._images_per_s,
        }

    def _used(self) -> Row:
        training = self._samples_while_training()
        return {
            "forward_flops": self._flops.forward if self._flops else None,
            "training_flops": self._flops.training if self._flops else None,
            "flops_per_s": self._use.flops_per_s,
            "attained_fraction": self._use.attained_fraction,
            "bandwidth_fraction": self._use.bandwidth_fraction,
            "launch_fraction": self._use.launch_fraction,
            "data_wait_fraction": self._use.wait_fraction,
            "verdict": self._use.verdict,
            "cpu_percent": mean(sample["cpu_percent"] for sample in training),
            "gpu_utilization_percent": mean(sample["gpu_utilization_percent"] for sample in training),
        }

    def _memory(self) -> Row:
        peaks = of(Memory, self._events)
        return {
            "peak_rss_bytes": highest([event.peak_rss_bytes for event in peaks] + self._sampled("peak_rss_bytes")),
            "estimated_bytes": self._estimate.total_bytes if self._estimate else None,
            "peak_pss_bytes": highest(self._sampled("pss_bytes")),
            "peak_gpu_bytes": highest(event.peak_gpu_bytes for event in peaks),
            "estimated_gpu_bytes": self._estimate.gpu_total_bytes if self._estimate else None,
            "gpu_memory_used_bytes": highest(self._sampled("gpu_memory_used_bytes")),
        }

    def _disturbed(self) -> Row:
        steadiness = self._steadiness
        return {
            "steal_percent": self._noise.steal_percent,
            "others_cpu_percent": self._noise.others_cpu_percent,
            "throttled_periods": self._noise.throttled_periods,
            "cpu_pressure_percent": self._noise.cpu_pressure_percent,
            "involuntary_switches_per_s": self._noise.involuntary_switches_per_s,
            "frequency_mhz": self._noise.frequency_mhz,
            "foreign_gpu_processes": self._noise.foreign_gpu_processes,
            "sentinel_before_s": self._sentinels_s.get("before"),
            "sentinel_after_s": self._sentinels_s.get("after"),
            "steady": steadiness.steady if steadiness else None,
            "steady_from_step": steadiness.first_steady if steadiness else None,
        }

    def _flags(self) -> Iterator[str]:
        yield from flags(self._data, train_s=self._phases_s.get("train"), sampler_percent=self._sampler_percent)
        yield from self.disturbances()
        if (off_budget := self._off_budget()) is not None:
            yield off_budget
        if (found := features_flag(self._features_saved_s)) is not None:
            yield found
        if self._moved:
            yield MOVED
        fraction = self._use.attained_fraction
        if self._peak is not None and self._peak.peak is not None and not self._peak.is_reliable:
            yield f"what {self._peak.device} attains was measured beside something else, so its share of it is too high"
        elif fraction is not None and fraction > 1:
            yield "it attained more than its device did when that was measured, perhaps while it was slowed down"

    def _missing(self) -> dict[str, str]:
        missing = dict(self._data.result.missing) if self._data.result else {}
        if self._flops is not None and self._flops.problem is not None:
            missing["flops"] = self._flops.problem
        if self._peak is not None and self._peak.problem is not None:
            missing["attained_fraction"] = self._peak.problem
        return missing

    def _sampled(self, metric: str) -> list[Any]:
        return [sample[metric] for sample in self._samples]

    def _fit_phases(self, *epochs: int) -> list[PhaseDone]:
        """Training and validation of these epochs, or of all that were finished."""
        finished = epochs or {epoch.epoch for epoch in self._epochs}
        return [p for p in self._phases if p.phase in {"train", "validate"} and p.epoch in finished]

    def _left_over_s(self) -> dict[int, float]:
        """For each epoch, the time from its first phase to its last in which none of them ran."""
        by_epoch: defaultdict[int, list[PhaseDone]] = defaultdict(list)
        for phase in self._phases:
            if phase.epoch is not None:
                by_epoch[phase.epoch].append(phase)
        return {
            epoch: max(p.end_s for p in phases)
            - min(p.start_s for p in phases)
            - sum(p.end_s - p.start_s for p in phases)
            for epoch, phases in by_epoch.items()
        }

    def _hold_against_peak(self) -> Use:
        finished = {epoch.epoch for epoch in self._epochs}
        trained_s = sum(p.end_s - p.start_s for p in self._phases if p.phase == "train" and p.epoch in finished)
        waits_s = [epoch.data_wait_s for epoch in self._epochs]
        known = bool(waits_s) and None not in waits_s and trained_s > 0
        return hardware_use(
            self._data.trial.cell,
            images_per_s=self._images_per_s,
            data_wait_share=sum(filter(None, waits_s)) / trained_s if known else None,
            flops=self._flops,
            peak=self._peak.peak if self._peak else None,
        )

    def _phases_of(self, phase: Phase) -> list[PhaseDone]:
        return [done for done in self._phases if done.phase == phase]

    def _energy(self) -> Row:
        gpus, packages = self._gpu_energy, self._package_energy
        own = gpus if self._data.trial.cell.device.kind == "gpu" else packages
        phases: dict[Phase, list[PhaseDone]] = {phase: self._phases_of(phase) for phase in _METERED}
        by_gpus = {phase: gpus.joules(done) for phase, done in phases.items()}
        training, fit = own.joules(phases["train"]), own.joules(self._fit_phases())
        images = self._images_trained()
        return {
            "energy_joules": gpus.total_joules(),
            "package_energy_joules": packages.total_joules(),
            **{f"gpu_energy_{phase}_joules": joules for phase, joules in by_gpus.items()},
            **{f"package_energy_{phase}_joules": packages.joules(done) for phase, done in phases.items()},
            "joules_per_epoch": None if fit is None else fit / self._epochs_of_energy(),
            "joules_per_image": None if training is None or not images else training / images,
            "short_energy_phases": tuple(
                phase for phase, done in phases.items() if by_gpus[phase] is not None and is_short(done)
            ),
        }

    def _whole_epochs(self) -> list[int]:
        """Epochs that saw every training image; a budget may have ended the last one before."""
        num_train = self._data.trial.cell.dataset.num_train
        return [epoch.epoch for epoch in self._epochs if epoch.images >= num_train]

    def _epochs_trained(self) -> float:
        return sum(epoch.images for epoch in self._epochs) / self._data.trial.cell.dataset.num_train

    def _epochs_of_energy(self) -> float:
        """Epochs that energy is shared out to; of a linear probe its strengths, whose passes differ."""
        is_probe = self._data.trial.cell.recipe.optimizer == "lbfgs"
        return float(len(self._epochs)) if is_probe else self._epochs_trained()

    def _off_budget(self) -> str | None:
        result, cell = self._data.result, self._data.trial.cell
        if result is None or result.status != "ok" or self._data.trial.mode == "calibrate":
            return None
        train_s, fit_s = self._phases_s.get("train"), self._fit_s()
        spent_s = {"train": train_s, "fit": fit_s, "wall": result.wall_s}[cell.budget_clock]
        steps = sum(sum(block.counts) for block in self._steps)
        return budget_flag(cell, spent_s=spent_s, step_s=train_s / steps if train_s and steps else None)

    def _fit_s(self) -> float | None:
        train_s = self._phases_s.get("train")
        if train_s is None:
            return None
        return self._phases_s.get("features", 0.0) + train_s + self._phases_s.get("validate", 0.0)

    def _images_trained(self) -> int:
        """Images of the epochs whose training ended, also where the epoch itself was not finished."""
        images = sum_images(self._steps) | {epoch.epoch: epoch.images for epoch in self._epochs}
        return sum(images.get(phase.epoch or 0, 0) for phase in self._phases if phase.phase == "train")

    def _samples_while_training(self) -> list[Row]:
        spans = [(phase.start_s, phase.end_s) for phase in self._phases if phase.phase == "train"]
        starts, ends = np.array(spans or np.empty((0, 2))).T
        times = np.array(self._sampled("t_s"))
        # Train phases follow one another: a sample lies in one if more have begun than have ended before it.
        inside = np.searchsorted(starts, times, side="right") > np.searchsorted(ends, times, side="left")
        return [sample for sample, is_inside in zip(self._samples, inside, strict=True) if is_inside]
