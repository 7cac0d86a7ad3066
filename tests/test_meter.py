"""What a trial costs: pace, failures, processes, control groups, out-of-memory kills."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.meter import pace
from bench.meter.control_group import CgroupMemory
from bench.meter.oom import OomCounter
from bench.meter.pace import Budget, Grid
from bench.meter.portable import PsutilProcess
from bench.meter.processes import ProcessTree
from bench.meter.procfs import ProcfsProcess
from bench.meter.readings import Ledger, NotNowError, UnreadableError
from bench.meter.sampler import Sampler

linux = pytest.mark.skipif(not psutil.LINUX, reason="reads /proc, which only Linux has")
MIB = 1 << 20
TREE_METRICS = ("rss_bytes", "peak_rss_bytes", "pss_bytes", "cpu_percent", "threads", "voluntary_switches")


# -- readings ----------------------------------------------------------------------------------------------------------


def fail(error: Exception):
    """Raise, where only an expression fits."""
    raise error


def test_a_metric_that_fails_has_a_reason_and_no_value():
    """A failing reading is None, never 0, and its reason stands under its name alone."""
    ledger = Ledger()

    assert ledger.take("power", lambda: fail(UnreadableError("not supported"))) is None
    assert ledger.take("file", lambda: fail(PermissionError(13, "Permission denied", "/proc/1/smaps"))) is None
    assert ledger.take("rss", lambda: 0) == 0
    assert ledger.missing == {"power": "not supported", "file": "Permission denied: /proc/1/smaps"}


def test_a_metric_that_is_only_not_due_is_not_missing():
    """A metric with values now and then is not missing; one that never had its turn is."""
    ledger = Ledger()
    for metric in ("seldom", "never"):
        ledger.take(metric, lambda: fail(NotNowError("not due")))
    ledger.take("seldom", lambda: 1)

    assert ledger.missing == {"never": "not due"}


def test_metrics_of_one_reading_have_one_outcome():
    """What comes from one reading has its values together, or each the same reason."""
    ledger = Ledger()

    assert ledger.take_together(("periods", "seconds"), lambda: (3, 0.5)) == {"periods": 3, "seconds": 0.5}
    assert ledger.take_together(("busy", "steal"), lambda: fail(UnreadableError("only Linux tells"))) == {
        "busy": None,
        "steal": None,
    }
    assert ledger.missing == {"busy": "only Linux tells", "steal": "only Linux tells"}


# -- pace --------------------------------------------------------------------------------------------------------------


@given(
    start_s=st.floats(-1e6, 1e6),
    interval_s=st.floats(0.01, 10),
    waits=st.lists(st.floats(0, 50), max_size=30),
)
def test_the_next_deadline_is_the_first_one_on_the_grid_that_is_still_to_come(start_s, interval_s, waits):
    """However late a sample is, the next deadline lies on the grid, after now, and less than about an interval away."""
    grid = Grid(start_s=start_s, interval_s=interval_s)
    now_s = start_s
    for wait_s in waits:
        now_s += wait_s
        if not grid.due(now_s):
            continue
        grid.advance(now_s)
        intervals = (grid.next_s - start_s) / interval_s
        assert intervals == pytest.approx(round(intervals), abs=1e-6)
        assert now_s < grid.next_s <= now_s + interval_s * (1 + 1e-6) + 1e-9


@given(costs_ms=st.lists(st.floats(0.1, 1000), min_size=1, max_size=20))
def test_a_costly_reading_keeps_within_its_share(costs_ms):
    """Between the first reading and the moment at which a further one is due, no more than the share was spent."""
    cpu_s, now_s, spent_s = 0.0, 0.0, 0.0
    budget = Budget(0.01)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pace.time, "thread_time", lambda: cpu_s)
        for cost_ms in costs_ms:
            with budget.spend(now_s):
                cpu_s += cost_ms / 1e3
            spent_s += cost_ms / 1e3
            assert not budget.due(now_s)
            while not budget.due(now_s):
                now_s += 0.2
            assert spent_s <= 0.01 * now_s * (1 + 1e-9)


def test_a_reading_that_is_not_due_is_refused():
    """A budget that is used up refuses the reading and says what it costs."""
    budget = Budget(0.01)
    with budget.spend(0.0):
        sum(range(1000))

    with pytest.raises(NotNowError, match=r"not due: a reading costs [\d.]+ ms"), budget.spend(0.0):
        pytest.fail("was read")


# -- the sampler -------------------------------------------------------------------------------------------------------

ALLOCATE_AND_SPIN = f"""
content = bytearray({64 * MIB})
print("ready", flush=True)
while True:
    sum(range(1000))
