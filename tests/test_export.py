"""Runs in the formats of other tools, each opened by the tool itself where it can be installed."""

from __future__ import annotations

import importlib
import json
import os
import re
import resource
import socket
import subprocess
import sys
import time
import urllib.request

import pandas as pd
import pytest
from msgspec.structs import replace

from bench.analysis.measures import MEASURES
from bench.cli.export import export
from bench.errors import StoreError, UsageError
from bench.export import formats
from bench.export.formats import FORMATS, writer
from bench.export.prometheus import NAMES
from bench.export.source import read_source
from bench.records import Attempt
from records_for_tests import DATASET, GPU, HOST, ended_trial, ok_trial, run_data, start_up, trial, write_run
from test_cli import hourglass

BEGAN_UNIX_S = 1.8e9  # of `start_up`
OTHER = replace(HOST, cpu="Other CPU", usable_cores=8)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of two models, two seeds each, and a trial that failed."""
    oom = trial("large", seed=7)
    trials = [ok_trial(trial(model, seed=seed), train_s=10.0 + seed) for seed in (0, 1) for model in ("small", "large")]
    gpu = ok_trial(trial("small", device=GPU))
    failed = ended_trial(oom, status="oom_host", reason="no memory", events=start_up(oom))
    folder = write_run(tmp_path_factory.mktemp("runs") / "run", run_data(*trials, gpu, failed, name="nightly"))
    folder.trial(trials[0].trial.key).log.write_text("what TensorFlow said")
    return folder.path


def exported(run, name, tmp_path):
    """What a format writes."""
    return writer(name)(read_source(run), tmp_path)


@pytest.fixture(scope="module")
def everything(run, tmp_path_factory):
    """The run in every format, as the command writes it."""
    out = tmp_path_factory.mktemp("out")
    done = hourglass("export", run, "--to", ",".join(FORMATS), "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    for name in FORMATS:
        assert f"{name}: wrote {out / name}" in done.stdout
    return out


# TensorBoard


@pytest.mark.tf  # TensorBoard imports it where it is installed
def test_tensorboard_shows_the_curves(everything) -> None:
    """A real server lists a run for each trial, and has each epoch's value at its step and time of day."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(everything / "tensorboard"), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            url = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
            runs, scalars = [], f"{url}data/plugin/scalars"
            for _ in range(100):
                runs = json.loads(urllib.request.urlopen(f"{scalars}/tags").read())  # noqa: S310 -- our own server
                if len(runs) == 5:
                    break
                time.sleep(0.2)
            assert len(runs) == 5  # all but the one that failed before it had a curve
            name = next(name for name in runs if name.startswith("small-cpu-2-s1"))
            assert {"epoch/val_accuracy", "epoch/loss", "machine/rss_bytes", "test/test_accuracy"} <= set(runs[name])
            query = f"{scalars}/scalars?run={name}&tag=epoch/val_accuracy"
            points = json.loads(urllib.request.urlopen(query).read())  # noqa: S310 -- likewise
        finally:
            server.kill()
    assert [(step, round(value, 6)) for _, step, value in points] == [(1, 0.28), (2, 0.28)]
    assert [wall - BEGAN_UNIX_S for wall, *_ in points] == pytest.approx([5 + 12, 5 + 12.5 + 12])


# MLflow

READ = """
import json, sys, warnings
warnings.simplefilter("ignore")
from mlflow.tracking import MlflowClient
client = MlflowClient(tracking_uri="sqlite:///" + sys.argv[1])
(experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
found = {}
for run in client.search_runs([experiment.experiment_id]):
    history = client.get_metric_history(run.info.run_id, "epoch_val_accuracy")
    found[run.info.run_name] = {
        "params": run.data.params, "metrics": run.data.metrics, "tags": run.data.tags, "status": run.info.status,
        "history": [(one.step, one.value, one.timestamp) for one in history],
        "artifacts": [one.path for one in client.list_artifacts(run.info.run_id)],
        "took_ms": run.info.end_time - run.info.start_time,
    }
print(json.dumps({"experiment": experiment.name, "runs": found}))
"""


