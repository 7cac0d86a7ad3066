"""What the doctor must note besides its diagnosis: facts, evidence, cure."""

from __future__ import annotations

from msgspec.structs import replace

from doctor_cases_machine import NEWER_DRIVER
from facts_for_tests import GPU, HEALTHY, LISTED, PYTHON, SITE, case, driver, installation, listing

SECOND = replace(GPU, index=1, uuid="GPU-b", name="NVIDIA GeForce GTX 750")
CUSOLVER = f"{SITE}/nvidia/cusolver/lib/libcusolver.so.11"
FOLDERS = list(dict.fromkeys(path.rpartition("/")[0] for path in HEALTHY.installation.libraries))
NOTES = [
    case(
        "runpath-gap",
        0,
        replace(HEALTHY, listings=(listing(missing=("libcusolver.so.11",)), listing(preloaded=True, answer=LISTED))),
        [CUSOLVER],
        [f"for your own programs: export LD_LIBRARY_PATH={':'.join(FOLDERS)}"],
    ),
    case(
        "hidden-gpus",
        0,
        replace(driver(HEALTHY, hidden=(SECOND,)), environment={"CUDA_VISIBLE_DEVICES": "0"}),
        ["CUDA_VISIBLE_DEVICES='0'"],
        ["unset CUDA_VISIBLE_DEVICES"],
    ),
    case(
        "lost-gpu",
        0,
        driver(HEALTHY, boards=2),
        ["there: gpu:0 (NVIDIA GeForce RTX 3050)"],
        [
            "nvidia-smi -L   (which one is missing, or has no `MIG` line below it)",
            "sudo dmesg | grep -i xid   (why it was lost)",
            "sudo reboot",
        ],
    ),
    case(
        "compiled-from-ptx",
        0,
        driver(HEALTHY, gpus=(replace(GPU, compute_capability="12.0", driver="570.86.15"),)),
        ["compute capability 12.0, machine code up to 8.9"],
        [],
    ),
    case(
        "compiled-from-ptx",
        0,
        driver(HEALTHY, gpus=(replace(GPU, compute_capability="9.0"),)),
        ["compute capability 9.0, machine code up to 8.9", "driver 550.54.15"],
        [NEWER_DRIVER.replace("525", "555"), "sudo reboot"],
        variant="driver",
    ),
    case(
        "xla-tools-missing",
        0,
        installation(HEALTHY, cuda_tools=False),
        [],
        [f"{PYTHON} -m pip install 'nvidia-cuda-nvcc-cu12>=12.5,<13'"],
    ),
]
