"""More threads against fewer: the numbers, the best count, and what is said of the cores."""

from __future__ import annotations

import io

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.analysis.cells import cells
from bench.analysis.frame import frames, rows_of
from bench.analysis.scaling import Scaling, doubtful_pair, scalings
from bench.records import Device, Host, TrialData
from bench.report.markdown import markdown
from bench.report.terminal import report_view
from records_for_tests import GPU, HOST, ended_trial, ok_trial, run_data, trial

SIBLINGS = Device(kind="cpu", threads=4, cpus=(0, 2, 1, 3), siblings=True)
PLAIN = msgspec.structs.replace(HOST, smt=False)


def cores(threads: int) -> Device:
    """A device of so many cores, a thread each."""
    return Device(kind="cpu", threads=threads, cpus=tuple(range(threads)))


def seeds(device: Device, *train_s: float, model: str = "small") -> list[TrialData]:
    """A trial for each of these times of an epoch of 1,000 images."""
    return [ok_trial(trial(model, device=device, seed=seed), train_s=each_s) for seed, each_s in enumerate(train_s)]


def scalings_of(*trials: TrialData) -> tuple[Scaling, ...]:
    """What a run of these trials says about thread counts."""
    return scalings(frames(run_data(*trials)).trials)


def section(*trials: TrialData, host: Host = HOST) -> str:
    """What a terminal of 80 columns shows of it; empty if nothing."""
    console = Console(width=80, file=io.StringIO(), no_color=True, force_terminal=False)
    with console.capture() as capture:
        console.print(report_view(frames(run_data(*trials, host=host))))
    text = "\n".join(line.rstrip() for line in capture.get().splitlines())
    return text.partition("Thread scaling\n")[2]


def unfolded(text: str) -> str:
    """The text on one line, wherever the terminal broke it."""
    return " ".join(text.split())


def test_speed_up_and_efficiency() -> None:
    """Speed-up is over the fewest threads, whatever the order of the trials; efficiency is that over the threads."""
    (found,) = scalings_of(*seeds(cores(4), 20.0), *seeds(cores(1), 60.0), *seeds(cores(2), 30.0))
    assert [(point.threads, point.speed_up, point.efficiency) for point in found.points] == [
        (1, 1.0, 1.0),
        (2, 2.0, 1.0),
        (4, pytest.approx(3.0), pytest.approx(0.75)),
    ]
    assert found.points[1].images_per_s == pytest.approx(1000 / 30.0)
    assert found.best is found.fastest is found.points[2]


def test_the_fewest_threads_need_not_be_one() -> None:
    """Efficiency is against the ratio of the threads, not their number."""
    (found,) = scalings_of(*seeds(cores(2), 30.0), *seeds(cores(4), 20.0))
    assert found.points[1].speed_up == pytest.approx(1.5)
    assert found.points[1].efficiency == pytest.approx(0.75)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.floats(1.0, 1e4), min_size=1, max_size=4), min_size=2, max_size=4))
def test_what_holds_of_any_scan(times_s: list[list[float]]) -> None:
    """The fewest threads have a speed-up of 1, efficiency never exceeds it, and an interval holds it."""
    (found,) = scalings_of(*(data for power, each in enumerate(times_s) for data in seeds(cores(2**power), *each)))
    assert (found.points[0].speed_up, found.points[0].efficiency, found.points[0].interval) == (1.0, 1.0, None)
    for point, each in zip(found.points, times_s, strict=True):
        assert point.efficiency <= point.speed_up
        assert point.interval is None or point.speed_up in point.interval
        assert (point.interval is None) == (point is found.points[0] or min(len(each), len(times_s[0])) < 3)
        assert point.images_per_s <= found.fastest.images_per_s
    assert found.best.threads <= found.fastest.threads


def test_the_smaller_of_two_like_counts_is_best() -> None:
    """A gain below 3 % is not worth a thread, one above it is."""
    (within,) = scalings_of(*seeds(cores(1), 60.0), *seeds(cores(2), 30.0), *seeds(cores(4), 29.5))
    (beyond,) = scalings_of(*seeds(cores(1), 60.0), *seeds(cores(2), 30.0), *seeds(cores(4), 28.5))
    assert (within.best.threads, within.fastest.threads) == (2, 4)
    assert (beyond.best.threads, beyond.fastest.threads) == (4, 4)


def test_a_gain_that_the_seeds_do_not_agree_on_is_none() -> None:
    """Where the interval of the paired ratio holds 1, the smaller count is best, although the median gain is large."""
    (split,) = scalings_of(*seeds(cores(1), 30.0, 31.0, 30.0), *seeds(cores(2), 33.0, 25.0, 25.0))
    (agreed,) = scalings_of(*seeds(cores(1), 30.0, 31.0, 30.0), *seeds(cores(2), 27.0, 25.0, 25.0))
    assert (split.best.threads, split.fastest.threads) == (1, 2)
    assert agreed.best.threads == 2


def test_only_cells_that_differ_in_the_device_alone_are_compared() -> None:
    """Models, batch sizes and GPUs are not mixed, and what did not end ok is left out."""
    failed = ended_trial(trial(device=cores(4)), status="timeout", reason="out of time")
    assert scalings_of(*seeds(cores(1), 60.0), failed, ok_trial(trial(device=GPU))) == ()
    assert scalings_of(*seeds(cores(1), 60.0), ok_trial(trial(device=cores(2), batch_size=7))) == ()
    assert scalings_of() == ()
    found = scalings_of(*(data for name in "ab" for n in (1, 2) for data in seeds(cores(n), 60.0 / n, model=name)))
    assert [(scaling.model, len(scaling.points)) for scaling in found] == [("a", 2), ("b", 2)]


