"""Energy: the processor packages' counters, and what a phase used of any counter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec.structs import replace

from bench.analysis.energy import Energy, gpu_energy, package_energy
from bench.analysis.frame import frames, rows_of
from bench.meter.energy import PackageEnergy
from bench.meter.readings import Ledger, UnreadableError
from bench.meter.sampler import Sampler
from bench.records import GpuSample, PhaseDone, Sample, TrialData
from records_for_tests import CPU, GPU, ok_trial, run_data, start_up, trial

POWERCAP = "sys/class/powercap"
RANGE = 262_143_328_850  # what a real package tells, in microjoules


def write_zone(root: Path, zone: str, name: str, microjoules: int) -> Path:
    """Write a zone of an invented /sys, as far as it is read; return its counter."""
    folder = root / POWERCAP / zone
    folder.mkdir(parents=True, exist_ok=True)
    for file, text in (("name", name), ("energy_uj", str(microjoules)), ("max_energy_range_uj", str(RANGE))):
        (folder / file).write_text(text + "\n")
    return folder / "energy_uj"


def missing(root: Path) -> str:
    """Why the packages' energy is missing; no value may be there."""
    ledger, energy = Ledger(), PackageEnergy(root)
    assert ledger.take("package_energy_joules", energy.read_joules) is None
    energy.close()
    return ledger.missing["package_energy_joules"]


# The packages' counters


def test_packages_are_summed_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    """Cores and memory lie in a package, the platform around it, and a second interface repeats it: none is added."""
    first = write_zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)
    second = write_zone(tmp_path, "intel-rapl:1", "package-1", 7_000_000)
    others = [
        write_zone(tmp_path, zone, name, 1)
        for zone, name in (
            ("intel-rapl:0:0", "core"),
            ("intel-rapl:0:1", "dram"),
            ("intel-rapl:2", "psys"),
            ("intel-rapl-mmio:0", "package-0"),
        )
    ]
    energy = PackageEnergy(tmp_path)
    assert energy.read_joules() == 0.0
    first.write_text("6500000\n")
    second.write_text("7250000\n")
    for other in others:
        other.write_text("999000000\n")
    assert energy.read_joules() == 1.75
    assert energy.read_joules() == 1.75
    energy.close()


def test_a_counter_that_starts_again_goes_on(tmp_path: Path) -> None:
    """At its limit a counter begins anew, any number of times, and the sum grows on."""
    counter = write_zone(tmp_path, "intel-rapl:0", "package-0", RANGE - 2_000_000)
    energy = PackageEnergy(tmp_path)
    read = [energy.read_joules()]
    for microjoules in (1_000_000, RANGE - 1_000_000, 500_000):
        counter.write_text(f"{microjoules}\n")
        read.append(energy.read_joules())
    assert read == pytest.approx([0.0, 3.0, 3.0 + RANGE / 1e6 - 2.0, 3.0 + RANGE / 1e6 - 0.5])
    energy.close()


def test_a_restart_from_an_unknown_limit_is_no_energy(tmp_path: Path) -> None:
    """Without the limit, a counter that went back has no value, rather than a wrong one."""
    counter = write_zone(tmp_path, "intel-rapl:0", "package-0", 2_000_000)
    (counter.parent / "max_energy_range_uj").unlink()
    energy = PackageEnergy(tmp_path)
    energy.read_joules()
    counter.write_text("1000000\n")
    with pytest.raises(UnreadableError, match="started again"):
        energy.read_joules()
    energy.close()


def test_no_counters(tmp_path: Path) -> None:
    """Where there are none, as in most virtual machines, the reason says so; on other systems, that only Linux has."""
    assert "only Linux" in missing(tmp_path)
    (tmp_path / POWERCAP / "intel-rapl").mkdir(parents=True)  # the driver without a processor that it knows
    assert "most virtual machines" in missing(tmp_path)
    write_zone(tmp_path, "intel-rapl:0", "psys", 1)
    assert "most virtual machines" in missing(tmp_path)


def test_counters_that_a_container_hides(tmp_path: Path) -> None:
    """Names that lead nowhere, as a container runtime leaves them, are told from counters that are not there."""
    (tmp_path / POWERCAP).mkdir(parents=True)
    (tmp_path / POWERCAP / "intel-rapl:0").symlink_to("../../devices/virtual/powercap/intel-rapl/intel-rapl:0")
    assert "systempaths=unconfined" in missing(tmp_path)


