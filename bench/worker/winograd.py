"""3×3 convolutions with fewer multiplications, on a CPU (Winograd 1980; Lavin & Gray 2016, arXiv 1509.09308).

A tile of m × m outputs takes (m + 2)² products of transformed inputs and kernels in place of 9 m²: for 4 × 4, 36 in
place of 144. TensorFlow asks oneDNN for direct convolutions, and for AVX2 oneDNN has no others
(uxlfoundation/oneDNN#491); so here they are matrix products of TensorFlow: rows transformed, then columns, one
product for each place in a tile, and the same backwards. Gradients follow by themselves, with as many multiplications
less.

What comes out differs from the direct convolution by rounding, by at most 1e-4 of its root mean square.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import keras
import numpy as np
import tensorflow as tf
from numpy.polynomial import polynomial

if TYPE_CHECKING:
    from collections.abc import Callable

    Size: TypeAlias = int | tf.Tensor
    Matrix: TypeAlias = np.ndarray | tf.Tensor

KERNEL = 3  # taps along an axis
TILES = (2, 3, 4, 5)  # outputs along an axis of a tile; larger ones round worse
# Where the polynomials that stand for a tile and for the kernel are multiplied; infinity besides. Small numbers of both
# signs round least (Lavin & Gray's for tiles of 2 and 4).
POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)

# Where it pays. Measured on two cores with AVX2, 512 images, a layer forward and backward, direct over Winograd: 1.5
# for 64 channels on 15 × 15, 2.0 for 160 on 7 × 7, 3.4 for 320 on 2 × 2; 1.0 for 32 on 15 × 15 and for 48 on 31 × 31.
FEWEST_CHANNELS = 64
SMALLEST_MAP, LARGEST_MAP = 2, 16  # pixels along an axis


def use_winograd(model: keras.Model) -> None:
    """Let the model's 3×3 convolutions without stride be computed so, where it pays; their kernels stay as they are.

    Args:
        model: Built. Layers of subclasses of `Conv2D` stay as they are: they may convolve in a way of their own. So do
            layers that are built later.
    """
    for layer in model._flatten_layers():  # noqa: SLF001 -- Keras has no public way to layers of nested ones
        if _is_eligible(layer):
            layer.convolution_op = functools.partial(_convolution_op, direct=layer.convolution_op)


def convolve(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Return the convolution with zeros at the edges, without stride.

    Args:
        images: float32 (batch, height, width, in), at most 16 × 16. Their size need not be known in a graph.
        kernel: float32 (3, 3, in, out).

    Returns:
        float32 (batch, height, width, out).
    """
    inputs, outputs = kernel.shape[2:]
    _, height, width, _ = keras.ops.shape(images)  # numbers where they are known, else tensors
    rows, columns = _cut(height), _cut(width)
    places = rows.places * columns.places

    transform = tf.reshape(tf.einsum("yh,xw->yxhw", rows.kernel, columns.kernel), (places, KERNEL**2))
    kernels = tf.reshape(tf.matmul(transform, tf.reshape(kernel, (KERNEL**2, -1))), (places, inputs, outputs))

    # Pixels first, so that transformations are products with all that a pixel has, of all images.
    x = tf.reshape(tf.transpose(images, (1, 2, 0, 3)), (height, -1))
    x = tf.reshape(_transform(rows.into, x), (rows.places * rows.tiles, width, -1))
    x = _swap(_transform(columns.into, x), rows.places, rows.tiles, columns.places)

    y = tf.matmul(tf.reshape(x, (places, -1, inputs)), kernels)

    y = _swap(y, rows.places, columns.places, rows.tiles)
    y = tf.reshape(y, (rows.places * rows.tiles, columns.places * columns.tiles, -1))
    y = tf.reshape(_transform(columns.out_of, y), (rows.places * rows.tiles, -1))
    y = tf.reshape(_transform(rows.out_of, y), (height, width, -1, outputs))
    y = tf.transpose(y, (2, 0, 1, 3))
    y.set_shape((*images.shape[:3], outputs))
    return y


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """How one axis is cut into tiles; tensors where its length is not known yet.

    Attributes:
        tiles: How many.
        places: Products along the axis of a tile, m + 2.
        into: float32 (places × tiles, length): from pixels to places, the zeros at the edges included.
        out_of: float32 (length, places × tiles): from products at places to pixels.
        kernel: float32 (places, 3): from taps to places.
    """

    tiles: Size
    places: Size
    into: Matrix
    out_of: Matrix
    kernel: Matrix


