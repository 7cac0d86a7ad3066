"""The analysis room: from raw data to DataFrames."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

import msgspec
import pandas as pd
import pytest

from bench.analysis.columns import COLUMNS
from bench.analysis.frame import frames, load_report, rows_of
from bench.analysis.machines import fingerprint
from bench.analysis.rewind import surviving_events, surviving_samples
from bench.errors import StoreError
from bench.peaks import DevicePeak
from bench.recipe import Recipe
from bench.records import (
    Attempt,
    Device,
    Epoch,
    Flops,
    GpuSample,
    Phase,
    PhaseDone,
    Record,
    Result,
    Runtime,
    Sample,
    Steps,
    Trial,
    TrialData,
)
from records_for_tests import (
    CPU,
    DATASET,
    GPU,
    PEAK,
    end,
    ended_trial,
    epoch,
    epochs,
    ok_trial,
    run_data,
    samples,
    start_up,
    trial,
)


def row(data: TrialData) -> dict[str, object]:
    """The trial's row, `<NA>` as None."""
    return rows_of(frames(run_data(data)).trials)[0]


def resumed_trial() -> TrialData:
    """Three epochs: the first process was lost in epoch 2 at 25 s, the second went on after epoch 1, at 17.5 s."""
    asked = trial(epochs=3)
    first = [*start_up(asked), *epoch(asked, 1, start_s=5.0, train_s=11.0), *epoch(asked, 2, start_s=17.5, train_s=6.0)]
    lost = [event for event in first if not (isinstance(event, Epoch) and event.epoch == 2)]
    second = start_up(asked, number=2, offset_s=17.5, epochs_done=1)
    return TrialData(
        trial=asked,
        events=(*lost, *second, *epochs(asked, first=2, start_s=22.5, train_s=10.0), *end(start_s=45.5)),
        samples=(*samples(until_s=25.0), *samples(start_s=17.6, until_s=45.0)),
        result=Result(key=asked.key, status="ok", wall_s=48.0, attempts=2),
    )


def test_every_frame_has_exactly_the_documented_columns() -> None:
    """The three frames have the columns that the table documents, in its order and with its dtypes, even when empty."""
    for data in (run_data(), run_data(ok_trial(trial()))):
        report = frames(data)
        for name in ("trials", "epochs", "samples"):
            frame: pd.DataFrame = getattr(report, name)
            documented = {column: described.dtype for column, described in COLUMNS[name].items()}
            assert frame.dtypes.astype(str).to_dict() == documented


def test_every_documented_column_states_its_unit() -> None:
    """A column whose name ends in a unit says that unit in words."""
    units = {"_s": "second", "_bytes": "bytes", "_percent": "percent", "_joules": "joules", "_watts": "watts"}
    for columns in COLUMNS.values():
        for name, column in columns.items():
            for suffix, unit in units.items():
                if name.endswith(suffix):
                    assert unit in column.meaning, name


def test_a_trial_is_summed_up_from_its_raw_data() -> None:
    """Times are sums of phases, the rate is images over training time, peaks are the highest of all that was seen."""
    measured = row(ok_trial(trial(), train_s=10.0))
    assert measured["status"] == "ok"
    assert measured["epochs_done"] == 2
    assert measured["train_s"] == 20.0
    assert measured["validate_s"] == 2.0
    assert measured["fit_s"] == 22.0
    assert measured["checkpoint_s"] == 1.0
    assert measured["wall_s"] == 31.0
    assert measured["import_s"] == 2.0
    assert measured["warmup_s"] == 1.25
    assert measured["test_s"] == 2.0
    assert measured["epoch_s"] == 11.0
    assert measured["step_s"] == 1.0
    assert measured["images_per_s"] == 100.0
    assert measured["test_accuracy"] == 0.381
    assert measured["val_accuracy"] == pytest.approx(0.28)
    assert measured["peak_rss_bytes"] == 1_420_000_000
    assert measured["peak_pss_bytes"] == 1_100_000_000
    assert measured["cpu_percent"] == 198.0
    assert measured["sampler_percent"] == pytest.approx(0.1)
    assert measured["flags"] == ()


