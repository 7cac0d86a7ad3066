"""Runs of several machines as one run: names of machines, what is kept, what is refused, and how it is told."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

import bench
from bench.analysis.cells import cells
from bench.analysis.frame import frames
from bench.analysis.merge import merge
from bench.analysis.prices import price_per_hour, priceable
from bench.analysis.scaling import scalings
from bench.errors import UsageError
from bench.machine import OperatingSystem
from bench.peaks import DevicePeak
from bench.records import Device
from bench.store import RunFolder, read_run
from records_for_tests import EXAMPLE_GPU, GPU, HOST, PEAK, ended_trial, ok_trial, run_data, trial, write_run
from test_cli import hourglass

ONE_CORE = Device(kind="cpu", threads=1)
OTHER = replace(HOST, cpu="Other CPU", usable_cores=8)


def run_on(host, *, factor=1.0, name="run", seeds=range(3)):
    """A run of one model on one core and on two."""
    trials = [
        ok_trial(trial(seed=seed, **device), train_s=factor * train_s)
        for seed in seeds
        for device, train_s in (({}, 10.0), ({"device": ONE_CORE}, 18.0))
    ]
    return run_data(*trials, name=name, host=host)


def merged(*runs, names=None):
    """What becomes of runs."""
    return merge(runs, names or [None] * len(runs), name="merged", command=["python", "-m", "bench", "merge"])


OURS, THEIRS = run_on(HOST, name="ours"), run_on(OTHER, factor=0.5, name="theirs")


def test_every_trial_is_on_its_machines_device() -> None:
    """Each is there once, its device named after its host, and its seed, cell and order are what they were."""
    run = merged(OURS, THEIRS).run
    assert list(run.hosts) == ["Example CPU", "Other CPU"]
    labels = [trial.cell.device.label for trial in run.trials]
    assert labels == ["cpu:2@Example CPU", "cpu:1@Example CPU"] * 3 + ["cpu:2@Other CPU", "cpu:1@Other CPU"] * 3
    assert len({trial.key for trial in run.trials}) == 12
    assert [run.host_of(trial.cell.device).cpu for trial in run.trials] == ["Example CPU"] * 6 + ["Other CPU"] * 6


@pytest.mark.parametrize(
    ("hosts", "names"),
    [
        ([HOST, OTHER], ["Example CPU", "Other CPU"]),
        ([HOST, replace(HOST, usable_cores=4)], ["Example CPU", "Example CPU (2)"]),
        ([HOST, HOST], ["Example CPU", "Example CPU (2)"]),  # equal, but perhaps two: no identifier says
        ([replace(HOST, machine_id="m"), replace(HOST, machine_id="m")], ["Example CPU"] * 2),
        (  # one before and after a change to its speed
            [replace(HOST, machine_id="m"), replace(HOST, machine_id="m", environment={"OMP_NUM_THREADS": "1"})],
            ["Example CPU", "Example CPU (2)"],
        ),
        ([replace(HOST, name="lab-3"), OTHER], ["lab-3", "Other CPU"]),
        ([HOST, replace(HOST, gpus=(EXAMPLE_GPU,))], ["Example CPU", "Example GPU"]),
    ],
)
def test_machines_get_names_that_tell_them_apart(hosts, names) -> None:
    """A name for each machine, and one for one machine."""
    run = merged(*(run_on(host, seeds=[number]) for number, host in enumerate(hosts))).run
    assert list(run.hosts) == list(dict.fromkeys(names))
    assert [trial.cell.device.host for trial in run.trials] == [name for name in names for _ in range(2)]


def test_two_machines_of_one_name_are_refused() -> None:
    """The difference is told; two runs of one machine may well have one name."""
    with pytest.raises(UsageError, match=r"two machines are called lab \(processor: .*NAME=FOLDER"):
        merged(OURS, THEIRS, names=["lab", "lab"])
    assert list(merged(OURS, run_on(HOST, seeds=[7]), names=["lab", "lab"]).run.hosts) == ["lab"]
    changed = run_on(replace(HOST, environment={"OMP_NUM_THREADS": "1"}))
    with pytest.raises(UsageError, match=r"a machine before and after a change is called lab \(its settings\)"):
        merged(OURS, changed, names=["lab", "lab"])


def test_a_trial_that_two_runs_of_one_machine_have_counts_once() -> None:
    """The first one is kept, and the other told."""
    found = merged(OURS, run_on(HOST, name="again", seeds=[0]), names=["lab", "lab"])
    assert len(found.run.trials) == 6
    assert found.left_out == tuple(
        f"small {device}@lab, seed 0 of again: ours has it too" for device in ("cpu:2", "cpu:1")
    )


def test_of_a_trial_that_failed_and_was_made_again_the_good_one_counts() -> None:
    """Whatever their order."""
    cut = replace(OURS, trials=tuple(replace(data, result=None) for data in OURS.trials))
    for runs in ((cut, run_on(HOST, name="again")), (run_on(HOST, name="again"), cut)):
        found = merged(*runs, names=["lab", "lab"])
        good = next(number for number, run in enumerate(runs) if run.run.name == "again")
        assert {number for number, _ in found.sources.values()} == {good}
        assert all("again has it too" in line for line in found.left_out)


def test_what_has_no_trainings_and_what_was_merged_is_refused() -> None:
    """Calibrations are no trainings, and names of names would be no names."""
    calibrated = run_data(*(replace(data, trial=replace(data.trial, mode="calibrate")) for data in OURS.trials))
    with pytest.raises(UsageError, match="holds calibrations"):
        merged(OURS, calibrated)
    again = replace(OURS, run=merged(OURS, THEIRS).run)
    with pytest.raises(UsageError, match="merged already"):
        merged(again, THEIRS)


def written(tmp_path, *runs):
    """Run folders."""
    return [write_run(tmp_path / f"{number}", run).path for number, run in enumerate(runs)]


def test_the_command_makes_a_run_folder_like_any_other(tmp_path) -> None:
    """What was measured is what it was; the host is a column; speed-ups are within a machine; the page is written."""
    failing = run_data(*THEIRS.trials, ended_trial(trial("large"), status="oom_host", reason="no memory"), host=OTHER)
    ours, theirs = written(tmp_path, OURS, failing)
    for key in ("trials",):
        (next((ours / key).iterdir()) / "worker.log").write_text("what TensorFlow said")
    done = hourglass("merge", f"laptop={ours}", f"server={theirs}", "--out", tmp_path / "out", "--name", "both")
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.split("wrote ")[0].splitlines())) <= 80
    (folder,) = (tmp_path / "out").iterdir()
    assert (folder / "report" / "report.html").exists()
    assert "what TensorFlow said" in {path.read_text() for path in folder.glob("trials/*/worker.log")}
    report = bench.load(folder)
    assert set(report.trials["host"]) == {"laptop", "server"}
    before = [frames(read_run(path)).trials["train_s"].dropna().tolist() for path in (ours, theirs)]
    assert report.trials["train_s"].dropna().tolist() == before[0] + before[1]
    assert report.trials["status"].tolist() == ["ok"] * 12 + ["oom_host"]
    assert [[point.device for point in scaling.points] for scaling in scalings(report.trials)] == [
        ["cpu:1@laptop", "cpu:2@laptop"],
        ["cpu:1@server", "cpu:2@server"],
    ]
    assert "cpu:2@server is the most accurate" in " ".join(done.stdout.split())
    assert "laptop: Example CPU, 2 of 4 cores usable" in done.stdout
    assert "host" in done.stdout

    again = hourglass("report", folder)
    assert again.returncode == 0
    for command in (["run", "--resume", folder], ["compare", folder, ours]):
        refused = hourglass(*command)
        assert (refused.returncode, "was merged from runs of laptop, server" in refused.stderr) == (2, True)


def test_a_machines_peak_and_kind_stay_its_own(tmp_path) -> None:
    """Each trial is held against what its own machine attains, though both call the device alike."""

    def with_machine(run, machine, flops_per_s):
        trials = tuple(
            replace(data, events=(replace(data.events[0], machine=machine), *data.events[1:])) for data in run.trials
        )
        peak = replace(PEAK, flops_per_s=flops_per_s)
        found = DevicePeak(machine=machine, device="cpu:2", precision="float32", jit="off", peak=peak)
        return replace(run, trials=trials, peaks=(found,))

    equal = merged(with_machine(OURS, "a", 1e11), with_machine(run_on(HOST), "a", 2e11))
    assert [(peak.label, peak.peak.flops_per_s) for peak in equal.peaks] == [
        ("cpu:2@Example CPU", 1e11),
        ("cpu:2@Example CPU (2)", 2e11),
    ]
    virtual = replace(OTHER, operating_system=OperatingSystem(virtualization="KVM"))
    ours, theirs = with_machine(OURS, "a", 1e11), with_machine(run_on(virtual), "b", 2e11)
    found = merged(ours, theirs)
    assert [(peak.machine, peak.peak.flops_per_s) for peak in found.peaks] == [("a", 1e11), ("b", 2e11)]
    assert [found.run.host_of(trial.cell.device).is_virtual for trial in found.run.trials] == [False] * 6 + [True] * 6
    folders = [write_run(tmp_path / name, run).path for name, run in (("a", ours), ("b", theirs))]
    for folder, run in zip(folders, (ours, theirs), strict=True):
        RunFolder(folder).write_peaks(run.peaks)
    assert hourglass("merge", *folders, "--out", tmp_path / "out").returncode == 0
    (folder,) = (tmp_path / "out").iterdir()
    assert [peak.peak.flops_per_s for peak in read_run(folder).peaks] == [1e11, 2e11]
    assert f"Other CPU: {OTHER.os}" in (folder / "report" / "report.md").read_text().replace("\\", "")
    refused = hourglass("export", folder, "--to", "pytest-benchmark")
    assert (refused.returncode, "is of one machine" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["one"], "joins two runs or more; received 1"),
        (["=one", "two"], "stands before its folder"),
        (["a@b=one", "two"], "stands before its folder"),
    ],
)
def test_the_command_refuses_with_a_reason(tmp_path, arguments, said) -> None:
    """One line that says how it is meant."""
    done = hourglass("merge", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert said in " ".join(done.stderr.split())


def test_a_folder_with_an_equals_sign_in_its_name_is_a_folder(tmp_path) -> None:
    """What exists is what is meant."""
    ours, theirs = (write_run(tmp_path / name, run).path for name, run in (("lr=0.1", OURS), ("b", THEIRS)))
    done = hourglass("merge", ours.name, theirs.name, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_a_machines_price_is_understood_by_report(tmp_path) -> None:
    """As the documentation has it, names with blanks and equals signs too."""
    folders = written(tmp_path, OURS, THEIRS)
    made = hourglass("merge", f"big box={folders[0]}", f"lab={folders[1]}", "--out", tmp_path / "out")
    assert made.returncode == 0, made.stderr
    (folder,) = (tmp_path / "out").iterdir()
    done = hourglass("report", folder, "--price", "cpu@big box=0.5", "--price", "cpu:2@lab=0.25", "--by", "money")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("prices", "price"),
    [
        ({"cpu": 1.0}, 1.0),
        ({"cpu": 1.0, "cpu@lab": 2.0}, 2.0),
        ({"cpu:2": 3.0, "cpu@lab": 2.0}, 2.0),
        ({"cpu:2@lab": 4.0, "cpu@lab": 2.0}, 4.0),
        ({"cpu@home": 2.0}, None),
    ],
)
def test_an_hour_has_the_price_of_its_machine(prices, price) -> None:
    """A price for a device of one machine wins over one for all machines."""
    assert price_per_hour("cpu:2@lab", prices) == price
    assert set(prices) <= {*priceable("cpu:2@lab"), "cpu@home"}


def test_a_device_without_a_host_is_called_as_ever() -> None:
    """Keys and labels of ordinary runs do not change: old folders stay what they are."""
    assert trial(device=GPU).cell.device.label == "gpu:0"
    assert b"host" not in msgspec.json.encode(OURS.run.trials[0].cell.device)
    assert len(cells(frames(OURS).trials)) == 2
