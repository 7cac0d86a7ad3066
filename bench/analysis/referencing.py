"""Reference curves from a run: what its trials reached, epoch by epoch, whatever they ran on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.analysis.curves import DECIMALS
from bench.analysis.rewind import surviving_events
from bench.records import Epoch, Tested
from bench.reference.curve import SCHEMA, Measured, ReferenceCurve, SeedCurve, merge

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.records import Device, Host, Run, RunData, Trial, TrialData


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What a run gives.

    Attributes:
        curves: One for each cell, devices, XLA and steps a call taken together; in the order of the trials.
        left_out: Trials that give none, each with the reason.
    """

    curves: tuple[ReferenceCurve, ...]
    left_out: tuple[str, ...]


GIVEN_UP = {"diverged", "hopeless"}


def reference_curves(run: RunData, *, contents: Mapping[str, str] | None = None) -> Taken:
    """Take reference curves from a run: of trials that ended ok after a number of epochs.

    A training that was cut short is no curve of the others' kind. Where one of a cell diverged or was given up, the
    others are none either: those that were spared would stand for all. Where a seed ran on several devices, the first
    one counts: its trainings are not independent of each other.

    Args:
        run: All that its folder holds.
        contents: Digests of the content of data sets that were recorded without, by their `sha256`.

    Returns:
        Curves that are merged as far as they can be.
    """
    curves: dict[str, ReferenceCurve] = {}
    left_out = []
    given_up = {data.trial.cell: data.result for data in run.trials if data.result and data.result.status in GIVEN_UP}
    for data in run.trials:
        reason = _unfit(data)
        if reason is None and (other := given_up.get(data.trial.cell)):
            reason = f"another seed of its cell ended {other.status}, and those that were spared do not stand for all"
        if reason:
            left_out.append(f"{_name(data.trial)}: {reason}")
            continue
        curve = _curve(run.run, data, contents or {})
        if curve.key in curves:
            merged = merge(curves[curve.key], curve)
            curves[curve.key] = merged.curve
            if not merged.added:
                left_out.append(f"{_name(data.trial)}: an earlier trial of the run has given this seed")
        else:
            curves[curve.key] = curve
    return Taken(curves=tuple(curves.values()), left_out=tuple(left_out))


def _unfit(data: TrialData) -> str | None:
    """Why a trial gives no curve; None if it does."""
    if data.trial.mode == "calibrate":
        return "it was a calibration, which trains no whole epoch"
    if data.result is None:
        return "it has no result: it is still to run, or was cut off"
    if data.result.status != "ok":
        return f"it ended {data.result.status}: {data.result.reason}"
    if not data.trial.cell.epochs:
        return "it has no number of epochs that others could share: a budget of time ended it, or it trained for none"
    seed = _seed_curve(data)
    if not seed.val_accuracy and seed.test_accuracy is None:
        return "no accuracy was recorded"
    return None


def _curve(run: Run, data: TrialData, contents: Mapping[str, str]) -> ReferenceCurve:
    cell, dataset = data.trial.cell, data.trial.cell.dataset
    assert cell.epochs is not None  # noqa: S101 -- `_unfit` has seen to it
    host = run.host_of(cell.device)
    source = Measured(
        run=run.name,
        created_unix_s=run.created_unix_s,
        version=run.version,
        commit=host.revision.commit if host.revision else None,
        machine=machine_name(host, cell.device),
        seeds=(data.trial.seed,),
    )
    return ReferenceCurve(
        schema=SCHEMA,
        model=cell.model.name,
        model_sha256=cell.model.sha256,
        recipe=cell.recipe,
        dataset=dataset.short_name,
        dataset_sha256=dataset.sha256,
        dataset_content=dataset.content or contents.get(dataset.sha256),
        num_train=dataset.num_train,
        num_validation=dataset.num_validation,
        num_test=dataset.num_test,
        num_classes=dataset.num_classes,
        batch_size=cell.batch_size,
        precision=cell.precision,
        weights_sha256=cell.weights.sha256 if cell.weights else "",
        epochs=cell.epochs,
        seeds=(_seed_curve(data),),
        provenance=(source,),
    )


def _seed_curve(data: TrialData) -> SeedCurve:
    events = surviving_events(data.events)
    by_epoch = {event.epoch: _rounded(event.val_accuracy) for event in events if isinstance(event, Epoch)}
    values = tuple(by_epoch.get(epoch) for epoch in range(1, (data.trial.cell.epochs or 0) + 1))
    tested = next((event.accuracy for event in events if isinstance(event, Tested)), None)
    return SeedCurve(
        seed=data.trial.seed,
        val_accuracy=values if any(value is not None for value in values) else (),
        test_accuracy=_rounded(tested),
    )


def _rounded(accuracy: float | None) -> float | None:
    return None if accuracy is None else round(accuracy, DECIMALS)


def machine_name(host: Host, device: Device) -> str:
    """What a device is called where nobody knows its machine, such as `Example CPU, cpu:2`."""
    names = {gpu.uuid: gpu.name for gpu in host.gpus}
    gpus = dict.fromkeys(names.get(uuid, "a GPU") for uuid in device.gpu_uuids)
    return f"{', '.join(gpus) or host.cpu}, {device.local_label}"


def _name(trial: Trial) -> str:
    return f"{trial.cell.label}, seed {trial.seed}"
