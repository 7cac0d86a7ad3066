"""GPU metrics, read by the real NVML bindings from a stand-in library."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stand_ins import nvml

READ = """
import json, os
import msgspec
from bench.meter.gpus import GpuMeter
from bench.meter.readings import Ledger

meter, ledger = GpuMeter(os.environ["UUIDS"].split(",")), Ledger()
samples = []
for second, errors in enumerate(os.environ.get("ERRORS_IN_TURN", os.environ.get("FAKE_NVML_ERRORS", "")).split(";")):
    os.environ["FAKE_NVML_ERRORS"] = errors
    samples.append(msgspec.to_builtins(meter.read(1e3 * second, ledger, own_pids={41, 42})))
print(json.dumps({"samples": samples, "missing": ledger.missing}))
"""

GPU = nvml.gpu_uuid(0)
VALUES = {
    "uuid": GPU,
    "utilization_percent": 87.0,
    "memory_used_bytes": 3 << 30,
    "power_watts": 250.5,
    "energy_joules": 123456.789,
    "temperature_celsius": 65.0,
    "sm_clock_mhz": 1755.0,
    "memory_clock_mhz": 2619.0,
    "clock_event_reasons": 0x4,
    "foreign_processes": 2,
}


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The stand-in, built once."""
    return nvml.build(tmp_path_factory.mktemp("nvml"))


def read(library, *uuids: str, **environment: str) -> dict[str, Any]:
    """Read GPUs in a process that has the stand-in: the samples, and what was missing in them."""
    return json.loads(
        nvml.run_python(library, READ, UUIDS=",".join(uuids), **{"FAKE_NVML_PIDS": "7,41,9"} | environment)
    )


def test_values_have_the_units_of_their_names(library):
    """Milliwatts and millijoules become watts and joules, and every other number passes as NVML gives it."""
    answer = read(library, GPU)

    assert answer == {"samples": [[VALUES]], "missing": {}}


@pytest.mark.parametrize(
    ("function", "code", "metrics", "reason"),
    [
        ("nvmlDeviceGetUtilizationRates", 3, {"utilization_percent"}, "Not Supported"),
        ("nvmlDeviceGetMemoryInfo_v2", 4, {"memory_used_bytes"}, "Insufficient Permissions"),
        ("nvmlDeviceGetPowerUsage", 3, {"power_watts"}, "Not Supported"),
        ("nvmlDeviceGetTotalEnergyConsumption", 13, {"energy_joules"}, "Function Not Found"),
        ("nvmlDeviceGetTemperatureV", 15, {"temperature_celsius"}, "GPU is lost"),
        ("nvmlDeviceGetClockInfo", 999, {"sm_clock_mhz", "memory_clock_mhz"}, "Unknown Error"),
        ("nvmlDeviceGetCurrentClocksEventReasons", 77, {"clock_event_reasons"}, "stand-in error 77"),
        ("nvmlDeviceGetComputeRunningProcesses_v3", 3, {"foreign_processes"}, "Not Supported"),
    ],
)
def test_a_call_that_fails_costs_its_own_metric_alone(library, function, code, metrics, reason):
    """The metrics of a failing call have no value and NVML's reason; all others keep theirs."""
    answer = read(library, GPU, FAKE_NVML_ERRORS=f"{function}={code}")

    assert answer["samples"] == [[{name: value for name, value in VALUES.items() if name not in metrics}]]
    assert answer["missing"] == {f"gpus[0].{metric}": f"NVML: {reason}" for metric in metrics}


def test_a_true_zero_is_a_value(library):
    """An idle GPU's utilization of 0 is reported as 0, and does not count as missing."""
    answer = read(library, GPU, FAKE_NVML_VALUES="nvmlDeviceGetUtilizationRates=0")

    assert answer["samples"][0][0]["utilization_percent"] == 0.0
    assert answer["missing"] == {}


def test_an_older_driver_answers_by_the_older_names(tmp_path):
    """Where the library lacks a newer function, its predecessor is asked."""
    newer = ("nvmlDeviceGetMemoryInfo_v2", "nvmlDeviceGetTemperatureV", "nvmlDeviceGetCurrentClocksEventReasons")
    answer = read(nvml.build(tmp_path, without=newer), GPU)

    older = {"memory_used_bytes": 7 << 29, "temperature_celsius": 64.0, "clock_event_reasons": 0x20}
    assert answer == {"samples": [[VALUES | older]], "missing": {}}


def test_a_gpu_that_nvml_does_not_know_costs_no_other_gpu(library):
    """Each metric of an unknown UUID is missing with the reason, and the GPU beside it is read."""
    answer = read(library, "GPU-gone", nvml.gpu_uuid(1), FAKE_NVML_DEVICES="2")

    assert answer["samples"] == [[{"uuid": "GPU-gone"}, VALUES | {"uuid": nvml.gpu_uuid(1)}]]
    assert answer["missing"] == {f"gpus[0].{name}": "NVML: Not Found" for name in VALUES if name != "uuid"}


