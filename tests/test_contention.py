"""What competes with a trial for its CPUs: others' CPU time, steal, quotas, pressure, and the clock."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from bench.meter.contention import ContentionMeter
from bench.meter.control_group import CgroupThrottling, CpuPressure
from bench.meter.cpus import CpuFrequency, CpuTimes
from bench.meter.readings import Ledger, NotNowError, UnreadableError
from bench.meter.sampler import Sampler

linux = pytest.mark.skipif(not psutil.LINUX, reason="reads /proc, which only Linux has")

# user nice system idle iowait irq softirq steal guest guest_nice
STAT = """cpu  9 9 9 9 9 9 9 9 9 9
cpu0 100 10 1 7000 8000 20 2 30 90 9
cpu1 200 0 0 7000 8000 0 0 4 0 0
cpu10 400 0 0 7000 8000 0 0 0 0 0
intr 1 2 3
"""


def write(root, **files: str) -> None:
    """Write files of a made-up system; `__` stands for a slash and `_dot_` for a dot in their names."""
    for name, content in files.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)


def used_s(process: subprocess.Popen[bytes]) -> float:
    """CPU time of a process."""
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


# -- CPU time ----------------------------------------------------------------------------------------------------------


def test_idle_time_and_guests_are_no_cpu_time(tmp_path):
    """Idling and waiting for a disk are not busy, and guests' time, which is part of user time, counts once."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    write(tmp_path, proc__stat=STAT)

    assert CpuTimes([0], tmp_path).read() == pytest.approx((133 / ticks_per_s, 30 / ticks_per_s))
    assert CpuTimes([0, 10], tmp_path).read() == pytest.approx((533 / ticks_per_s, 30 / ticks_per_s))


def test_what_runs_on_the_other_thread_of_a_core_counts(tmp_path):
    """A CPU's hardware siblings share its core, so what they do is part of what the trial's cores did."""
    write(tmp_path, proc__stat=STAT)
    for cpu, siblings in ((0, "0-1"), (1, "0-1"), (10, "10")):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(f"{siblings}\n")

    assert CpuTimes([0], tmp_path).read()[0] == pytest.approx(333 / os.sysconf("SC_CLK_TCK"))


def test_a_cpu_that_is_not_listed_has_no_time(tmp_path):
    """Where a CPU of the trial is not in the kernel's list, the rest is not passed off as all of them."""
    write(tmp_path, proc__stat=STAT)

    with pytest.raises(UnreadableError, match="does not list all"):
        CpuTimes([0, 2], tmp_path).read()


def test_without_pinning_nothing_is_known_of_others():
    """A trial that may run anywhere has no CPUs of its own: their metrics have that reason, and no value."""
    meter, ledger = ContentionMeter([]), Ledger()
    values = meter.read(0.0, ledger)
    meter.close()

    names = ("busy_s", "steal_s", "frequency_mhz")
    assert {name: values[name] for name in names} == dict.fromkeys(names)
    assert {ledger.missing[name] for name in names} == {"the trial is not pinned to CPUs"}


@linux
def test_another_process_on_the_trials_cpu_is_seen():
    """CPU time of a neighbour on the same CPU is in what the CPU did, and in neither the tree's nor the harness's."""
    cpu = min(os.sched_getaffinity(0))
    spin = f"import os; os.sched_setaffinity(0, [{cpu}]); print(flush=True)\nwhile True: pass"
    processes = [subprocess.Popen([sys.executable, "-c", spin], stdout=subprocess.PIPE) for _ in range(2)]
    try:
        for process in processes:
            process.stdout.readline()
        trial, neighbour = processes
        sampler = Sampler(pid=trial.pid, gpu_uuids=[], interval_s=0.5, clock=time.perf_counter, cpus=[cpu])
        before_s = used_s(neighbour)
        first = last = sampler.poll()
        while (neighbour_s := used_s(neighbour) - before_s) < 0.5 or last is first or last.busy_s is None:
            time.sleep(sampler.due_in())
            last = sampler.poll() or last
        sampler.close()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()

    others_s = (last.busy_s - first.busy_s) - (last.cpu_s - first.cpu_s) - (last.parent_cpu_s - first.parent_cpu_s)
    assert last.cpu_s > first.cpu_s
    # Less than all of it: times are counted in ticks, `last` may be older, and the harness may have run elsewhere.
    assert others_s > neighbour_s / 2


def test_counts_are_left_out_of_samples_rather_than_read_too_often():
    """Once their share of CPU time is used up, counts are absent from a sample, and no fault is booked."""
    meter, ledger = ContentionMeter([]), Ledger()
    first, second, later = (meter.read(now_s, ledger) for now_s in (0.0, 0.0, 1e3))
    meter.close()

    assert "parent_cpu_s" in first
    assert "parent_cpu_s" not in second
    assert later["parent_cpu_s"] >= first["parent_cpu_s"]


