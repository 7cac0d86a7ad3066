"""Words, commands and readings of the facts that several causes share."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from bench.hardware.distributions import is_newer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.hardware.doctor.checkup import Facts, PciGpu, TensorFlowProbe
    from bench.records import Gpu

NEW_ENVIRONMENT = (
    "python3 -m venv .venv && .venv/bin/pip install '.[gpu]'   (in the checkout: an environment of its own)"
)
OLDEST_DRIVER_FOR_PTX = 555  # the branch of CUDA 12.5, with which TensorFlow 2.21 is built
WSL_FOLDER = "/usr/lib/wsl/lib"  # where WSL shows the libraries of Windows's driver


def works(facts: Facts) -> bool:
    """Whether every visible GPU computed."""
    return bool(facts.trials) and all(probe.outcome == "works" for probe in facts.trials)


def lists_gpus(facts: Facts) -> bool:
    """Whether TensorFlow lists a GPU in any process."""
    return any(probe.answer and probe.answer.gpus for probe in (*facts.listings, *facts.trials))


def best_listing(facts: Facts) -> TensorFlowProbe | None:
    """The listing that had the best chance, if TensorFlow answered at all."""
    return next((probe for probe in reversed(facts.listings) if probe.answer), None)


def last_messages(probe: TensorFlowProbe, count: int = 4) -> tuple[str, ...]:
    """The end of what TensorFlow logged."""
    return probe.messages[-count:]


def title(gpu: Gpu) -> str:
    """Index and name of a GPU."""
    return f"gpu:{gpu.index} ({gpu.name})"


def is_newer_than_the_build(facts: Facts, gpu: Gpu) -> bool:
    """Whether a GPU is newer than the machine code of this TensorFlow, and runs what it compiles from PTX."""
    return is_newer(gpu.compute_capability, facts.installation.native_capabilities)


def branch(driver: str | None) -> int | None:
    """The branch of a driver's version, such as 550 of `550.54.15`."""
    found = re.match(r"\d+", driver or "")
    return int(found[0]) if found else None


def python(facts: Facts) -> str:
    """This Python, for a command."""
    return shlex.quote(facts.platform.executable)


def pip(facts: Facts, requirement: str) -> str:
    """The command that installs a requirement here."""
    return f"{python(facts)} -m pip install {shlex.quote(requirement)}"


def tensorflow_version(facts: Facts) -> str:
    """The version that is installed, or the one that should be."""
    return facts.installation.distributions.get("tensorflow", "2.21.*")


def install_cuda(facts: Facts) -> str:
    """The command that installs TensorFlow with every CUDA library that it needs."""
    return pip(facts, f"tensorflow[and-cuda]=={tensorflow_version(facts)}")


def cards_on_the_bus(facts: Facts) -> tuple[str, ...]:
    """NVIDIA's cards on the PCI bus, as one piece of evidence; none if it shows none."""
    cards = [card for card in facts.driver.pci_gpus if card.vendor == "nvidia"]
    return (on_the_bus(cards),) if cards else ()


def on_the_bus(cards: Iterable[PciGpu]) -> str:
    """Where cards are and which kernel driver holds each."""
    held = ", ".join(f"{card.address} ({card.kernel_driver or 'no kernel driver'})" for card in cards)
    return f"on the PCI bus: {held}"
