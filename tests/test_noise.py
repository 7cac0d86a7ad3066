"""What disturbed a trial: shares and rates over its training alone, and what of it is worth a flag."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.noise import Noise, measure_noise, noise_flags
from bench.analysis.steady import Steadiness
from bench.records import GpuSample, PhaseDone, Sample

TRAIN = [
    PhaseDone(phase="import", start_s=0.0, end_s=10.0),
    PhaseDone(phase="train", start_s=10.0, end_s=20.0, epoch=1),
    PhaseDone(phase="validate", start_s=20.0, end_s=30.0, epoch=1),
    PhaseDone(phase="train", start_s=30.0, end_s=40.0, epoch=2),
]


def is_training(t_s: float) -> bool:
    """Whether a moment lies in the training of `TRAIN`."""
    return 10 <= t_s < 20 or 30 <= t_s < 40


def sampled(**per_s: tuple[float, float]) -> list[Sample]:
    """Samples each 0.5 s for 50 s, of counts that grow so much a second while it trains, and while it does not."""
    moments = np.arange(0.0, 50.0, 0.5)
    inside = np.array([is_training(t_s) for t_s in moments])
    counts = {
        name: 100 + np.cumsum(np.append(0.0, np.where(inside, training, otherwise)[:-1] * 0.5))
        for name, (training, otherwise) in per_s.items()
    }
    return [
        Sample(t_s=float(t_s), **{name: float(count[index]) for name, count in counts.items()})
        for index, t_s in enumerate(moments)
    ]


def test_only_training_counts():
    """Shares are of the time in which it trained, whatever happened during import and validation."""
    samples = sampled(
        steal_s=(0.04, 1.0),
        busy_s=(1.9, 2.0),
        cpu_s=(1.5, 0.1),
        parent_cpu_s=(0.01, 0.5),
        cpu_pressure_s=(0.25, 1.0),
        throttled_periods=(2, 10),
        involuntary_switches=(30, 1000),
    )
    noise = measure_noise([samples], TRAIN, cpus=2)

    assert noise.steal_percent == pytest.approx(2.0)
    assert noise.others_cpu_percent == pytest.approx(19.5)
    assert noise.cpu_pressure_percent == pytest.approx(25.0)
    assert noise.throttled_periods == 40
    assert noise.involuntary_switches_per_s == pytest.approx(30.0)


@given(
    start_s=st.floats(0, 20),
    gaps_s=st.lists(st.floats(0.1, 3), min_size=10, max_size=60),
    lengths_s=st.lists(st.floats(1, 6), min_size=3, max_size=10),
)
def test_a_steady_rate_is_found_however_samples_and_phases_fall(start_s, gaps_s, lengths_s):
    """A count that grows evenly has its rate, even where phases are shorter than the time between two samples."""
    moments = np.cumsum([0.0, *gaps_s])
    edges = start_s + np.cumsum([0.0, *lengths_s])
    phases = [
        PhaseDone(phase="train" if index % 2 else "validate", start_s=float(start), end_s=float(end))
        for index, (start, end) in enumerate(pairwise(edges))
    ]
    samples = [Sample(t_s=float(t_s), steal_s=0.25 * float(t_s)) for t_s in moments]
    steal_percent = measure_noise([samples], phases, cpus=1).steal_percent

    sampled_s = sum(max(0.0, min(p.end_s, moments[-1]) - p.start_s) for p in phases if p.phase == "train")
    assert (steal_percent is not None) == (sampled_s >= 2.0) or sampled_s == pytest.approx(2.0)
    assert steal_percent is None or steal_percent == pytest.approx(25.0)


def test_processes_of_a_trial_are_told_apart():
    """Between the processes of a trial that was taken up again counts may fall, which is no negative noise."""
    first = [Sample(t_s=10.0 + t, steal_s=500 + 0.1 * t) for t in range(10)]
    second = [Sample(t_s=30.0 + t, steal_s=0.3 * t) for t in range(10)]
    noise = measure_noise([first, second], TRAIN, cpus=1)

    assert noise.steal_percent == pytest.approx(20.0)


def test_cpu_time_that_left_the_tree_is_not_others():
    """While the tree's CPU time falls, since a process took its own along, nothing is said of others."""
    samples = [
        Sample(t_s=10.0 + t, busy_s=float(t), cpu_s=float(t) - (5.0 if t > 5 else 0.0), parent_cpu_s=0.0)
        for t in range(10)
    ]
    assert measure_noise([samples], TRAIN, cpus=1).others_cpu_percent == pytest.approx(0.0)


def test_late_ticks_make_no_negative_share():
    """Where the trial's own CPU time is a little ahead of its CPUs', others have no less than nothing."""
    samples = sampled(busy_s=(1.0, 1.0), cpu_s=(1.01, 1.0), parent_cpu_s=(0.01, 0.0))

    assert measure_noise([samples], TRAIN, cpus=1).others_cpu_percent == 0.0


