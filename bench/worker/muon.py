"""Muon (Jordan et al. 2024) for convolutional networks: Keras's orthogonalises the kernels of dense layers alone."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import keras

if TYPE_CHECKING:
    from collections.abc import Sequence

    import tensorflow as tf

# As many as the record runs on small images take (Jordan, airbench94_muon.py); for language models it is five.
NEWTON_SCHULZ_STEPS = 3


class Muon(keras.optimizers.Muon):
    """Keras's Muon, which also takes the kernels of convolutions for matrices, (height × width × in, out).

    A step adds a matrix to a kernel whose singular values are about the learning rate. Vectors, depthwise kernels,
    embeddings and the model's last kernel are left to AdamW.

    Args:
        momentum: Of the gradients, before they are orthogonalised.
        nesterov: Whether the momentum looks ahead.
        adam_lr_ratio: AdamW's learning rate over the other one.
        options: Of every Keras optimizer.

    Source: https://kellerjordan.github.io/posts/muon
    """

    def __init__(self, *, momentum: float, nesterov: bool, adam_lr_ratio: float, **options: Any) -> None:  # noqa: ANN401 -- Keras's
        super().__init__(
            momentum=momentum,
            nesterov=nesterov,
            adam_lr_ratio=adam_lr_ratio,
            adam_weight_decay=options.get("weight_decay"),
            ns_steps=NEWTON_SCHULZ_STEPS,
            rms_rate=None,  # which would make a step's size depend on the kernel's
            **options,
        )
        self._last_kernel: int | None = None

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Make what the optimizer keeps for each variable; the last kernel among them is the classifier's."""
        kernels = [variable for variable in variables if _is_kernel(variable)]
        self._last_kernel = id(kernels[-1]) if kernels else None
        super().build(variables)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        is_embedding = "embedding" in variable.path.lower()
        return not _is_kernel(variable) or is_embedding or id(variable) == self._last_kernel

    def zeropower_via_newtonschulz5(self, x: tf.Tensor, steps: int) -> tf.Tensor:
        """Return a kernel of the same directions, with singular values of about 1."""
        matrix = keras.ops.reshape(x, (-1, x.shape[-1]))
        return keras.ops.reshape(super().zeropower_via_newtonschulz5(matrix, steps), x.shape)


def _is_kernel(variable: keras.Variable) -> bool:
    """Whether a variable is a matrix, or the kernel of a convolution from all channels to several."""
    shape = variable.shape
    return len(shape) in {2, 4} and shape[-1] > 1 and math.prod(shape[:-1]) > 1
