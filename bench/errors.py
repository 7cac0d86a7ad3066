"""What can go wrong, as the user is told it; caught once, in the command line."""

from __future__ import annotations


class BenchError(Exception):
    """An error whose message is meant for the user: the fact, the received value, the next step.

    Attributes:
        exit_code: What the process ends with when nothing else handles the error.
    """

    exit_code = 1

    def __init__(self, message: str, *, exit_code: int | None = None) -> None:
        super().__init__(message)
        if exit_code is not None:
            self.exit_code = exit_code


class UsageError(BenchError):
    """A flag, a configuration file or a name that cannot be understood."""

    exit_code = 2


class ModelError(BenchError):
    """A model file that cannot be found, read or built."""

    exit_code = 5


class DataError(BenchError):
    """A data set that is missing, damaged or not what it says."""

    exit_code = 6


class StoreError(BenchError):
    """A run folder that cannot be written, read, locked or understood."""

    exit_code = 7


class DeviceError(BenchError):
    """A device that was asked for and cannot be used; never replaced by another one."""

    exit_code = 10


class UnusableGpuError(DeviceError):
    """A GPU that was asked for is not there or does not work; the doctor can say why."""