def test_what_was_not_sampled_is_not_known():
    """Without samples, without pinning or with too short a training a share is None, never 0."""
    samples = sampled(steal_s=(0.5, 0.5), busy_s=(1, 1))
    short = [PhaseDone(phase="train", start_s=10.0, end_s=11.0)]

    assert measure_noise([], TRAIN, cpus=1) == Noise()
    assert measure_noise([samples], [], cpus=1) == Noise()
    assert measure_noise([samples], short, cpus=1).steal_percent is None
    assert measure_noise([samples], TRAIN, cpus=0).steal_percent is None
    assert measure_noise([samples], TRAIN, cpus=1).others_cpu_percent is None


def test_frequencies_and_gpus_are_those_of_the_training():
    """Clocks, foreign processes and slow-downs outside of training leave no trace; a moment's slow-down neither."""

    def gpu(t_s: float) -> dict[str, Any]:
        reasons = 0x4 | (0x8 if t_s == 15 else 0) if is_training(t_s) else 0x60
        foreign = [2 if t_s == 12 else 1, None] if is_training(t_s) else [9, 9]
        return {
            "frequency_mhz": 2000.0 + t_s if is_training(t_s) else 400.0,
            "gpus": tuple(
                GpuSample(uuid=f"GPU-{index}", clock_event_reasons=reasons | 0x1, foreign_processes=count)
                for index, count in enumerate(foreign)
            ),
        }

    noise = measure_noise([[Sample(t_s=float(t_s), **gpu(t_s)) for t_s in range(50)]], TRAIN, cpus=1)

    assert noise.foreign_gpu_processes == 2
    assert noise.gpu_slowdowns == ("its power cap",)


def test_one_gpu_of_several_that_slows_down_is_told():
    """The others wait for it, so its share of their samples together does not matter."""

    def gpus(t_s: float) -> tuple[GpuSample, ...]:
        return tuple(
            GpuSample(uuid=f"GPU-{index}", clock_event_reasons=0x40 if index == 3 and t_s % 3 == 0 else 0)
            for index in range(8)
        )

    noise = measure_noise([[Sample(t_s=float(t_s), gpus=gpus(t_s)) for t_s in range(50)]], TRAIN, cpus=1)
    assert noise.gpu_slowdowns == ("heat (hardware)",)


# -- flags -------------------------------------------------------------------------------------------------------------

QUIET = Noise(
    steal_percent=0.5,
    others_cpu_percent=1.0,
    throttled_periods=0,
    cpu_pressure_percent=80.0,
    involuntary_switches_per_s=1500.0,
    frequency_mhz=2000.0,
    foreign_gpu_processes=0,
)


def test_a_quiet_trial_has_no_flags():
    """Neither a quiet trial, whose own threads wait for each other, nor one of which nothing is known is flagged."""
    steadiness = Steadiness(steady=True, reason="", first_steady=0)

    assert noise_flags(QUIET, steadiness, sentinel_before_s=1.0, sentinel_after_s=1.02) == ()
    assert noise_flags(Noise(), Steadiness(None, "3 steps", None), sentinel_before_s=1.0) == ()


def test_a_virtual_machine_may_drift_more() -> None:
    """Others change a virtual machine's speed all the time, so only a larger drift is worth a flag there."""
    before = {"sentinel_before_s": 1.0, "virtualized": True}
    assert noise_flags(QUIET, sentinel_after_s=1.08, **before) == ()
    assert noise_flags(QUIET, sentinel_after_s=1.12, **before) == ("the machine became 12 % slower while it trained",)


@pytest.mark.parametrize(
    ("noise", "more", "flag"),
    [
        (Noise(steal_percent=3.21), {}, "the hypervisor took 3.2 % of its cores' time"),
        (Noise(others_cpu_percent=49.7), {}, "other processes took 50 % of its cores' time"),
        (Noise(throttled_periods=7), {}, "the control group's quota of CPU time stopped it in 7 periods"),
        (Noise(foreign_gpu_processes=2), {}, "other processes computed on its GPU, up to 2 at a time"),
        (Noise(gpu_slowdowns=("its power cap", "heat")), {}, "its GPU slowed down for its power cap, heat"),
        (
            Noise(),
            {"sentinel_before_s": 1.0, "sentinel_after_s": 1.05},
            "the machine became 5 % slower while it trained",
        ),
        (
            Noise(),
            {"sentinel_before_s": 1.0, "sentinel_after_s": 0.9},
            "the machine became 10 % faster while it trained",
        ),
        (
            Noise(),
            {"steadiness": Steadiness(False, "the second half took 50 % longer", None)},
            "its steps were not steady: the second half took 50 % longer",
        ),
    ],
)
def test_each_disturbance_has_its_flag(noise, more, flag):
    """One disturbance is one sentence with its size."""
    assert noise_flags(noise, **more) == (flag,)
