"""What TensorFlow says of the GPUs that this process sees: `python -m bench.worker.probe REQUEST` prints one line.

A GPU that TensorFlow lists may still fail at its first operation (cuDNN too old, code for another architecture, no
compiler for XLA), so a convolution and a compiled operation can be run on it. Request and answer are JSON, a
`ProbeRequest` and a `ProbeAnswer`; TensorFlow's own messages go to standard error.
"""

from __future__ import annotations

import sys

import msgspec

from bench.probes import ProbeAnswer, ProbeRequest
from bench.worker import preload


def answer(request: ProbeRequest) -> ProbeAnswer:
    """Load the libraries, import TensorFlow, and look."""
    preload.load(request.libraries)
    import tensorflow as tf  # noqa: PLC0415 -- the libraries come first

    from bench.worker.operations import try_operations  # noqa: PLC0415 -- imports TensorFlow

    gpus = tf.config.list_physical_devices("GPU")
    tried = None
    if gpus and request.operations:
        tf.config.experimental.set_memory_growth(gpus[0], enable=True)
        tried = try_operations("/GPU:0")
    return ProbeAnswer(
        version=tf.__version__,
        cuda_build=tf.test.is_built_with_cuda(),
        gpus=tuple(gpu.name for gpu in gpus),
        failed_operation=tried[0] if tried else None,
        problem=tried[1] if tried else None,
        not_loaded=preload.failed(),
    )


if __name__ == "__main__":
    asked = msgspec.json.decode(sys.argv[1], type=ProbeRequest)
    sys.stdout.write("\n" + msgspec.json.encode(answer(asked)).decode() + "\n")
