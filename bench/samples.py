"""What the sampler sees of a trial at one moment; part of the run folder's format, which `bench.records` describes."""

from __future__ import annotations

from bench.record import Record


class GpuSample(Record, frozen=True):
    """One GPU at one moment, through NVML. What could not be read is None; the reason stands in `Result.missing`.

    Attributes:
        clock_event_reasons: NVML's bits of why its clocks are low.
        foreign_processes: Processes that compute on it and are not the trial's; read less often.
    """

    uuid: str
    utilization_percent: float | None = None
    memory_used_bytes: int | None = None
    power_watts: float | None = None
    energy_joules: float | None = None
    temperature_celsius: float | None = None
    sm_clock_mhz: float | None = None
    memory_clock_mhz: float | None = None
    clock_event_reasons: int | None = None
    foreign_processes: int | None = None


class Sample(Record, frozen=True):
    """The trial's process tree, its control group, its CPUs and its GPUs at one moment.

    From `parent_cpu_s` to `cpu_pressure_s` all are counts that grow from some moment before the trial: what counts is
    their difference. The trial's cores are those of its CPUs, with their other hardware threads.

    Attributes:
        t_s: On the trial's clock.
        rss_bytes: Resident sets of the tree, summed (shared pages count once a process).
        pss_bytes: Proportional sets, summed (shared pages count once); read less often, it is costly.
        peak_rss_bytes: VmHWM of the worker.
        cpu_s: CPU time of the tree.
        cpu_percent: CPU time of the tree since the last sample over time passed; 100 is one core.
        threads: Threads of the tree.
        voluntary_switches: Context switches of the worker since it began: it waited.
        involuntary_switches: Likewise: it was pushed off its core.
        cgroup_memory_bytes: Memory charged to the control group.
        parent_cpu_s: CPU time of the harness itself.
        busy_s: CPU time that anyone spent on the trial's cores.
        steal_s: Time that the hypervisor took from the trial's cores.
        throttled_periods: Periods in which the control group's quota of CPU time was used up.
        throttled_s: Time for which it was stopped in these.
        cpu_pressure_s: Time in which at least one thread of the control group (of the system, where the group is not
            watched) waited for a CPU; the trial's own threads, when they outnumber the cores, wait for each other.
        frequency_mhz: Mean clock of the trial's CPUs, of the first eight; read less often.
        package_energy_joules: What all processor packages used since the first sample, whoever used it.
        gpus: The trial's GPUs.
    """

    t_s: float
    rss_bytes: int | None = None
    pss_bytes: int | None = None
    peak_rss_bytes: int | None = None
    cpu_s: float | None = None
    cpu_percent: float | None = None
    threads: int | None = None
    voluntary_switches: int | None = None
    involuntary_switches: int | None = None
    cgroup_memory_bytes: int | None = None
    parent_cpu_s: float | None = None
    busy_s: float | None = None
    steal_s: float | None = None
    throttled_periods: int | None = None
    throttled_s: float | None = None
    cpu_pressure_s: float | None = None
    frequency_mhz: float | None = None
    package_energy_joules: float | None = None
    gpus: tuple[GpuSample, ...] = ()