"""


class Clock:
    """A clock that goes when it is told to, by its `now_s`."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        """The time."""
        return self.now_s


@pytest.fixture
def start():
    """Starts Python code in a child that has said that it is ready; the child is gone after the test."""
    children = []

    def start_child(code: str) -> subprocess.Popen[str]:
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        children.append(child)
        assert child.stdout.readline() == "ready\n"
        return child

    yield start_child
    for child in children:
        with suppress(psutil.NoSuchProcess):
            for descendant in psutil.Process(child.pid).children(recursive=True):
                descendant.kill()
        child.kill()
        child.wait()
        child.stdout.close()


@pytest.fixture
def sampler_of():
    """Makes samplers that are closed after the test."""
    samplers = []

    def make(pid: int, clock=time.perf_counter, interval_s: float = 0.2) -> Sampler:
        samplers.append(Sampler(pid=pid, gpu_uuids=[], interval_s=interval_s, clock=clock))
        return samplers[-1]

    yield make
    for sampler in samplers:
        sampler.close()


def test_samples_fall_on_the_grid(sampler_of):
    """The first sample is due at once; a late one does not shift the next, and those missed are not made up for."""
    clock = Clock()
    sampler = sampler_of(os.getpid(), clock)

    assert sampler.due_in() == 0.0
    assert sampler.poll().t_s == 0.0
    assert sampler.poll() is None
    clock.now_s = 0.25
    assert sampler.due_in() == 0.0
    assert sampler.poll().t_s == 0.25
    assert sampler.due_in() == pytest.approx(0.15)
    clock.now_s = 1.1
    assert sampler.poll().t_s == 1.1
    assert sampler.poll() is None
    assert sampler.due_in() == pytest.approx(0.1)
    sampler.close()
    clock.now_s = 9.0
    assert sampler.sampled_s == 1.1


def test_a_busy_child_is_measured(start, sampler_of):
    """Memory holds what the child allocated, the peak is no lower, and CPU time is what psutil sees meanwhile."""
    child = start(ALLOCATE_AND_SPIN)
    process, sampler = psutil.Process(child.pid), sampler_of(child.pid)

    def cpu_s():
        return sum(process.cpu_times()[:2])

    before_first_s, first, after_first_s = cpu_s(), sampler.poll(), cpu_s()
    while sampler.due_in():
        time.sleep(sampler.due_in())
    before_second_s, second, after_second_s = cpu_s(), sampler.poll(), cpu_s()

    assert 64 * MIB < first.rss_bytes < 256 * MIB
    assert first.cpu_percent is None
    assert second.threads == process.num_threads()
    used_s = second.cpu_percent / 100 * (second.t_s - first.t_s)
    assert before_second_s - after_first_s - 1e-6 <= used_s <= after_second_s - before_first_s + 1e-6
    assert used_s > 0
    if psutil.LINUX:
        assert 64 * MIB < first.pss_bytes <= first.rss_bytes * 1.01
        assert first.peak_rss_bytes >= first.rss_bytes
        assert first.involuntary_switches >= 0
    assert sampler.sampled_s >= second.t_s - first.t_s


def test_the_samplers_own_cost_is_part_of_this_threads(sampler_of):
    """The CPU time that a sampler accounts for is above 0 and no more than its thread used."""
    began_s = time.thread_time()
    sampler = sampler_of(os.getpid(), interval_s=0.01)
    for _ in range(20):
        sampler.poll()
        time.sleep(sampler.due_in())

    assert 0.0 < sampler.cpu_s <= time.thread_time() - began_s


def test_descendants_are_counted(start, sampler_of):
    """What a child of the worker allocates is part of the tree, and not of the worker's own peak."""
    child = start(f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {ALLOCATE_AND_SPIN!r}])
""")
    sample = sampler_of(child.pid).poll()

    own_bytes = psutil.Process(child.pid).memory_info().rss
    assert sample.rss_bytes > own_bytes + 64 * MIB
    assert sample.threads >= 2
    if psutil.LINUX:
        assert sample.peak_rss_bytes < 64 * MIB


@linux
def test_a_kernel_that_lists_no_children_is_asked_the_long_way(start):
    """Without CONFIG_PROC_CHILDREN the same descendants are found through psutil, and a tree knows their ids."""
    child = start(f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {ALLOCATE_AND_SPIN!r}])
""")
    process, tree = ProcfsProcess(child.pid), ProcessTree(child.pid, ProcfsProcess)
    by_procfs = process.descendants()
    tree.refresh(0.0)
    process._lists_children = False

    assert len(by_procfs) == 1
    assert process.descendants() == by_procfs
    assert tree.pids == {child.pid, *by_procfs}
    process.close()
    tree.close()


