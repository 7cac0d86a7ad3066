"""What one training step holds in memory, from the graph that TensorFlow traces of it; nothing is computed.

Counting the graph's tensors instead of the layers' outputs sees what layers hide: the products inside of attention, the
blocks of a subclassed model, what batch normalisation keeps for its gradient, casts to a lower precision.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

import tensorflow as tf

from bench.catalog import StepDescription

if TYPE_CHECKING:
    from collections.abc import Callable

    import keras

# Two sizes of batch tell what grows with it from what does not; not 1, which broadcasts.
FEW, MORE = 2, 4
# These hand their input's memory on.
PASS_ON = frozenset({"Identity", "Reshape", "StopGradient", "PreventGradient", "Squeeze", "ExpandDims"})


def describe_step(model: keras.Model, input_shape: tuple[int, ...]) -> StepDescription:
    """Trace forward and backward pass, and walk through the operations in their order.

    A tensor counts from the operation that makes it to the last one that reads it, a gradient of a weight to the end,
    where the optimizer takes it. What operations need inside, and what TensorFlow rewrites before it runs the graph,
    is not seen; nor is the inside of a loop or branch.

    Args:
        model: Built, with the dtype policy that it is to be trained with.
        input_shape: Of what the model gets for an image, such as height, width, channels.

    Raises:
        Exception: Whatever the model does when it is traced.
    """
    return _describe(lambda shape: _trace(model, shape), input_shape)


def describe_forward(model: keras.Model, input_shape: tuple[int, ...]) -> StepDescription:
    """Trace the forward pass alone, as it is made of a part that stays as it is; see `describe_step`."""

    def trace(shape: tuple[int, ...]) -> tf.Graph:
        forward = tf.function(lambda images: model(images, training=False), autograph=False)
        return forward.get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph

    return _describe(trace, input_shape)


def _describe(trace: Callable[[tuple[int, ...]], tf.Graph], input_shape: tuple[int, ...]) -> StepDescription:
    few, more = (_held_bytes(trace((size, *input_shape))) for size in (FEW, MORE))
    per_image = [(at_more - at_few) // (MORE - FEW) for at_few, at_more in zip(few, more, strict=True)]
    fixed = (at_few - FEW * image for at_few, image in zip(few, per_image, strict=True))
    return StepDescription(operations=len(few), fixed_bytes=max(fixed), image_bytes=max(per_image))


def _trace(model: keras.Model, shape: tuple[int, ...]) -> tf.Graph:
    def step(images: tf.Tensor) -> list[tf.Tensor | None]:
        with tf.GradientTape() as tape:
            # Any scalar will do: the loss itself is small.
            loss = tf.reduce_sum(tf.cast(model(images, training=True), tf.float32))
        return tape.gradient(loss, model.trainable_variables)

    return tf.function(step, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32)).graph


def _held_bytes(graph: tf.Graph) -> list[int]:
    """Bytes that are held while each operation runs."""
    operations = _needed(graph)
    last_reader = {_owner(tensor): number for number, op in enumerate(operations) for tensor in op.inputs}
    last_reader |= dict.fromkeys(map(_owner, graph.outputs), len(operations))
    change = [0] * (len(operations) + 2)
    for number, op in enumerate(operations):
        for tensor in op.outputs:
            if op.type not in PASS_ON and tensor.name in last_reader:
                change[number] += _size_bytes(tensor)
                change[last_reader[tensor.name] + 1] -= _size_bytes(tensor)
    return list(accumulate(change))[: len(operations)]


def _needed(graph: tf.Graph) -> list[tf.Operation]:
    """The operations in their order, without those that nothing needs, such as gradients of frozen weights."""
    found: set[tf.Operation] = set()
    ahead = [*(tensor.op for tensor in graph.outputs), *graph.control_outputs]
    while ahead:
        op = ahead.pop()
        if op not in found:
            found.add(op)
            ahead += [*(tensor.op for tensor in op.inputs), *op.control_inputs]
    return [op for op in graph.get_operations() if op in found]


def _owner(tensor: tf.Tensor) -> str:
    """The name of the tensor whose memory this one uses."""
    while tensor.op.type in PASS_ON:
        tensor = tensor.op.inputs[0]
    return tensor.name


def _size_bytes(tensor: tf.Tensor) -> int:
    """0 for a weight, which is counted elsewhere, and where the shape is unknown, as that of some lists of axes is."""
    if tensor.op.type == "ReadVariableOp":
        return 0
    return (tensor.shape.num_elements() or 0) * tensor.dtype.size