# -- frequency ---------------------------------------------------------------------------------------------------------

CPUINFO = """processor\t: 0
model name\t: Example: 9 MHz
cpu MHz\t\t: 2000.000
flags\t\t: fpu

processor\t: 1
cpu MHz\t\t: 3000.500

processor\t: 2
bogomips\t: 50.00

"""


def test_the_frequency_is_that_of_the_trials_cpus(tmp_path):
    """The driver's kHz of the trial's CPUs are averaged in MHz; without a driver, the kernel's list is asked."""
    write(tmp_path, proc__cpuinfo=CPUINFO)
    assert CpuFrequency([0, 1], tmp_path).read_mhz(0.0) == 2500.2
    assert CpuFrequency([1], tmp_path).read_mhz(0.0) == 3000.5
    for cpu, khz in ((0, 1_000_000), (1, 1_500_000)):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{cpu}/cpufreq"
        folder.mkdir(parents=True)
        (folder / "scaling_cur_freq").write_text(f"{khz}\n")
    assert CpuFrequency([0, 1], tmp_path).read_mhz(0.0) == 1250.0
    assert CpuFrequency([1], tmp_path).read_mhz(0.0) == 1500.0


def test_a_machine_that_tells_no_frequency_says_so(tmp_path):
    """A paragraph without a frequency, as on ARM, does not lend another CPU's."""
    write(tmp_path, proc__cpuinfo=CPUINFO)

    with pytest.raises(UnreadableError, match="neither a driver nor /proc/cpuinfo"):
        CpuFrequency([2], tmp_path).read_mhz(0.0)


def test_a_frequency_is_read_within_its_budget(tmp_path):
    """A second reading at the same moment is refused."""
    write(tmp_path, proc__cpuinfo=CPUINFO)
    frequency = CpuFrequency([0], tmp_path)
    frequency.read_mhz(0.0)

    with pytest.raises(NotNowError):
        frequency.read_mhz(0.0)


# -- quotas and pressure -----------------------------------------------------------------------------------------------

V2 = {
    "proc__self__cgroup": "0::/pod/job\n",
    "proc__self__mountinfo": "30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
}
V1 = {
    "proc__self__cgroup": "4:cpu,cpuacct:/job\n0::/\n",
    "proc__self__mountinfo": "35 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
}


def test_periods_are_counted_at_every_level(tmp_path):
    """A quota of a group above stops the trial too; levels that count only what was used are passed over."""
    write(
        tmp_path,
        **V2,
        sys__fs__cgroup__cpu_dot_stat="usage_usec 9\n",
        sys__fs__cgroup__pod__cpu_dot_stat="usage_usec 9\nnr_periods 9\nnr_throttled 2\nthrottled_usec 1500000\n",
        sys__fs__cgroup__pod__job__cpu_dot_stat="usage_usec 9\nnr_periods 9\nnr_throttled 1\nthrottled_usec 250000\n",
    )
    throttling = CgroupThrottling(tmp_path)

    assert throttling.read() == (3, 1.75)
    throttling.close()


def test_version_1_counts_nanoseconds(tmp_path):
    """Version 1 of control groups names its time differently and counts it in nanoseconds."""
    write(
        tmp_path,
        **V1,
        sys__fs__cgroup__cpu__job__cpu_dot_stat="nr_periods 9\nnr_throttled 4\nthrottled_time 1500000000\n",
    )

    assert CgroupThrottling(tmp_path).read() == (4, 1.5)


@pytest.mark.parametrize(
    ("files", "reason"), [(V2, "no control group of this process counts"), ({}, "this system has no control groups")]
)
def test_a_system_that_counts_no_throttling_says_why(tmp_path, files, reason):
    """Without a count there is a reason, and not 0 periods."""
    write(tmp_path, **files)

    with pytest.raises(UnreadableError, match=reason):
        CgroupThrottling(tmp_path).read()


SOME = "some avg10=0.19 avg60=0.53 avg300=0.82 total={}\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"


def test_pressure_is_the_groups_where_it_is_watched(tmp_path):
    """The group's own pressure is preferred to that of the system, which other groups are part of."""
    with pytest.raises(UnreadableError, match="does not measure CPU pressure"):
        CpuPressure(tmp_path).read_s()
    write(tmp_path, **V2, proc__pressure__cpu=SOME.format(898053355))
    assert CpuPressure(tmp_path).read_s() == 898.0534
    write(tmp_path, sys__fs__cgroup__pod__job__cpu_dot_pressure=SOME.format(1500000))
    assert CpuPressure(tmp_path).read_s() == 1.5
