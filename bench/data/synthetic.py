"""Drawn images, 32x32x3 in 100 classes: a data set that needs no download.

An image shows one object on a cluttered ground. Its class is the object's colour (5), its surface (4) and its shape
(5); the ground has the same surface, fainter. Place, size and turn of the object, phase, period and tilt of the
surface, light, ground, clutter and noise are drawn at random. So colour alone tells no more than one class in twenty;
small filters see the surface (banded and striped differ in pose alone), and the shape takes a wider view.

All arithmetic is on integers, and the random bits are those of a bit generator, whose stream NumPy promises to keep
(NEP 19): the images are the same on every machine and with every version.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Coordinates = NDArray[np.int16]
    Mask = NDArray[np.bool_]
    PerImage = NDArray[np.int32]

Split = Literal["train", "test"]

NUM_TRAIN = 50_000
NUM_TEST = 10_000
SIZE = 32

COLOURS = ("red", "yellow", "green", "blue", "violet")
SURFACES = ("banded", "striped", "checked", "spotted")
SHAPES = ("disc", "ring", "square", "triangle", "cross")

COARSE_NAMES = tuple(f"{surface} {shape}" for shape, surface in product(SHAPES, SURFACES))
CLASS_NAMES = tuple(f"{colour} {group}" for group in COARSE_NAMES for colour in COLOURS)
COARSE_OF_FINE = tuple(fine // len(COLOURS) for fine in range(len(CLASS_NAMES)))

_SEED = 20_261_122
_BLOCK = 500  # images drawn at a time: they fit the cache, and the first n images do not depend on the count
_PIXEL = 8  # lengths in the image are counted in eighths of a pixel
_UNIT = 64  # an object's radius in its own frame, and a surface's period in its own
_TURN = 256  # angles are counted in 256ths of a turn
_COS = np.array([round(1024 * math.cos(math.tau * angle / _TURN)) for angle in range(_TURN)], np.int32)
_HUES = 1536  # steps of the colour circle


def generate(count: int, *, split: Split) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Draw the first `count` images of a split.

    Args:
        count: Images to draw. The first ones are the same whatever the count; every 500 show each class 5 times.
        split: `"train"` or `"test"`: two streams of random bits that have nothing in common.

    Returns:
        Images as uint8 of shape (count, 32, 32, 3) and labels as int32 of shape (count,), which index `CLASS_NAMES`.
    """
    images = np.empty((count, SIZE, SIZE, 3), np.uint8)
    labels = np.empty(count, np.int32)
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        seed = np.random.SeedSequence((_SEED, int(split == "test"), start // _BLOCK))
        block_images, block_labels = _Block(np.random.SFC64(seed)).draw()
        images[start:stop] = block_images[: stop - start]
        labels[start:stop] = block_labels[: stop - start]
    return images, labels


class _Block:
    """`_BLOCK` images that are drawn together; the order of the methods' draws is part of what the images are."""

    def __init__(self, bits: np.random.SFC64) -> None:
        self._bits = bits

    def draw(self) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
        shuffled = np.argsort(self._bits.random_raw(_BLOCK), kind="stable")
        labels = (shuffled % len(CLASS_NAMES)).astype(np.int32)
        group, colour = np.divmod(labels, len(COLOURS))
        shape, surface = np.divmod(group, len(SURFACES))

        paint = self._clutter()  # the number of each pixel's colour: ground 0, clutter 2, object 4 ...
        paint[self._object(shape)] = 4
        paint += self._surface(surface)  # ... and 1 more where the surface is light
        images = _coloured(paint, self._palette(colour))
        return self._lit(images), labels

    def _between(self, low: int, high: int) -> PerImage:
        """One integer an image, uniform in [low, high)."""
        bits = self._bits.random_raw(_BLOCK) >> np.uint64(40)
        return low + (bits * np.uint64(high - low) >> np.uint64(24)).astype(np.int32)

    def _clutter(self) -> NDArray[np.uint8]:
        paint = np.zeros((_BLOCK, SIZE, SIZE), np.uint8)
        for _ in range(3):
            left, top = self._between(-2, SIZE - 2), self._between(-2, SIZE - 2)
            columns, rows = _span(left, self._between(3, 10)), _span(top, self._between(3, 10))
            paint[columns[:, None, :] & rows[:, :, None]] = 2
        return paint

    def _object(self, shape: PerImage) -> Mask:
        middle, off = SIZE * _PIXEL // 2, 5 * _PIXEL
        x, y = self._between(middle - off, middle + off), self._between(middle - off, middle + off)
        angle, radius = self._between(-16, 17), self._between(10 * _PIXEL, 14 * _PIXEL)
        u, v = _frame(x, y, angle % _TURN, radius)
        np.clip(u, -127, 127, out=u)  # so that the sum of two squares stays within 16 bits
        np.clip(v, -127, 127, out=v)
        mask = np.empty(u.shape, np.bool_)
        for number, name in enumerate(SHAPES):
            chosen = np.flatnonzero(shape == number)
            mask[chosen] = _within(name, u[chosen], v[chosen])
        return mask

    def _surface(self, surface: PerImage) -> Mask:
        tilt = self._between(-8, 9) + (surface == SURFACES.index("striped")) * (_TURN // 4)
        x, y = self._between(0, SIZE * _PIXEL), self._between(0, SIZE * _PIXEL)
        u, v = _frame(x, y, tilt % _TURN, self._between(4 * _PIXEL, 6 * _PIXEL))
        mask = np.empty(u.shape, np.bool_)
        for number, name in enumerate(SURFACES):
            chosen = np.flatnonzero(surface == number)
            mask[chosen] = _light(name, u[chosen], v[chosen])
        return mask

    def _palette(self, colour: PerImage) -> NDArray[np.uint8]:
        """Six colours an image (ground, clutter, object, each dark and light) of red, green, blue and a spare byte."""
        jitter = 110  # of half the 307 steps between two classes' hues
        any_hue = self._between(0, _HUES), self._between(0, _HUES)
        object_hue = colour * _HUES // len(COLOURS) + self._between(-jitter, jitter)
        palette = np.zeros((_BLOCK, 6, 4), np.uint8)
        kinds = (  # hue, range of saturation, range of the dark colour's share of the light one, in 256ths
            (any_hue[0], (0, 120), (170, 235)),
            (any_hue[1], (60, 230), (170, 235)),
            (object_hue, (100, 230), (60, 130)),
        )
        for number, (hue, saturation, share) in enumerate(kinds):
            light = _rgb(hue, self._between(*saturation), self._between(110, 240))
            palette[:, 2 * number + 1, :3] = light
            palette[:, 2 * number, :3] = light * self._between(*share)[:, None] >> 8
        return palette

    def _lit(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Lay light from one side, and noise, over the images."""
        from_middle = np.arange(SIZE, dtype=np.int32) * 2 - SIZE + 1
        across, down = ((self._between(-32, 33)[:, None] * from_middle >> 5).astype(np.int16) for _ in range(2))
        noise = self._bits.random_raw(images.size // 8).view(np.uint8).reshape(images.shape)
        lit = images + (across[:, None, :] + down[:, :, None])[..., None]
        lit += noise >> 4  # two halves of a byte: triangular, from -15 to 15
        lit += noise & 15
        lit -= 15
        return np.clip(lit, 0, 255, out=lit).astype(np.uint8)


def _frame(x: PerImage, y: PerImage, angle: PerImage, length: PerImage) -> tuple[Coordinates, Coordinates]:
    """Coordinates of all pixels in a turned frame with its origin at x, y; `length` becomes `_UNIT`."""
    pixel = np.arange(SIZE, dtype=np.int32) * _PIXEL + _PIXEL // 2
    dx, dy = pixel - x[:, None], pixel - y[:, None]
    cos = (_COS[angle] * _UNIT // length)[:, None]
    sin = (_COS[(angle - _TURN // 4) % _TURN] * _UNIT // length)[:, None]

    def along(across: NDArray[np.int32], down: NDArray[np.int32]) -> Coordinates:
        columns, rows = (across >> 10).astype(np.int16), (down >> 10).astype(np.int16)
        return columns[:, None, :] + rows[:, :, None]

    return along(cos * dx, sin * dy), along(-sin * dx, cos * dy)


def _span(start: PerImage, length: PerImage) -> Mask:
    pixel = np.arange(SIZE, dtype=np.int32)
    return (pixel > start[:, None]) & (pixel < (start + length)[:, None])


def _within(shape: str, u: Coordinates, v: Coordinates) -> Mask:
    """Which points lie within a shape of about radius `_UNIT`."""
    a, b = np.abs(u), np.abs(v)
    square = u * u + v * v
    mask: Mask
    match shape:
        case "disc":
            mask = square < 56 * 56
        case "ring":
            mask = (square > 36 * 36) & (square < 64 * 64)
        case "square":
            mask = np.maximum(a, b) < 50
        case "triangle":  # equilateral: 111 / 64 is the root of 3
            mask = (v < 36) & ((a * 111 >> 6) < v + 72)
        case "cross":
            mask = (np.minimum(a, b) < 20) & (np.maximum(a, b) < 64)
    return mask


def _light(surface: str, u: Coordinates, v: Coordinates) -> Mask:
    """Which points of a surface of period `_UNIT` are light."""
    light: Mask = (v & 32) != 0
    if surface == "checked":
        light = light ^ ((u & 32) != 0)
    if surface == "spotted":
        a, b = (u & 63) - 32, (v & 63) - 32
        light = a * a + b * b < 23 * 23
    return light


def _rgb(hue: PerImage, saturation: PerImage, value: PerImage) -> NDArray[np.int32]:
    """Hue in steps of the colour circle, saturation and value up to 255, as red, green and blue up to 255."""
    phase = (hue[:, None] + np.array([512, 0, -512], np.int32)) % _HUES  # the three lie a third of the circle apart
    pure = np.clip(512 - np.abs(phase - 512), 0, 256)
    mixed: NDArray[np.int32] = value[:, None] * (256 * 255 - saturation[:, None] * (256 - pure)) // (256 * 255)
    return mixed


def _coloured(paint: NDArray[np.uint8], palette: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Each pixel's colour, looked up as one number of four bytes: several times as fast as three of one."""
    count, colours, _ = palette.shape
    numbers = palette.view(np.uint32).ravel()
    index = paint + (np.arange(count, dtype=np.int32) * colours)[:, None, None]
    images: NDArray[np.uint8] = numbers[index].view(np.uint8).reshape(*paint.shape, 4)[..., :3]
    return images