def test_means_are_taken_while_training_only() -> None:
    """Start-up and testing do not dilute the mean CPU time."""
    asked = trial()
    idle = tuple(Sample(t_s=float(t), cpu_percent=5.0) for t in range(1, 5))
    busy = tuple(Sample(t_s=float(t), cpu_percent=200.0) for t in (6, 10, 14, 18))
    assert row(ok_trial(asked, train_s=10.0, samples=idle + busy))["cpu_percent"] == 200.0


def test_a_cpu_trial_has_no_gpu_numbers() -> None:
    """What was not measured is missing, never 0."""
    measured = row(ok_trial(trial()))
    for name in ("peak_gpu_bytes", "gpu_memory_used_bytes", "gpu_utilization_percent", "energy_joules"):
        assert measured[name] is None


def test_gpu_numbers_come_from_the_trials_gpus() -> None:
    """Memory and energy are summed over GPUs, utilization is averaged."""
    two = msgspec.structs.replace(GPU, gpu_uuids=("GPU-1", "GPU-2"), gpu_indices=(0, 1))
    measured = row(ok_trial(trial(device=two), train_s=10.0))
    assert measured["device"] == "gpu:0+1"
    assert measured["gpu_memory_used_bytes"] == 6_000_000_000
    assert measured["gpu_utilization_percent"] == 80.0
    assert measured["energy_joules"] == pytest.approx(2 * 100.0 * (28.0 - 1.0))
    assert measured["peak_gpu_bytes"] == 2_500_000_000


def test_one_unreadable_gpu_makes_the_sum_unknown() -> None:
    """The sum of some GPUs is not passed off as the sum of all."""
    gpus = (GpuSample(uuid="GPU-1", memory_used_bytes=1), GpuSample(uuid="GPU-2"))
    report = frames(run_data(ok_trial(trial(device=GPU), samples=(Sample(t_s=6.0, gpus=gpus),))))
    assert report.samples["gpu_memory_used_bytes"].isna().all()


def test_clock_event_reasons_of_all_gpus_are_joined() -> None:
    """A reason of any GPU shows."""
    gpus = (GpuSample(uuid="GPU-1", clock_event_reasons=0x4), GpuSample(uuid="GPU-2", clock_event_reasons=0x20))
    report = frames(run_data(ok_trial(trial(device=GPU), samples=(Sample(t_s=6.0, gpus=gpus),))))
    assert report.samples["gpu_clock_event_reasons"].tolist() == [0x24]


def on_machine(data: TrialData, machine: str) -> TrialData:
    """The same trial on another machine."""
    return changed(data, Attempt, machine=machine)


def peaked_row(data: TrialData, *, machine: str, flops_per_s: float = 1e12, cpu_share: float = 1.0) -> dict[str, Any]:
    """The row of a trial whose model takes 5 GFLOP an image, on a device whose peak is known on a machine."""
    peak = msgspec.structs.replace(PEAK, flops_per_s=flops_per_s, cpu_share=cpu_share)
    found = DevicePeak(machine=machine, device="cpu:2", precision="float32", jit="off", peak=peak)
    counted = (*data.events, Flops(forward=10**9, training=5 * 10**9, operations=100, traffic_bytes=10**6))
    run = run_data(msgspec.structs.replace(data, events=counted))
    (row,) = frames(msgspec.structs.replace(run, peaks=(found,))).trials.to_dict("records")
    return row


def test_a_trial_is_held_against_the_machine_that_it_ran_on() -> None:
    """A peak counts for trials of its own machine alone; one that ran elsewhere than planned says so."""
    planned_on = fingerprint(run_data().run.host)
    here = on_machine(ok_trial(trial()), planned_on)
    assert peaked_row(here, machine=planned_on)["attained_fraction"] == pytest.approx(0.5)
    assert pd.isna(peaked_row(here, machine="elsewhere")["attained_fraction"])
    moved = peaked_row(on_machine(ok_trial(trial()), "elsewhere"), machine="elsewhere")
    assert moved["attained_fraction"] == pytest.approx(0.5)
    assert moved["flags"] == ("it ran on another machine than its run was planned on",)


