"""The arithmetic of a model: FLOPs of its forward pass and of a training step, counted without running either.

TensorFlow's profiler counts the operations of a traced graph, 2 FLOPs a multiply-add. It knows convolutions, matrix
products, their gradients and most elementwise operations; of convolutions without padding it counts the gradients
at every position of the input, not only of the output: for 3×3 on 32×32, 14 % more than is computed. Fused batch
normalisation counts nothing. The products that it does not know are counted here, and so are batched ones whose first
factor is transposed, of which it multiplies the wrong axes.
"""

from __future__ import annotations

import contextlib
import logging
import math
import random
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import keras

    Formula = Callable[[tf.Operation], int]

_COUNTED_BY_PROFILER = frozenset(
    {
        "BatchMatMul",
        "BatchMatMulV2",
        "BatchMatMulV3",
        "Conv2D",
        "Conv2DBackpropFilter",
        "Conv2DBackpropInput",
        "Conv3D",
        "DepthwiseConv2dNative",
        "MatMul",
    }
)
_COUNTED_BY_NOBODY = frozenset(
    {
        "Conv3DBackpropFilterV2",
        "Conv3DBackpropInputV2",
        "CudnnRNNV3",
        "SparseTensorDenseMatMul",
        "XlaConvV2",
        "XlaDotV2",
    }
)


# What names, moves or looks up, and takes next to no time.
_NO_WORK = frozenset(
    {"Const", "Identity", "IdentityN", "NoOp", "Placeholder", "ReadVariableOp", "Shape", "VarHandleOp"}
)


class _UncountableError(Exception):
    """The graph holds products whose FLOPs cannot be told."""


@dataclass(frozen=True, kw_only=True)
class Flops:
    """FLOPs of a model, for one image.

    Attributes:
        forward_per_image: Of the forward pass; None if they could not be counted.
        training_per_image: Of a training step: forward, gradients, loss, metrics, and the image's share of the
            optimizer's work. None if they could not be counted.
        operations: Operations of a training step on one device that compute something; None where they could not be
            traced.
        problem: Why a count is None, in words.
    """

    forward_per_image: int | None = None
    training_per_image: int | None = None
    operations: int | None = None
    problem: str | None = None


def count_flops(model: keras.Model, *, input_shape: tuple[int, ...], batch_size: int) -> Flops:
    """Count the FLOPs of a compiled model by tracing its forward pass and its `train_step`; neither runs.

    Weights, optimizer and random states stay as they are, and nothing is printed. A batch on several devices counts
    as a whole.

    Args:
        model: Compiled; may have a `train_step` of its own, which takes (images, labels). On several devices it must
            have taken a step before: Keras makes its metrics then, and cannot make them here.
        input_shape: Of what the model gets for an image, such as height, width, channels.
        batch_size: Of a training step.
    """
    strategy = model.distribute_strategy
    share = math.ceil(batch_size / strategy.num_replicas_in_sync)  # what one device gets of a batch
    images = tf.TensorSpec((share, *input_shape), tf.float32)
    labels = tf.TensorSpec((share,), tf.int32)

    def forward(x: tf.Tensor) -> object:
        return strategy.run(lambda x: model(x, training=False), args=(x,))

    def training_step(x: tf.Tensor, y: tf.Tensor) -> object:
        return strategy.run(lambda x, y: model.train_step((x, y)), args=(x, y))

    counted: dict[str, int] = {}
    problems: list[str] = []
    for name, step, specs in (("forward", forward, (images,)), ("training", training_step, (images, labels))):
        try:
            with _unnoticed():
                graph = _whole_graph(step, *specs)
                if name == "training":
                    operations = sum(op.type not in _NO_WORK for op in graph.get_operations())
                    counted["operations"] = round(operations / strategy.num_replicas_in_sync)
                total = _count(graph)
            counted[f"{name}_per_image"] = round(total / (share * strategy.num_replicas_in_sync))
        except Exception as error:  # noqa: BLE001 -- a user's model may do anything; a count is never worth a trial
            problems.append(f"{name} FLOPs cannot be counted: {_reason(error)}")
    return Flops(**counted, problem="; ".join(problems) or None)


def _reason(error: Exception) -> str:
    """What an error says, without where in the model Keras met it."""
    if isinstance(error, _UncountableError):
        return str(error)
    lines = (line.strip() for line in str(error).splitlines())
    said = next((line for line in lines if line and not line.startswith("Exception encountered")), "")
    return f"{type(error).__name__}: {said}"