def test_counters_of_root_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What keeps other users out is said with the commands that open it, if only one of two packages is closed too."""
    write_zone(tmp_path, "intel-rapl:0", "package-0", 1)
    closed = write_zone(tmp_path, "intel-rapl:1", "package-1", 1)
    open_file = os.open

    def refuse(path: Any, *arguments: Any, **options: Any) -> int:
        """What the kernel answers to anybody but root, whoever runs this test."""
        if path == closed:
            raise PermissionError(13, "Permission denied", str(path))
        return open_file(path, *arguments, **options)

    monkeypatch.setattr("os.open", refuse)
    reason = missing(tmp_path)
    assert "CVE-2020-8694" in reason
    assert "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in reason
    assert (
        'SUBSYSTEM=="powercap", ACTION=="add", KERNEL=="intel-rapl:*", RUN+="/bin/chmod a+r /sys%p/energy_uj"' in reason
    )


@pytest.mark.skipif(not psutil.LINUX, reason="reads /sys, which only Linux has")
def test_the_sampler_has_the_packages_energy_or_the_reason() -> None:
    """On the real machine each sample has the energy, or the reason why there is none stands in `missing`."""
    sampler = Sampler(pid=os.getpid(), gpu_uuids=[], interval_s=1.0, clock=lambda: 0.0)
    sample = sampler.poll()
    sampler.close()
    assert sample is not None
    assert (sample.package_energy_joules is None) == ("package_energy_joules" in sampler.missing)


# A phase's share


def phase(start_s: float, end_s: float) -> PhaseDone:
    """A phase of training."""
    return PhaseDone(phase="train", start_s=start_s, end_s=end_s, epoch=1)


def packages(*readings: tuple[float, float | None]) -> list[Sample]:
    """Samples at these times with these counts, in joules."""
    return [Sample(t_s=t_s, package_energy_joules=joules) for t_s, joules in readings]


def test_a_phase_is_interpolated_between_samples() -> None:
    """At 10 W until 4 s and 100 W after it, a phase from 3 s to 5 s used 10 J and 100 J."""
    energy = package_energy([packages((0.0, 7.0), (2.0, 27.0), (4.0, 47.0), (6.0, 247.0))])
    assert energy.joules([phase(3.0, 5.0)]) == pytest.approx(110.0)
    assert energy.joules([phase(3.0, 5.0), phase(5.0, 6.0)]) == pytest.approx(210.0)
    assert energy.total_joules() == pytest.approx(240.0)


def test_a_reading_that_failed_is_bridged() -> None:
    """A counter that was not read for a while has counted meanwhile."""
    energy = package_energy([packages((0.0, 0.0), (2.0, None), (4.0, None), (6.0, 60.0))])
    assert energy.joules([phase(1.0, 3.0)]) == pytest.approx(20.0)


@pytest.mark.parametrize(("start_s", "end_s", "joules"), [(9.0, 20.2, 112.0), (9.0, 30.0, None), (30.0, 40.0, None)])
def test_a_phase_beyond_the_last_sample(start_s: float, end_s: float, joules: float | None) -> None:
    """A tenth that no sample covers had the power of the rest; more than that is not guessed."""
    energy = package_energy([packages((0.0, 0.0), (10.0, 100.0), (20.0, 200.0))])
    assert energy.joules([phase(start_s, end_s)]) == (None if joules is None else pytest.approx(joules))


@pytest.mark.parametrize(
    "segments",
    [[], [[]], [packages((0.0, None), (9.0, None))], [packages((0.0, 1.0))], [packages((0.0, 9.0), (9.0, 1.0))]],
    ids=["no process", "no sample", "never read", "read once", "went back"],
)
def test_a_counter_that_tells_nothing(segments: list[list[Sample]]) -> None:
    """Without two readings, or after a counter went back, energy is unknown and never 0."""
    energy = package_energy(segments)
    assert energy.joules([phase(1.0, 8.0)]) is None
    assert energy.total_joules() is None


def test_no_phase_has_no_energy() -> None:
    """A trial that was not tested has no energy of testing, rather than 0 J."""
    energy = package_energy([packages((0.0, 0.0), (9.0, 90.0))])
    assert energy.joules([]) is None
    assert energy.joules([phase(2.0, 2.0)]) == 0.0


def test_each_process_has_counters_of_its_own() -> None:
    """A phase is of the process in whose time it lies; what a counter did between two processes is nobody's."""
    energy = package_energy([packages((0.0, 500.0), (10.0, 600.0)), packages((10.5, 0.0), (20.5, 300.0))])
    assert energy.joules([phase(2.0, 4.0), phase(12.0, 14.0)]) == pytest.approx(20.0 + 60.0)
    assert energy.total_joules() == pytest.approx(400.0)