def test_a_peak_that_is_too_low_is_doubted() -> None:
    """A share of a peak that was disturbed, or that a training exceeded, is not passed off as true."""
    planned_on = fingerprint(run_data().run.host)
    here = on_machine(ok_trial(trial()), planned_on)
    (disturbed,) = peaked_row(here, machine=planned_on, cpu_share=0.6)["flags"]
    assert "beside something else" in disturbed
    (exceeded,) = peaked_row(here, machine=planned_on, flops_per_s=1e11)["flags"]
    assert "attained more than its device did" in exceeded


def test_what_no_phase_accounts_for_is_left_over() -> None:
    """It is wall time less phases; a process that was lost before an epoch ended does not count twice."""
    (whole,) = (
        frames(run_data(ok_trial(trial())))
        .trials.fillna({f"{phase}_s": 0.0 for phase in get_args(Phase)})
        .to_dict("records")
    )
    phases_s = sum(whole[f"{phase}_s"] for phase in get_args(Phase))
    assert whole["other_s"] == pytest.approx(whole["wall_s"] - phases_s)
    began = [event for event in ok_trial(trial()).events if isinstance(event, PhaseDone) and event.epoch is None][:4]
    lost = (*ok_trial(trial()).events[:1], *began, *ok_trial(trial()).events)
    assert row(msgspec.structs.replace(ok_trial(trial()), events=lost))["other_s"] == pytest.approx(whole["other_s"])
    assert row(ended_trial(trial(), status="timeout", reason="late"))["other_s"] is None


def test_epochs_are_rows_with_their_own_rate() -> None:
    """Each finished epoch is a row with its phases, losses and accuracies."""
    table = frames(run_data(ok_trial(trial(epochs=3), train_s=8.0))).epochs
    assert table["epoch"].tolist() == [1, 2, 3]
    assert table["train_s"].tolist() == [8.0, 8.0, 8.0]
    assert table["validate_s"].tolist() == [1.0, 1.0, 1.0]
    assert table["images_per_s"].tolist() == [125.0, 125.0, 125.0]
    assert table["loss"].tolist() == [3.0, 1.5, 1.0]


def test_a_trial_without_validation_has_the_same_fit_and_train_time() -> None:
    """Where no images are held back, `fit_s` is `train_s` and validation columns are missing."""
    asked = trial(epochs=1, dataset=msgspec.structs.replace(DATASET, num_validation=0))
    events = (
        *start_up(asked),
        PhaseDone(phase="train", start_s=5.0, end_s=15.0, epoch=1),
        Epoch(epoch=1, end_s=15.0, images=1000, loss=1.0, accuracy=0.5),
    )
    measured = row(ok_trial(asked, events=events))
    assert measured["fit_s"] == measured["train_s"] == 10.0
    assert measured["validate_s"] is None
    assert measured["val_accuracy"] is None


def test_a_trial_that_never_began_is_a_row_with_its_reason() -> None:
    """A skipped trial has a status and a reason and no numbers."""
    measured = row(ended_trial(trial(), status="skipped", reason="needs 31 GB of memory"))
    assert (measured["status"], measured["reason"]) == ("skipped", "needs 31 GB of memory")
    assert measured["epochs_done"] == 0
    for name in ("train_s", "fit_s", "wall_s", "images_per_s", "test_accuracy", "step_s", "sampler_percent"):
        assert measured[name] is None, name


def test_a_trial_that_diverged_in_its_first_epoch_keeps_what_was_measured() -> None:
    """Training that ended without a finished epoch still has a time and a rate, and no accuracy."""
    asked = trial()
    events = [*start_up(asked), *epoch(asked, 1, start_s=5.0, train_s=10.0)[:2]]
    measured = row(ended_trial(asked, status="diverged", reason="the training loss became nan", events=events))
    assert measured["epochs_done"] == 0
    assert measured["train_s"] == 10.0
    assert measured["images_per_s"] == 100.0
    assert measured["epoch_s"] is None
    assert measured["val_accuracy"] is None