def test_mlflow_reads_its_store(everything) -> None:
    """Settings are parameters, epochs a metric's history, files artifacts, and a failure is one."""
    command = [sys.executable, "-c", READ, str(everything / "mlflow" / "mlflow.db")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read = json.loads(done.stdout.splitlines()[-1])
    assert read["experiment"] == "nightly"
    runs = read["runs"]
    assert len(runs) == 6
    small = next(run for name, run in runs.items() if name.startswith("small-cpu-2-s0"))
    assert (small["params"]["model"], small["params"]["device"], small["params"]["batch_size"]) == (
        "small",
        "cpu:2",
        "100",
    )
    assert small["metrics"]["test_accuracy"] == pytest.approx(0.381)
    assert [step for step, *_ in small["history"]] == [1, 2]
    assert small["status"] == "FINISHED"
    assert small["took_ms"] == pytest.approx(31_000, abs=1)
    assert {"trial.json", "result.json", "events.jsonl", "worker.log"} <= set(small["artifacts"])
    failed = next(run for name, run in runs.items() if "-s7-" in name)
    assert (failed["status"], failed["tags"]["reason"]) == ("FAILED", "no memory")


# pytest-benchmark


def test_pytest_benchmark_compares_it(everything) -> None:
    """Its own command lists a row for each cell, with a round for each seed and for each epoch."""
    (file,) = (everything / "pytest-benchmark").iterdir()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest_benchmark",
            "compare",
            str(file),
            "--group-by",
            "group",
            "--columns",
            "median,rounds",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "200", "NO_COLOR": "1"},
    )
    rounds = dict(re.findall(r"(?m)^(\w+\[.*?\])\s.*?(\d+)\s*$", done.stdout))
    assert {name.split(" ")[0]: rounds[name] for name in rounds if "cpu:2" in name} == {
        "train[small": "2",
        "train[large": "2",
        "epoch[small": "4",
        "epoch[large": "4",
    }
    content = json.loads(file.read_bytes())
    assert len(content["machine_info"]["fingerprint"]) == 16
    train = next(one for one in content["benchmarks"] if one["name"] == "train[small cpu:2]")
    assert train["stats"]["median"] == pytest.approx(21.0)
    assert train["stats"]["data"] == pytest.approx([20.0, 22.0])


# DAWNBench


def test_dawnbench_has_hours_of_training(everything) -> None:
    """Its clock is training alone; the last row is of the test images, and the JSON says so."""
    path = next((everything / "dawnbench").glob("small-cpu-2-s0-*.tsv"))
    table = pd.read_csv(path, sep="\t")
    assert list(table.columns) == ["epoch", "hours", "top1Accuracy"]
    assert table["hours"].tolist() == pytest.approx([10 / 3600, 20 / 3600], abs=1e-6)
    assert table["top1Accuracy"].tolist() == [28.0, 38.1]
    about = json.loads(path.with_suffix(".json").read_bytes())
    assert (about["model"], about["framework"], about["hardware"]) == (
        "small",
        "TensorFlow 2.21.0",
        "Example CPU, cpu:2",
    )
    assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", about["timestamp"])


# github-action-benchmark


def test_github_action_benchmark_gets_both_directions(everything) -> None:
    """Each entry has what its custom tools require, and more is better in one file alone."""
    place = everything / "github-action-benchmark"
    smaller, bigger = (
        {entry["name"]: entry for entry in json.loads((place / f"{name}-is-better.json").read_bytes())}
        for name in ("smaller", "bigger")
    )
    for entry in (*smaller.values(), *bigger.values()):
        assert isinstance(entry["name"], str)
        assert isinstance(entry["unit"], str)
        assert isinstance(entry["value"], float)
    assert smaller["small cpu:2: train_s"]["value"] == pytest.approx(21.0)
    assert smaller["small cpu:2: train_s"]["range"] == "± 1"
    assert "range" not in smaller["small gpu:0: train_s"]  # of one seed
    assert {"small cpu:2: accuracy", "small cpu:2: images_per_s"} <= set(bigger)
    assert not any("images_per_s" in name for name in smaller)


