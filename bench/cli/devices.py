"""`devices`: what a trial can run on here."""

from __future__ import annotations


def devices() -> None:
    """List what trials can run on: cores, their siblings, limits, GPUs."""
    from bench.cli.console import console
    from bench.cli.tables import table
    from bench.hardware.devices import default_requests, resolve
    from bench.hardware.doctor.examine import find_neglected_card
    from bench.hardware.gpus import detect_gpus
    from bench.hardware.host import detect_host
    from bench.hardware.topology import detect_topology
    from bench.report.format import size

    terminal = console()
    topology = detect_topology()
    survey = detect_gpus()
    host = detect_host(topology, survey.gpus)
    terminal.print(f"{host.cpu}, {host.os}, {size(host.memory_bytes)} of memory", soft_wrap=True)
    if host.memory_limit_bytes is not None:
        terminal.print(f"the control group may use {size(host.memory_limit_bytes)} of it", soft_wrap=True)
    cores = table("core", "logical CPUs", "used by")
    for number, cpus in enumerate(topology.cores):
        used = f"cpu:{number + 1} and more" if number < topology.usable_cores else "none, over the quota"
        cores.add_row(str(number), " + ".join(map(str, cpus)) or "unknown", used)
    terminal.print(cores)
    terminal.print(
        "cores have sibling threads; a trial uses one thread a core, on cpu:smt all of them"
        if topology.smt
        else "one thread a core",
        soft_wrap=True,
    )
    if topology.quota_cores is not None:
        terminal.print(f"the control group grants {topology.quota_cores:g} cores of CPU time", soft_wrap=True)
    if survey.gpus:
        gpus = table("device", "name", "memory", "driver", "compute capability")
        for gpu in survey.gpus:
            memory = size(gpu.memory_bytes)
            gpus.add_row(f"gpu:{gpu.index}", gpu.name, memory, gpu.driver or "–", gpu.compute_capability or "–")
        terminal.print(gpus)
        terminal.print(
            "`python -m bench doctor` tries whether TensorFlow can use them, and so does a run that asks for one",
            soft_wrap=True,
        )
    else:
        terminal.print(f"no GPU: {survey.problem}", soft_wrap=True)
    neglected = find_neglected_card(survey)
    if neglected is not None:
        terminal.print(neglected, style="yellow", soft_wrap=True)
    chosen = resolve(
        default_requests(topology, survey), topology=topology, survey=survey, verify=lambda _: None, lenient=True
    )
    terminal.print(f"a run without --device uses {', '.join(choice.device.label for choice in chosen)}", soft_wrap=True)