def _cut(length: Size) -> _Axis:
    """Cut an axis into tiles; one whose length is not known is looked up among all that there can be."""
    if isinstance(length, int):
        return _cut_known(length)
    known = [_cut_known(length) for length in range(1, LARGEST_MAP + 1)]

    def looked_up(matrices: list[np.ndarray], rows: Size, columns: Size) -> tf.Tensor:
        shape = np.max([matrix.shape for matrix in matrices], axis=0)
        table = np.stack(
            [
                np.pad(matrix, [(0, all_ - own) for all_, own in zip(shape, matrix.shape, strict=True)])
                for matrix in matrices
            ]
        )
        return tf.constant(table)[length - 1, :rows, :columns]

    tiles, places = (tf.constant([getattr(axis, name) for axis in known])[length - 1] for name in ("tiles", "places"))
    return _Axis(
        tiles=tiles,
        places=places,
        into=looked_up([axis.into for axis in known], places * tiles, length),
        out_of=looked_up([axis.out_of for axis in known], length, places * tiles),
        kernel=looked_up([axis.kernel for axis in known], places, KERNEL),
    )


@functools.cache
def _cut_known(length: int) -> _Axis:
    """Cut an axis of so many pixels into the tiles that take the fewest products."""
    size = min(TILES, key=lambda size: (-(-length // size) * (size + KERNEL - 1), size))
    outputs, kernel, inputs = transformations(size)
    places, tiles = size + KERNEL - 1, -(-length // size)
    into = np.zeros((places, tiles, length), np.float32)
    out_of = np.zeros((length, places, tiles), np.float32)
    for tile in range(tiles):
        first = tile * size
        for place, pixel in enumerate(range(first - 1, first - 1 + places)):
            if 0 <= pixel < length:
                into[:, tile, pixel] = inputs[:, place]
        inside = min(size, length - first)
        out_of[first : first + inside, :, tile] = outputs[:inside]
    return _Axis(
        tiles=tiles,
        places=places,
        into=into.reshape(places * tiles, length),
        out_of=out_of.reshape(length, places * tiles),
        kernel=kernel.astype(np.float32),
    )


def transformations(size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the matrices A, G and B with A ((G g) ∘ (B d)) = the outputs of taps g sliding over d (Toom & Cook).

    Args:
        size: Outputs of a tile, m.

    Returns:
        float64 A (m, m + 2), G (m + 2, 3), B (m + 2, m + 2).
    """
    places = size + KERNEL - 1
    points = POINTS[: places - 1]
    outputs, kernel, inputs = np.zeros((size, places)), np.zeros((places, KERNEL)), np.zeros((places, places))
    for place, point in enumerate(points):
        others = [other for other in points if other != point]
        outputs[:, place] = point ** np.arange(size)
        kernel[place] = point ** np.arange(KERNEL) / np.prod([point - other for other in others])
        inputs[place, : places - 1] = polynomial.polyfromroots(others)
    outputs[-1, -1] = kernel[-1, -1] = 1.0  # infinity
    inputs[-1] = polynomial.polyfromroots(points)
    return outputs, kernel, inputs


def _transform(matrix: Matrix, x: tf.Tensor) -> tf.Tensor:
    """Return matrix @ x, for a matrix that is never trained: of a batch, TensorFlow would trace its gradient too."""

    @tf.custom_gradient
    def product(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.matmul(matrix, x), lambda upstream: tf.matmul(tf.transpose(matrix), upstream)

    return product(x)


def _swap(x: tf.Tensor, outer: Size, first: Size, second: Size) -> tf.Tensor:
    """Return (outer, first × second, …), however it is shaped, as (outer, second, first, …)."""
    return tf.transpose(tf.reshape(x, (outer, first, second, -1)), (0, 2, 1, 3))


def _convolution_op(inputs: tf.Tensor, kernel: tf.Tensor, *, direct: Callable[..., tf.Tensor]) -> tf.Tensor:
    """What a layer of Keras calls to convolve."""
    kernel = tf.convert_to_tensor(kernel)
    if inputs.dtype != tf.float32:
        return direct(inputs, kernel)
    height, width = inputs.shape[1:3]
    if None not in (height, width):
        pays = min(height, width) >= SMALLEST_MAP and max(height, width) <= LARGEST_MAP
        return convolve(inputs, kernel) if pays else direct(inputs, kernel)
    # A training in stages has one graph for images of all sizes.
    size = tf.shape(inputs)[1:3]
    pays = tf.reduce_all((size >= SMALLEST_MAP) & (size <= LARGEST_MAP))
    return tf.cond(pays, lambda: convolve(inputs, kernel), lambda: direct(inputs, kernel))


def _is_eligible(layer: keras.Layer) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and layer.kernel_size == (KERNEL, KERNEL)
        and layer.strides == (1, 1)
        and layer.dilation_rate == (1, 1)
        and layer.groups == 1
        and layer.padding == "same"
        and layer.data_format == "channels_last"
        and layer.built
        and min(layer.kernel.shape[2:]) >= FEWEST_CHANNELS
    )