# Prometheus


def test_prometheus_parses_the_text(everything) -> None:
    """Its own parser finds every figure, in base units, with labels that tell cells apart."""
    from prometheus_client.parser import text_string_to_metric_families

    text = (everything / "prometheus" / "hourglass.prom").read_text()
    samples = {
        (sample.name, sample.labels["model"], sample.labels["setting"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["hourglass_train_seconds", "small", "cpu:2"] == pytest.approx(21.0)
    assert samples["hourglass_test_accuracy_ratio", "large", "cpu:2"] == pytest.approx(0.381)
    assert samples["hourglass_peak_gpu_memory_bytes", "small", "gpu:0"] == 2.5e9
    assert samples["hourglass_trials", "large", "cpu:2"] == 3
    assert samples["hourglass_trials_ok", "large", "cpu:2"] == 2


def test_every_measure_has_a_gauge() -> None:
    """A new measure is exported everywhere."""
    assert set(NAMES) == set(MEASURES)


# The source and the command


def test_a_resumed_trial_keeps_the_time_of_day(tmp_path) -> None:
    """An epoch after an interruption happened when its own process ran, hours later."""
    asked = trial(epochs=2)
    data = ok_trial(asked)
    later = Attempt(number=2, unix_s=BEGAN_UNIX_S + 7200.0, offset_s=16.0, epochs_done=1)
    run = write_run(tmp_path / "run", run_data(replace(data, events=(*data.events, later))))
    source = read_source(run.path)
    (row,) = source.trials
    assert source.unix_s(row, 10.0) == BEGAN_UNIX_S + 10.0
    assert source.unix_s(row, 20.0) == BEGAN_UNIX_S + 7204.0


def test_what_was_never_begun_is_not_exported(tmp_path) -> None:
    """A run of calibrations, or one that was only planned, has nothing to show."""
    calibrated = replace(ok_trial(trial()), trial=replace(trial(), mode="calibrate"))
    skipped = ended_trial(trial(), status="skipped", reason="no GPU")
    for number, data in enumerate((calibrated, skipped)):
        folder = write_run(tmp_path / str(number), run_data(data))
        with pytest.raises(UsageError, match="holds no training that was begun"):
            read_source(folder.path)


def test_names_of_trials_are_names_of_files(tmp_path) -> None:
    """Whatever a model is called, no two trials share a file and none leaves the folder."""
    trials = [ok_trial(trial("../../etc", seed=seed)) for seed in (0, 1)]
    paths = exported(write_run(tmp_path / "run", run_data(*trials)).path, "dawnbench", tmp_path)
    assert len(set(paths)) == 4
    assert {path.parent for path in paths} == {tmp_path}


def test_a_missing_package_is_named(monkeypatch) -> None:
    """The message says what to install."""

    def lacking(name):
        raise ModuleNotFoundError(name="mlflow")

    monkeypatch.setattr(formats, "import_module", lacking)
    with pytest.raises(
        UsageError, match=r"takes mlflow-skinny, sqlalchemy, alembic .*pip install 'hourglass-bench\[export\]'"
    ):
        writer("mlflow")


def test_an_unknown_format_is_refused(run) -> None:
    """Nothing is written for half of a wish."""
    done = hourglass("export", run, "--to", "dawnbench,excel")
    assert done.returncode == 2
    assert "no format is called 'excel'; there are tensorboard, mlflow" in " ".join(done.stderr.split())
    assert not (run / "export").exists()


def test_an_export_never_takes_the_place_of_anything(tmp_path) -> None:
    """Who opened an MLflow store as told may have written into it since."""
    folder = write_run(tmp_path / "run", run_data(ok_trial(trial()))).path
    assert hourglass("export", folder, "--to", "prometheus").returncode == 0
    mine = folder / "export" / "prometheus" / "mine"
    mine.touch()
    refused = hourglass("export", folder, "--to", "prometheus")
    assert refused.returncode == StoreError.exit_code
    assert "is there already; remove it, or choose another --out" in " ".join(refused.stderr.split())
    assert mine.exists()


@pytest.mark.parametrize(
    ("name", "is_nearly_done"),
    [("tensorboard", False), ("mlflow", False), ("mlflow", True), ("pytest-benchmark", False)],
)
def test_a_disk_that_takes_no_more_is_said_in_a_line(run, everything, tmp_path, name, is_nearly_done) -> None:
    """Whatever a format's own library raises: the fact, what to do, and nothing is left behind."""
    whole_bytes = (everything / "mlflow" / "mlflow.db").stat().st_size
    most_bytes = whole_bytes - 4096 if is_nearly_done else 500  # a page of SQLite's

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))

    command = [sys.executable, "-B", "-m", "bench", "export", run, "--to", name, "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=False, preexec_fn=limit)
    assert done.returncode == StoreError.exit_code
    assert f"{tmp_path / name} cannot be written: " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_half_a_wish_leaves_nothing_behind(tmp_path, monkeypatch) -> None:
    """What cannot be told is refused before anything is written; what fails under way does not bar the next try."""
    runs = [run_data(ok_trial(trial()), name=name, host=host) for name, host in (("a", HOST), ("b", OTHER))]
    folders = [write_run(tmp_path / run.run.name, run).path for run in runs]
    assert hourglass("merge", *folders, "--out", tmp_path / "out").returncode == 0
    (merged,) = (tmp_path / "out").iterdir()
    refused = hourglass("export", merged, "--to", "prometheus,pytest-benchmark")
    assert (refused.returncode, "is of one machine" in refused.stderr) == (2, True)
    assert not (merged / "export").exists()

    def fails(_, place):
        (place / "half").touch()
        raise RuntimeError("no more room")

    monkeypatch.setattr(formats, "writer", lambda _: fails)
    with pytest.raises(RuntimeError, match="no more room"):
        export(merged, to=["prometheus"])
    assert not (merged / "export" / "prometheus").exists()


def test_cells_that_no_label_tells_apart_are_not_taken_for_one(tmp_path) -> None:
    """Two runs of a machine, between which the model's file changed, are of two cells with one name."""
    changed = trial(model="small")
    changed = replace(changed, cell=replace(changed.cell, model=replace(changed.cell.model, sha256="f" * 64)))
    runs = [run_data(ok_trial(one), name=name) for name, one in (("a", trial("small")), ("b", changed))]
    folders = [write_run(tmp_path / run.run.name, run).path for run in runs]
    lab = [f"lab={folder}" for folder in folders]
    assert hourglass("merge", *lab, "--out", tmp_path / "out").returncode == 0
    (merged,) = (tmp_path / "out").iterdir()
    for name in ("prometheus", "github-action-benchmark"):
        refused = hourglass("export", merged, "--to", name)
        assert refused.returncode == 2
        assert "several are called 'small cpu:2@lab'" in " ".join(refused.stderr.split())
    assert hourglass("export", merged, "--to", "dawnbench").returncode == 0


def test_nobody_learns_where_the_data_lie_or_what_the_machine_is_called(tmp_path) -> None:
    """Exports are for others to see: no path of the user's, and no network name."""
    asked = trial(dataset=replace(DATASET, name="/home/ann/photos"))
    folder = write_run(tmp_path / "run", run_data(ok_trial(asked))).path
    for name in ("prometheus", "dawnbench", "github-action-benchmark", "pytest-benchmark", "tensorboard"):
        place = tmp_path / name
        place.mkdir()
        exported(folder, name, place)
        written = [path for path in place.rglob("*") if path.is_file()]
        assert written
        assert not any(b"/home/ann" in path.read_bytes() for path in written)
        assert not any(socket.gethostname() in path.name for path in written)


def test_mlflow_tells_its_makers_nothing() -> None:
    """It would tell them of each export, but in CI, where a test would not see it."""
    importlib.import_module("bench.export.mlflow_store")
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