def _whole_graph(step: Callable[..., object], *specs: tf.TensorSpec) -> tf.Graph:
    graph = _trace(step, *specs)
    if _hidden(graph):
        # Functions within the function, which the profiler does not look into, become part of it.
        before = tf.config.functions_run_eagerly()
        tf.config.run_functions_eagerly(True)
        try:
            graph = _trace(step, *specs)
        finally:
            tf.config.run_functions_eagerly(before)
    return graph


def _count(graph: tf.Graph) -> int:
    if hidden := _hidden(graph):
        raise _UncountableError(f"{', '.join(hidden)} inside a loop, a branch or a function of its own")
    uncounted = {op.type for op in graph.get_operations() if not _can_be_counted(op)}
    if uncounted:
        raise _UncountableError(f"no formula for {', '.join(sorted(uncounted))} as it is used here")
    return _profile(graph) + sum(_FORMULAS[op.type](op) for op in graph.get_operations() if op.type in _FORMULAS)


def _trace(step: Callable[..., object], *specs: tf.TensorSpec) -> tf.Graph:
    return tf.function(step, autograph=False).get_concrete_function(*specs).graph


def _hidden(graph: tf.Graph) -> list[str]:
    """The products in functions that the graph calls: bodies of loops, branches, functions of the user's own."""
    products = _COUNTED_BY_PROFILER | _COUNTED_BY_NOBODY | _FORMULAS.keys()
    functions = graph.as_graph_def().library.function
    return sorted({node.op for function in functions for node in function.node_def} & products)


def _can_be_counted(op: tf.Operation) -> bool:
    """Whether an operation is no product, or one of known shapes in the one layout that the formulas know."""
    if op.type in _COUNTED_BY_NOBODY:
        return False
    if op.type not in _COUNTED_BY_PROFILER | _FORMULAS.keys():
        return True
    known = all(tensor.shape.is_fully_defined() for tensor in (*op.inputs, *op.outputs))
    channels_last = "Conv" not in op.type or op.get_attr("data_format") in {b"NHWC", b"NDHWC"}
    return known and channels_last


def _profile(graph: tf.Graph) -> int:
    options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
    options["output"] = "none"
    return tf.compat.v1.profiler.profile(graph, options=options).total_float_ops


def _einsum(op: tf.Operation) -> int:
    """A multiply-add for every combination of the labels' values."""
    subscripts = op.get_attr("equation").decode().partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for labels, tensor in zip(subscripts, op.inputs, strict=True):
        before, dots, after = labels.partition("...")
        shape = tensor.shape.as_list()
        sizes |= dict(zip(before, shape, strict=False))
        sizes |= dict(zip(reversed(after), reversed(shape), strict=False))
        broadcast = shape[len(before) : len(shape) - len(after)] if dots else []
        sizes["..."] = max(sizes.get("...", 1), math.prod(broadcast))
    return (2 if len(op.inputs) > 1 else 1) * math.prod(sizes.values())


def _depthwise_gradient(op: tf.Operation) -> int:
    """As many multiply-adds as the forward pass: each output's gradient times its window."""
    kernel = op.outputs[0] if op.type.endswith("Filter") else op.inputs[1]
    height, width = kernel.shape[:2]
    return 2 * op.inputs[2].shape.num_elements() * height * width


def _batched_product(op: tf.Operation) -> int:
    """What the profiler lacks: it takes a first factor that is transposed, as in gradients, for one that is not."""
    if not op.get_attr("adj_x"):
        return 0
    rows, columns = op.inputs[0].shape[-2:]
    return 2 * op.outputs[0].shape.num_elements() * (rows - columns)


_FORMULAS: dict[str, Formula] = {
    "BatchMatMul": _batched_product,
    "BatchMatMulV2": _batched_product,
    "BatchMatMulV3": _batched_product,
    "Einsum": _einsum,
    "DepthwiseConv2dNativeBackpropFilter": _depthwise_gradient,
    "DepthwiseConv2dNativeBackpropInput": _depthwise_gradient,
}


@contextlib.contextmanager
def _unnoticed() -> Iterator[None]:
    """Leave no trace but the graph: no warnings, and random states as they were."""
    logger = tf.get_logger()
    level = logger.level
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 -- what user code may draw from
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