@linux
def test_switches_are_those_of_all_threads(start, sampler_of):
    """Context switches of threads other than the main one are counted."""
    child = start("""
import threading, time
def nap():
    for _ in range(300):
        time.sleep(0.0001)
    print("ready", flush=True)
    time.sleep(1000)
threading.Thread(target=nap).start()
""")
    assert sampler_of(child.pid).poll().voluntary_switches >= 300


@pytest.mark.parametrize("waited_for", [False, True])
def test_a_process_that_ended_has_no_values(start, sampler_of, waited_for):
    """After the worker's end, waited for or not, its metrics are None rather than 0, and nothing is raised."""
    child, clock = start(ALLOCATE_AND_SPIN), Clock()
    sampler = sampler_of(child.pid, clock)
    assert sampler.poll().rss_bytes is not None
    child.kill()
    child.stdout.read()  # ends when the process does
    if waited_for:
        child.wait()
    else:
        while psutil.Process(child.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.001)
    clock.now_s = 1000.0
    sample = sampler.poll()

    assert {metric: getattr(sample, metric) for metric in TREE_METRICS} == dict.fromkeys(TREE_METRICS)
    assert "rss_bytes" not in sampler.missing  # its end is no fault


def test_a_process_that_never_was_says_so(sampler_of):
    """Where the worker ended before the first sample, every one of its metrics is missing with that reason."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    sampler = sampler_of(child.pid)

    assert sampler.poll().rss_bytes is None
    assert {sampler.missing[metric] for metric in TREE_METRICS} == {"the process had ended"}


def test_without_procfs_the_portable_metrics_remain(start):
    """Through psutil a process has memory, CPU time and threads; what only Linux tells has a reason instead."""
    child = start(ALLOCATE_AND_SPIN)
    tree, ledger = ProcessTree(child.pid, PsutilProcess), Ledger()
    tree.refresh(0.0)

    assert 64 * MIB < tree.rss_bytes() < 256 * MIB
    assert tree.threads() >= 1
    assert ledger.take("peak", tree.peak_rss_bytes) is None
    assert ledger.take("pss", tree.pss_bytes) is None
    assert ledger.missing == {
        "peak": "this system tells no peak of another process; the worker's own report has one",
        "pss": "only Linux tells proportional sets",
    }
    child.kill()
    child.wait()
    tree.refresh(1.0)
    with pytest.raises(NotNowError, match="the process had ended"):
        tree.rss_bytes()


# -- a made-up /proc ---------------------------------------------------------------------------------------------------


def write_process(root, pid: int, *, status: str, state: str = "S", ticks: str = "0 0 0 0", children: str = "") -> None:
    """Write what the meter reads of a process. The name is one that misleads a careless parser."""
    folder = root / "proc" / str(pid)
    thread = folder / "task" / str(pid)
    thread.mkdir(parents=True, exist_ok=True)
    (folder / "stat").write_text(f"{pid} (a) R (b) {state} 1 1 1 0 -1 0 0 0 0 0 {ticks} 20 0 1 0 0 0 0\n")
    (folder / "status").write_text(f"Name:\ta) R (b\n{status}")
    (thread / "children").write_text(children)
    (thread / "status").write_text("voluntary_ctxt_switches:\t5\nnonvoluntary_ctxt_switches:\t7\n")


STATUS = "VmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n"


def open_in(root):
    """How a tree opens processes of a made-up /proc."""
    return lambda pid: ProcfsProcess(pid, root)


def test_one_line_that_is_absent_costs_one_metric(tmp_path):
    """A kernel that tells no peak and no proportional sets leaves all other metrics as they are."""
    write_process(tmp_path, 10, status=STATUS.replace("VmHWM", "Other"))
    tree, ledger = ProcessTree(10, open_in(tmp_path)), Ledger()
    tree.refresh(0.0)
    taken = {metric: ledger.take(metric, getattr(tree, metric)) for metric in TREE_METRICS}

    assert (taken["rss_bytes"], taken["threads"], taken["voluntary_switches"]) == (1024 * 1024, 3, 5)
    assert taken["peak_rss_bytes"] is None
    assert ledger.missing["peak_rss_bytes"] == "this kernel does not tell VmHWM"
    assert ledger.missing["pss_bytes"] == "this kernel has no /proc/PID/smaps_rollup (Linux 4.14 has)"
    assert set(ledger.missing) == {"peak_rss_bytes", "pss_bytes", "cpu_percent"}
    tree.close()


def test_cpu_time_of_a_child_is_counted_once_when_it_is_waited_for(tmp_path):
    """A child's CPU time counts while it runs, as a zombie, and not again when its parent has waited for it."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    write_process(tmp_path, 10, status=STATUS, children="11")
    write_process(tmp_path, 11, status=STATUS, ticks="0 0 0 0")
    tree = ProcessTree(10, open_in(tmp_path))
    tree.refresh(0.0)
    with pytest.raises(NotNowError, match="two samples"):
        tree.cpu_percent()
    write_process(tmp_path, 11, status="Threads:\t1\n", state="Z", ticks=f"{ticks_per_s} 0 0 0")
    tree.refresh(1.0)
    assert tree.cpu_percent() == pytest.approx(100.0)
    assert tree.cpu_s() == 1.0
    assert tree.rss_bytes() == 1024 * 1024
    write_process(tmp_path, 10, status=STATUS, ticks=f"0 0 {ticks_per_s} {ticks_per_s}")
    write_process(tmp_path, 11, status="Threads:\t1\n", state="X", ticks="0 0 0 0")
    tree.refresh(2.0)
    assert tree.cpu_percent() == pytest.approx(100.0)
    tree.close()