def test_a_mig_instance_is_found_by_its_uuid(library):
    """A MIG instance is read by its own UUID; what only the whole board has stays without a value."""
    instance = nvml.mig_uuid(0, 1)
    answer = read(library, instance, FAKE_NVML_MIG="2")

    assert answer["samples"] == [[{"uuid": instance, "memory_used_bytes": 3 << 30, "foreign_processes": 2}]]
    assert answer["missing"]["gpus[0].power_watts"] == "NVML: Not Supported"


@pytest.mark.parametrize(("pids", "foreign"), [("42", 0), ("41,42", 0), ("42,1", 1)])
def test_processes_beside_the_trials_own_are_counted(library, pids, foreign):
    """Of the processes on a GPU, those of the trial's tree are its own and all others are foreign."""
    (sample,) = read(library, GPU, FAKE_NVML_PIDS=pids)["samples"][0]

    assert sample["foreign_processes"] == foreign


@pytest.mark.parametrize("pids", ["", "7,9"])
def test_processes_are_not_counted_where_the_trials_own_is_not_seen(library, pids):
    """Before the trial uses its GPU, and where NVML tells another namespace's ids, nothing is called foreign."""
    answer = read(library, GPU, FAKE_NVML_PIDS=pids)

    assert "foreign_processes" not in answer["samples"][0][0]
    reason = "NVML: the trial's process is not among those that it sees on this GPU"
    assert answer["missing"] == {"gpus[0].foreign_processes": reason}


def test_a_gpu_lost_on_the_way_says_in_how_many_readings(library):
    """A metric that was read before its GPU was lost is missing from then on, and the reason counts the readings."""
    answer = read(library, GPU, ERRORS_IN_TURN=";nvmlDeviceGetPowerUsage=15")

    assert [sample[0].get("power_watts") for sample in answer["samples"]] == [250.5, None]
    assert answer["missing"] == {"gpus[0].power_watts": "NVML: GPU is lost (1 of 2 readings failed)"}


def test_nvml_that_does_not_start_costs_gpu_metrics_alone(library):
    """Without a loaded driver every GPU metric is missing with that reason, and the process is still measured."""
    code = f"""
import json, os, msgspec
from bench.meter.sampler import Sampler
sampler = Sampler(pid=os.getpid(), gpu_uuids=["{GPU}"], interval_s=1.0, clock=lambda: 0.0)
sample = sampler.poll()
sampler.close()
print(json.dumps({{"sample": msgspec.to_builtins(sample), "missing": sampler.missing}}))
"""
    answer = json.loads(nvml.run_python(library, code, FAKE_NVML_ERRORS="nvmlInitWithFlags=9"))

    assert answer["sample"]["gpus"] == [{"uuid": GPU}]
    assert answer["sample"]["rss_bytes"] > 1 << 20
    reasons = {name: reason for name, reason in answer["missing"].items() if name.startswith("gpus")}
    assert reasons == {f"gpus[0].{name}": "NVML did not start: Driver Not Loaded" for name in VALUES if name != "uuid"}


def test_closing_shuts_nvml_down_once(library):
    """After `close`, however often it is called, NVML is as it was before the meter was made."""
    code = f"""
import pynvml
from bench.meter.gpus import GpuMeter
pynvml.nvmlInit()
meter = GpuMeter(["{GPU}"])
meter.close()
meter.close()
print(pynvml.nvmlDeviceGetCount())
pynvml.nvmlShutdown()
try:
    pynvml.nvmlDeviceGetCount()
except pynvml.NVMLError as error:
    print(error)
"""
    assert nvml.run_python(library, code).split() == ["1", "Uninitialized"]


def test_costly_nvml_calls_are_made_less_often(library):
    """Once the GPUs' share of CPU time is used up, samples have no GPUs until it is earned again."""
    code = f"""
from bench.meter.gpus import GpuMeter
from bench.meter.readings import Ledger
meter, ledger = GpuMeter(["{GPU}"]), Ledger()
print([len(meter.read(now_s, ledger, own_pids=())) for now_s in (0.0, 0.0, 1e3)])
"""
    assert nvml.run_python(library, code).strip() == "[1, 0, 1]"


def test_without_a_gpu_nvml_is_not_even_loaded(library):
    """A trial without GPUs never loads NVIDIA's library."""
    code = """
import pynvml
from bench.meter.gpus import GpuMeter
from bench.meter.readings import Ledger
meter = GpuMeter([])
print(meter.read(0.0, Ledger(), own_pids=()), pynvml.nvmlLib)
meter.close()
"""
    assert nvml.run_python(library, code).strip() == "() None"