def test_a_trial_without_a_result_is_interrupted() -> None:
    """A run that was cut off, power included, still reads: its trials are rows that say so."""
    asked = trial()
    assert row(TrialData(trial=asked))["reason"] == "has not begun"
    begun = row(TrialData(trial=asked, events=tuple(start_up(asked))))
    assert (begun["status"], begun["reason"], begun["attempts"]) == ("interrupted", "has not ended", 1)


def test_cells_are_numbered_by_content_and_not_by_name() -> None:
    """Seeds share a cell; two files of the same name do not."""
    other = msgspec.structs.replace(trial().cell.model, sha256="b" * 64)
    asked = [trial(seed=0), trial(seed=1), Trial(cell=msgspec.structs.replace(trial().cell, model=other), seed=0)]
    assert frames(run_data(*map(ok_trial, asked))).trials["cell"].tolist() == [1, 1, 2]


def test_cells_that_differ_in_their_device_alone_are_one_workload() -> None:
    """Any other difference, the model file's content included, makes another workload."""
    other = msgspec.structs.replace(trial().cell.model, sha256="b" * 64)
    asked = [trial(), trial(device=GPU), trial(seed=1), trial(batch_size=7), trial(epochs=3), trial()]
    asked[-1] = Trial(cell=msgspec.structs.replace(trial().cell, model=other), seed=0)
    assert frames(run_data(*map(ok_trial, asked))).trials["workload"].tolist() == [1, 1, 1, 2, 3, 4]


def test_a_resumed_trial_counts_lost_work_once() -> None:
    """Each epoch counts once, with the times of the process that finished it."""
    report = frames(run_data(resumed_trial()))
    assert report.epochs["epoch"].tolist() == [1, 2, 3]
    assert report.epochs["train_s"].tolist() == [11.0, 10.0, 10.0]
    measured = rows_of(report.trials)[0]
    assert measured["train_s"] == 31.0
    assert measured["epochs_done"] == 3
    assert measured["images_per_s"] == pytest.approx(3000 / 31.0)
    assert measured["attempts"] == 2


def test_every_process_pays_for_its_start_up() -> None:
    """Start-up phases of all attempts are summed."""
    measured = row(resumed_trial())
    assert measured["import_s"] == 4.0
    assert measured["warmup_s"] == 2.5


def test_samples_of_lost_work_are_left_out() -> None:
    """The samples' clock never goes back, and nothing of the first process after its last finished epoch remains."""
    times = frames(run_data(resumed_trial())).samples["t_s"]
    assert times.is_monotonic_increasing
    assert times.is_unique
    assert [t for t in times if 17.0 < t < 20.0] == pytest.approx([18.6, 19.6])


def test_energy_between_two_processes_is_not_the_trials() -> None:
    """The counter ran on while the trial was interrupted; only each process's own difference counts."""
    gpus = ("GPU-1",)
    before = samples(until_s=25.0, gpus=gpus)
    after = samples(start_s=17.5, until_s=27.5, gpus=gpus, energy_joules=1e9)
    data = msgspec.structs.replace(resumed_trial(), samples=(*before, *after))
    assert row(data)["energy_joules"] == pytest.approx(100.0 * (17.0 - 1.0) + 100.0 * 9.0)


def test_events_of_a_lost_end_are_left_out() -> None:
    """A test that is done again replaces the one before."""
    asked = trial(epochs=1)
    tested = [*start_up(asked), *epochs(asked), *end(start_s=16.5, accuracy=0.1)]
    again = [*start_up(asked, number=2, offset_s=16.5, epochs_done=1), *end(start_s=21.5, accuracy=0.2)]
    measured = row(ok_trial(asked, events=(*tested, *again)))
    assert measured["test_accuracy"] == 0.2
    assert measured["test_s"] == 2.0