def test_cells_have_their_scaling() -> None:
    """Speed-up, its interval and efficiency are columns of the cells; alone on its device, a cell has none."""
    data = [*seeds(cores(1), 60.0, 62.0, 58.0), *seeds(cores(2), 30.0, 31.0, 29.0), *seeds(cores(1), 5.0, model="b")]
    one, two, alone = rows_of(cells(frames(run_data(*data)).trials))
    assert (one["speed_up"], one["speed_up_low"], one["efficiency"]) == (1.0, None, 1.0)
    assert (two["threads"], two["siblings"]) == (2, False)
    assert [two[name] for name in ("speed_up", "speed_up_low", "speed_up_high", "efficiency")] == pytest.approx(
        [2.0, 2.0, 2.0, 1.0]
    )
    assert alone["speed_up"] is None
    assert alone["efficiency"] is None


def test_two_cores_that_do_little_more_than_one_are_doubtful() -> None:
    """The pair of the model that scales best is named if its efficiency is below 0.6; a better model acquits it."""
    poor = [*seeds(cores(1), 60.0), *seeds(cores(2), 55.0)]
    poorer = [*seeds(cores(1), 60.0, model="b"), *seeds(cores(2), 58.0, model="b")]
    good = [*seeds(cores(1), 60.0, model="c"), *seeds(cores(2), 32.0, model="c")]
    pair = doubtful_pair(scalings_of(*poorer, *poor))
    assert pair is not None
    assert pair.speed_up == pytest.approx(60 / 55)
    assert doubtful_pair(scalings_of(*poor, *good)) is None
    assert doubtful_pair(scalings_of(*seeds(cores(2), 60.0), *seeds(cores(4), 59.0))) is None


SCAN = """\
model  device    threads  images/s  speed-up   interval  efficiency
───────────────────────────────────────────────────────────────────
small  cpu:1           1      16.6      1.00          –       100 %
small  cpu:2           2      31.2      1.89  1.88–1.91        94 %
small  cpu:4smt        4      31.7      1.91  1.89–1.91        48 %

speed-up: over the fewest threads; efficiency: speed-up over the ratio of the
threads; within the noise: less than 3 %, or the interval of the ratio holds 1;
interval: 95 % bootstrap of the median ratio, paired by seed
  small is best on cpu:2: 1.89 times as fast as on cpu:1, efficiency 94 %;
  cpu:4smt is 1.6 % faster, which is within the noise
  cpu:4smt is 4 threads on 2 cores: siblings share a core's arithmetic units"""


def test_a_scan_reads_like_this() -> None:
    """The section of a scan of three points with three seeds, and the same in Markdown."""
    trials = [
        *seeds(cores(1), 60.1, 61.0, 59.0),
        *seeds(cores(2), 32.0, 32.0, 31.25),
        *seeds(SIBLINGS, 31.5, 32.0, 31.25),
    ]
    assert section(*trials) == SCAN
    text = markdown(frames(run_data(*trials)))
    assert "| small | cpu:4smt | 4 | 31.7 | 1.91 | 1.89–1.91 | 48 % |" in text
    assert "- cpu:4smt is 4 threads on 2 cores: siblings share a core's arithmetic units" in text


def test_more_threads_may_be_slower() -> None:
    """Where the fewest threads are the fastest, that is said; without repeats there is no interval."""
    text = section(*seeds(cores(1), 30.0), *seeds(cores(2), 40.0))
    assert "small is best on cpu:1; more threads are slower" in text
    assert "interval  " not in text


def test_an_efficiency_that_threads_cannot_give_is_doubted() -> None:
    """Where two threads are more than twice as fast, what they are compared with was held up, and that is said."""
    doubt = "small on cpu:2: an efficiency of 134 % is more than threads can give; the trials on cpu:1 were held up"
    assert doubt in unfolded(section(*seeds(cores(1), 67.0), *seeds(cores(2), 25.0)))
    assert "can give" not in section(*seeds(cores(1), 54.0), *seeds(cores(2), 25.0))


def test_cores_that_may_be_siblings_are_named_as_a_possibility() -> None:
    """A low efficiency of two cores is said with its figure, unless the kernel names the siblings itself."""
    trials = [*seeds(cores(1), 60.0), *seeds(cores(2), 55.0)]
    hint = "2 threads are at best 1.09 times as fast as 1, efficiency 55 %: a model too small"
    assert hint in unfolded(section(*trials, host=PLAIN))
    assert hint not in unfolded(section(*trials, host=HOST))
    assert "may two CPUs" not in section(*seeds(cores(1), 60.0), *seeds(cores(2), 35.0), host=PLAIN)


def test_a_run_on_one_cpu_device_has_no_such_section() -> None:
    """Nothing is said about threads where nothing was compared."""
    assert section(*seeds(cores(2), 60.0), ok_trial(trial(device=GPU))) == ""
    assert "Thread scaling" not in markdown(frames(run_data(*seeds(cores(2), 60.0))))