def test_gpus_are_summed_if_all_are_known() -> None:
    """Two GPUs add up, also where a sample between has none; one that is unknown makes the sum unknown."""

    def sample(t_s: float, *joules: float | None) -> Sample:
        return Sample(t_s=t_s, gpus=tuple(GpuSample(uuid=str(n), energy_joules=j) for n, j in enumerate(joules)))

    both = [sample(0.0, 10.0, 1000.0), sample(5.0), sample(10.0, 110.0, 3000.0)]
    assert gpu_energy([both]).joules([phase(0.0, 10.0)]) == pytest.approx(2100.0)
    assert gpu_energy([[sample(0.0, 10.0, None), sample(10.0, 110.0, None)]]).joules([phase(0.0, 10.0)]) is None


def test_energy_without_gpus_is_unknown() -> None:
    """A CPU trial's GPUs used nothing that could be told."""
    energy: Energy = gpu_energy([packages((0.0, 1.0), (9.0, 2.0))])
    assert (energy.total_joules(), energy.joules([phase(1.0, 2.0)])) == (None, None)


# The frames


def row(data: TrialData) -> dict[str, Any]:
    """The trial's row, `<NA>` as None."""
    return rows_of(frames(run_data(data)).trials)[0]


def with_package_power(data: TrialData, watts: float) -> TrialData:
    """The trial with packages that used constant power."""
    return replace(
        data, samples=tuple(replace(sample, package_energy_joules=watts * sample.t_s) for sample in data.samples)
    )


def test_a_cpu_trials_energy_is_that_of_the_packages() -> None:
    """At 50 W: 10 s of training and 1 s of validation an epoch, 1,000 images an epoch."""
    measured = row(with_package_power(ok_trial(trial(), train_s=10.0), 50.0))
    assert measured["package_energy_train_joules"] == pytest.approx(1000.0)
    assert measured["package_energy_validate_joules"] == pytest.approx(100.0)
    assert measured["joules_per_epoch"] == pytest.approx(550.0)
    assert measured["joules_per_image"] == pytest.approx(0.5)
    assert measured["package_energy_joules"] == pytest.approx(50.0 * 27.0)
    assert measured["gpu_energy_train_joules"] is None
    assert measured["short_energy_phases"] == ()


def test_a_gpu_trials_energy_is_that_of_its_gpus() -> None:
    """At 100 W on the GPU, whatever the packages used beside it."""
    measured = row(with_package_power(ok_trial(trial(device=GPU), train_s=10.0), 50.0))
    assert measured["gpu_energy_train_joules"] == pytest.approx(2000.0)
    assert measured["gpu_energy_validate_joules"] == pytest.approx(200.0)
    assert measured["package_energy_train_joules"] == pytest.approx(1000.0)
    assert measured["joules_per_epoch"] == pytest.approx(1100.0)
    assert measured["joules_per_image"] == pytest.approx(1.0)


@pytest.mark.parametrize(("train_s", "short"), [(10.0, ("validate",)), (4.0, ("train", "validate"))])
def test_phases_too_short_for_a_gpus_counter_are_marked(train_s: float, short: tuple[str, ...]) -> None:
    """Below 5 s a phase's GPU energy stands in its column, and the phase among those not to be trusted."""
    measured = row(ok_trial(trial(device=GPU), train_s=train_s))
    assert measured["short_energy_phases"] == short
    assert measured["gpu_energy_validate_joules"] is not None


def test_epochs_have_their_own_energy() -> None:
    """Each epoch's row has what its training and validation used, of GPUs and of packages."""
    epochs = frames(run_data(with_package_power(ok_trial(trial(device=GPU), train_s=10.0), 50.0))).epochs
    assert epochs["gpu_energy_joules"].tolist() == pytest.approx([1100.0, 1100.0])
    assert epochs["package_energy_joules"].tolist() == pytest.approx([550.0, 550.0])


def test_energy_that_was_not_measured_is_missing() -> None:
    """A trial without counters, or without an epoch, has no energy at all, never 0."""
    asked = trial(device=CPU)
    for data in (ok_trial(asked), with_package_power(ok_trial(asked, events=tuple(start_up(asked))), 50.0)):
        measured = row(data)
        for name in ("package_energy_train_joules", "joules_per_epoch", "joules_per_image"):
            assert measured[name] is None