def test_a_single_attempt_loses_nothing() -> None:
    """Without an interruption all events and samples survive, in their order."""
    data = ok_trial(trial())
    assert surviving_events(data.events) == data.events
    assert surviving_samples(data.samples, [Attempt(number=1, unix_s=0.0)]) == (data.samples,)


def test_three_attempts_leave_one_row_of_samples() -> None:
    """A process that was lost before it finished an epoch leaves no samples at all."""
    attempts = [Attempt(number=n, unix_s=0.0, offset_s=offset_s) for n, offset_s in ((1, 0.0), (2, 10.0), (3, 10.0))]
    taken = [Sample(t_s=t_s) for t_s in (5.0, 9.0, 12.0, 10.5, 14.0, 10.25, 11.0)]
    groups = surviving_samples(taken, attempts)
    assert [[sample.t_s for sample in group] for group in groups] == [[5.0, 9.0], [10.25, 11.0]]


def test_steps_of_a_lost_epoch_do_not_reach_the_median() -> None:
    """A step that was done again counts once."""
    kept = surviving_events(resumed_trial().events)
    assert [event.epoch for event in kept if isinstance(event, Steps)] == [1, 2, 3]


def test_a_block_of_steps_counts_as_many_steps() -> None:
    """The median is over steps, not over blocks."""
    asked = trial(epochs=1)
    blocks = Steps(epoch=1, start_s=5.0, counts=(1, 1, 8), ends_s=(10.0, 15.0, 17.0), images=1000)
    assert row(ok_trial(asked, events=(*start_up(asked), blocks)))["step_s"] == 0.25


def changed(data: TrialData, kind: type[Record], **changes: object) -> TrialData:
    """The same trial with fields of its events of one kind replaced."""
    events = tuple(msgspec.structs.replace(e, **changes) if isinstance(e, kind) else e for e in data.events)
    return msgspec.structs.replace(data, events=events)


def flagged() -> list[tuple[TrialData, str]]:
    """Trials that deserve one flag each."""
    plain = ok_trial(trial())
    one = ok_trial(trial(device=msgspec.structs.replace(CPU, threads=1)))
    busy = Result(key=trial().key, status="ok", attempts=1, sampler_cpu_s=0.5, sampled_s=28.0)
    asked = trial(dataset=msgspec.structs.replace(DATASET, official=False))
    return [
        (changed(one, Runtime, threads_used=2), "2 threads worked, 1 was asked for"),
        (changed(plain, Runtime, threads_used=1), "1 thread worked, 2 were asked for"),
        (changed(plain, Runtime, cpus=(3, 2)), "ran on CPUs 2, 3; 0, 1 asked for"),
        (
            changed(plain, Runtime, not_preloaded={"/lib/libcudnn.so.9": "file too short"}),
            "the installed CUDA library /lib/libcudnn.so.9 could not be loaded: file too short",
        ),
        (resumed_trial(), "attempt 1 did not finish; taken up after epoch 1"),
        (ok_trial(asked), "the data set is not the published cifar100"),
        (msgspec.structs.replace(plain, damaged_lines=3), "journal lines that could not be read: 3"),
        (ok_trial(trial(), train_s=1.05), "short: 2.1 s of training"),
        (msgspec.structs.replace(plain, result=busy), "sampling took 1.8 % of a core"),
    ]


