"""What a device attains at best: `python -P -m bench.worker.peak REQUEST` prints one line, a `Peak` as JSON.

What is timed runs through TensorFlow with a cell's own settings, so that a trial can be held against it.
"""

from __future__ import annotations

import os
import sys
import time

import msgspec

from bench.peaks import Peak
from bench.probes import PeakRequest
from bench.worker import preload
from bench.worker.pinning import pin

# Shares of the time to measure in; dispatching gets what they leave.
_PRODUCTS_SHARE = 0.65
_BANDWIDTH_SHARE = 0.2


def main() -> int:
    """Measure as the command line asks; return the exit code."""
    request = msgspec.json.decode(sys.argv[1], type=PeakRequest)
    pin(request.device)
    preload.load(request.libraries)
    sys.stdout.write(msgspec.json.encode(measure(request)).decode() + "\n")
    return 0


def measure(request: PeakRequest) -> Peak:
    """Set TensorFlow up as the request says and measure, in about `request.budget_s`.

    Raises:
        DeviceError: TensorFlow does not see the device, or can neither multiply nor convolve on it.
    """
    from bench.worker import attainable, runtime  # noqa: PLC0415 -- TensorFlow starts its threads inside the mask

    runtime.configure(request.device, request.precision, seed=0)
    jit = request.jit == "on"
    fastest = attainable.fastest_products(jit=jit, budget_s=_PRODUCTS_SHARE * request.budget_s)
    best = max(fastest.values(), key=lambda contender: contender.flops_per_s)
    rates = {kind: contender.flops_per_s for kind, contender in fastest.items()}
    threads = attainable.threads()
    bandwidth_bytes_per_s = attainable.bandwidth_bytes_per_s(
        budget_s=_BANDWIDTH_SHARE * request.budget_s, memory_bytes=request.memory_bytes
    )
    dispatch_s = attainable.dispatch_s(jit=jit, budget_s=(1 - _PRODUCTS_SHARE - _BANDWIDTH_SHARE) * request.budget_s)
    return Peak(
        flops_per_s=best.flops_per_s,
        flops_by=best.product.name,
        cpu_share=best.best.cpu_s / best.best.seconds / threads if request.device.kind == "cpu" else None,
        matmul_flops_per_s=rates.get("matmul"),
        convolution_flops_per_s=rates.get("convolution"),
        bandwidth_bytes_per_s=bandwidth_bytes_per_s,
        dispatch_s=dispatch_s,
        operation_s=attainable.operation_s(jit=jit),
        precision=request.precision,
        jit=request.jit,
        threads=threads,
        tensorflow=attainable.tensorflow_version(),
        measured_unix_s=time.time(),
    )


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # As in the worker: TensorFlow's own shutdown can hang or crash after all is written.
    os._exit(code)