def test_cpu_time_that_was_lost_is_not_negative(tmp_path):
    """Where the tree's CPU time falls, since a process left it, there is no value rather than a wrong one."""
    write_process(tmp_path, 10, status=STATUS, ticks="50 0 0 0")
    tree = ProcessTree(10, open_in(tmp_path))
    tree.refresh(0.0)
    with pytest.raises(NotNowError):
        tree.cpu_percent()
    write_process(tmp_path, 10, status=STATUS, ticks="40 0 0 0")
    tree.refresh(1.0)
    with pytest.raises(UnreadableError, match="left the tree"):
        tree.cpu_percent()
    tree.close()


# -- control groups ----------------------------------------------------------------------------------------------------


def write_group(root, *, version: int, files: dict[str, str]) -> None:
    """Write a system with one control group, `/job`, and the files of its memory controller."""
    proc = root / "proc" / "self"
    proc.mkdir(parents=True)
    if version == 2:
        (proc / "cgroup").write_text("0::/job\n")
        (proc / "mountinfo").write_text("30 20 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
        folder = root / "sys/fs/cgroup/job"
    else:
        (proc / "cgroup").write_text("4:memory:/job\n1:cpu:/\n0::/\n")
        (proc / "mountinfo").write_text("35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
        folder = root / "sys/fs/cgroup/memory/job"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(content)


@pytest.mark.parametrize(("version", "name"), [(1, "memory.usage_in_bytes"), (2, "memory.current")])
def test_a_groups_memory_is_read_anew_each_time(tmp_path, version, name):
    """In both versions of control groups, each reading is of that moment."""
    write_group(tmp_path, version=version, files={name: "1000\n"})
    meter = CgroupMemory(tmp_path)
    assert meter.read_bytes() == 1000
    next(tmp_path.rglob(name)).write_text("2000\n")
    assert meter.read_bytes() == 2000
    meter.close()


def test_a_group_that_counts_no_memory_says_why(tmp_path):
    """Without the controller's file, or without control groups, there is a reason and no number."""
    write_group(tmp_path / "off", version=2, files={})
    with pytest.raises(UnreadableError, match=r"no memory\.current"):
        CgroupMemory(tmp_path / "off").read_bytes()
    with pytest.raises(UnreadableError, match="no control groups"):
        CgroupMemory(tmp_path / "none").read_bytes()


@pytest.mark.parametrize(
    ("version", "name", "before", "after"),
    [
        (1, "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "under_oom 0\noom_kill 4\n"),
        (2, "memory.events", "oom 9\noom_kill 0\noom_group_kill 0\n", "oom 9\noom_kill 1\noom_group_kill 0\n"),
    ],
)
def test_an_out_of_memory_kill_shows_as_a_rise(tmp_path, version, name, before, after):
    """Only a count above that at the start is a kill; earlier ones are not the trial's."""
    write_group(tmp_path, version=version, files={name: before})
    counter = OomCounter(tmp_path)
    assert counter.rose() is False
    next(tmp_path.rglob(name)).write_text(after)
    assert counter.rose() is True


def test_a_root_group_is_watched_through_the_whole_systems_count(tmp_path):
    """A group without a count of its own leaves the kernel's count of all out-of-memory kills."""
    write_group(tmp_path, version=2, files={})
    (tmp_path / "proc/vmstat").write_text("oom_kill 2\n")
    counter = OomCounter(tmp_path)
    (tmp_path / "proc/vmstat").write_text("oom_kill 3\n")
    assert counter.rose() is True


def test_a_system_without_a_count_knows_nothing(tmp_path):
    """Where nothing counts out-of-memory kills, the answer is None and not False."""
    assert OomCounter(tmp_path).rose() is None