@pytest.mark.parametrize(("data", "flag"), flagged(), ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_doubtful_is_said(data: TrialData, flag: str) -> None:
    """Each doubt is a flag of its own, in words."""
    assert row(data)["flags"] == (flag,)


def test_threads_that_could_not_be_seen_are_no_doubt() -> None:
    """Unknown is not different."""
    assert row(changed(ok_trial(trial()), Runtime, threads_used=None, cpus=()))["flags"] == ()


def test_unread_metrics_keep_their_reasons() -> None:
    """What is missing says why."""
    asked = trial()
    result = Result(key=asked.key, status="ok", attempts=1, missing={"energy_joules": "NotSupported"})
    assert row(ok_trial(asked, result=result))["missing"] == ("energy_joules: NotSupported",)


def test_a_report_cannot_be_changed_by_its_reader() -> None:
    """`Report` is frozen."""
    report = frames(run_data())
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.trials = report.epochs  # type: ignore[misc]


def test_a_folder_that_holds_no_run_is_an_error_in_words(tmp_path: Path) -> None:
    """Reading an empty folder says what it is not."""
    with pytest.raises(StoreError, match=r"run\.json"):
        load_report(tmp_path)


def test_energy_of_some_gpus_does_not_pass_for_that_of_all() -> None:
    """Where one of two GPUs has no energy counter, the trial's energy is missing, not half."""
    gpus = ("GPU-a", "GPU-b")
    asked = trial(device=Device(kind="gpu", threads=2, gpu_uuids=gpus, gpu_indices=(0, 1)))
    data = ok_trial(asked)
    half = tuple(
        msgspec.structs.replace(
            sample, gpus=(sample.gpus[0], msgspec.structs.replace(sample.gpus[1], energy_joules=None))
        )
        for sample in data.samples
    )
    assert row(data)["energy_joules"] > 0
    assert row(msgspec.structs.replace(data, samples=half))["energy_joules"] is None


def test_a_step_of_a_gpu_has_no_time() -> None:
    """On a GPU a stamp tells when a step was handed over; its time is missing rather than wrong."""
    asked = trial(device=Device(kind="gpu", threads=2, gpu_uuids=("GPU-a",), gpu_indices=(0,)))
    assert row(ok_trial(asked))["step_s"] is None
    assert row(ok_trial(trial()))["step_s"] > 0


@pytest.mark.parametrize(
    ("asked", "got", "said"),
    [
        ("on", False, "oneDNN, which the cell asks for, is not in this build"),
        ("off", True, "TensorFlow computes with oneDNN, which the cell asks it not to do"),
        ("on", True, None),
        ("on", None, None),
        ("off", False, None),
    ],
)
def test_other_kernels_than_the_cell_asks_for_are_noted(asked: str, got: bool | None, said: str | None) -> None:
    """Whether oneDNN was used is what TensorFlow says, not what was asked for."""
    data = ok_trial(trial(onednn=asked))
    events = tuple(
        msgspec.structs.replace(event, onednn=got) if isinstance(event, Runtime) else event for event in data.events
    )
    flags = row(msgspec.structs.replace(data, events=events))["flags"]
    noted = [flag for flag in flags if "oneDNN" in flag]
    assert (len(noted) == 1 and said in noted[0]) if said else not noted


@pytest.mark.parametrize(
    ("changed", "is_said"),
    [
        ({}, False),
        ({"device": Device(kind="gpu", threads=2, gpu_uuids=("GPU-a",), gpu_indices=(0,))}, True),
        ({"precision": "mixed_bfloat16"}, True),
        ({"jit": "on"}, True),
    ],
)
def test_a_way_to_convolve_that_is_not_taken_is_noted(changed: dict[str, object], is_said: bool) -> None:
    """Where both ways were asked for, two cells did the same work."""
    asked = trial(recipe=Recipe(epochs=1, batch_size=100, convolutions="winograd"), **changed)
    flags = row(ok_trial(asked))["flags"]
    assert any("convolved directly" in flag for flag in flags) is is_said


def test_what_changes_the_arithmetic_unasked_is_noted() -> None:
    """TF32 under float32, and variables that change results, stand in the flags."""
    data = ok_trial(trial())
    changed = tuple(
        msgspec.structs.replace(event, tensor_float_32=True, environment={"TF_ENABLE_ONEDNN_OPTS": "0"})
        if isinstance(event, Runtime)
        else event
        for event in data.events
    )
    noted = "; ".join(row(msgspec.structs.replace(data, events=changed))["flags"])
    assert "TF32" in noted
    assert "TF_ENABLE_ONEDNN_OPTS=0" in noted
