"""The frozen part of a model: what it puts out for the images of a data set, computed once and remembered."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

import keras
import msgspec
import numpy as np
import tensorflow as tf

from bench.records import Extracted, Extracting
from bench.worker.batch_search import BatchSearch
from bench.worker.feature_store import COMMIT_S, VALUE, FeatureStore, Part, Rows
from bench.worker.folding import fold

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Literal

    from numpy.typing import NDArray

    from bench.records import Cell
    from bench.store import Journal

    Split = Literal["training", "validation", "test"]

SIZES = (2, 4, 8, 16, 32, 64)  # images a call that a CPU tries, up to the batch size
TELL_S = 2.0  # how often it says how far it has come
BLOCK_BYTES = 16_000_000  # features that are written together
PATIENCE_S = 240.0  # for another process that computes the same ones


class Sample:
    """Features of some images, which stand for those of all others where only speed is asked for.

    Args:
        rows: float32 (n, …).
        count: Images that they stand for.
    """

    def __init__(self, rows: NDArray[np.float32], count: int) -> None:
        self._rows = rows
        self.shape = (count, *rows.shape[1:])

    def __len__(self) -> int:
        return self.shape[0]

    def take(self, indices: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return some of them."""
        taken: NDArray[np.float32] = self._rows[indices % len(self._rows)]
        return taken

    def chunks(self, rows: int) -> Iterator[NDArray[np.float32]]:
        """Yield as many of them as all images have, so many at a time."""
        for start in range(0, len(self), rows):
            yield self.take(np.arange(start, min(start + rows, len(self))))


class FrozenPart:
    """What a frozen part puts out.

    Args:
        model: From images to features; it stays as it is.
        cell: What is trained.
        normalize: Makes of uint8 images what the model gets.
        cache: The folder in which features are remembered.
        journal: Told how far it has come, and what it cost.
    """

    def __init__(
        self,
        model: keras.Model,
        cell: Cell,
        *,
        normalize: Callable[[tf.Tensor], tf.Tensor],
        cache: Path,
        journal: Journal,
    ) -> None:
        self.shape: tuple[int, ...] = tuple(model.output_shape[1:])
        self._model = model
        self._cell = cell
        self._normalize = normalize
        self._cache = cache
        self._journal = journal
        self._forward: Callable[[tf.Tensor], tf.Tensor] | None = None
        self._image_s = 0.0
        self._known_digest = ""
        sizes = [size for size in SIZES if size < cell.batch_size] if cell.device.kind == "cpu" else []
        self._search = BatchSearch([*sizes, cell.batch_size])

    def variants(self) -> tuple[str, ...]:
        """The ways in which training images are seen."""
        return ("training", "training-mirrored") if self._cell.recipe.horizontal_flip else ("training",)

    def extract(self, split: Split, images: NDArray[np.uint8]) -> tuple[Rows, ...]:
        """Compute the features of a split, or find them.

        Args:
            split: Which one.
            images: uint8 (n, height, width, channels).

        Returns:
            The features of each variant, (n, …).

        Raises:
            StoreError: They cannot be written.
        """
        store = FeatureStore(self._cache, self._digest())
        names = self.variants() if split == "training" else (split,)
        computed, seconds, reused, saved_s = 0, 0.0, 0, 0.0
        with store.lock(patience_s=PATIENCE_S):
            parts = [store.part(name, len(images), self.shape) for name in names]
            store.make_room(sum(part.missing_bytes for part in parts))
            for name, part in zip(names, parts, strict=True):
                found = part.progress
                reused, saved_s = reused + found.rows, saved_s + found.seconds
                self._complete(part, images, split=split, mirrored=name.endswith("-mirrored"))
                computed += part.progress.rows - found.rows
                seconds += part.progress.seconds - found.seconds
        values = int(np.prod(self.shape))
        self._image_s = (seconds + saved_s) / max(1, computed + reused)
        self._journal.append(
            Extracted(
                split=split,
                images=computed,
                seconds=round(seconds, 6),
                values=values,
                reused_images=reused,
                saved_s=round(saved_s, 6),
                stored_bytes=len(names) * len(images) * values * VALUE.itemsize,
            )
        )
        return tuple(part.rows() for part in parts)

    def make_room(self, training: int, validation: int, test: int) -> None:
        """See to it that the features of so many images of each split fit on the disk, before any is computed.

        Raises:
            StoreError: They do not.
        """
        counts = dict.fromkeys(self.variants(), training) | {"validation": validation, "test": test}
        store = FeatureStore(self._cache, self._digest())
        store.make_room(sum(store.part(name, count, self.shape).missing_bytes for name, count in counts.items()))

    def sample(self, images: NDArray[np.uint8], *, limit_s: float) -> NDArray[np.float32]:
        """Compute the features of some training images, to see how long it takes.

        Args:
            images: uint8 (n, height, width, channels).
            limit_s: How long it may take; two calls are made in any case.

        Returns:
            The features. Of what they cost, only calls of the size that was found best are told.
        """
        self._prepare(images)
        began_s = time.monotonic()
        rows: list[NDArray[np.float32]] = []
        timed: dict[int, list[float]] = {}
        for batch, took_s in self._calls(images, mirrored=False):
            rows.append(batch)
            timed.setdefault(len(batch), []).append(took_s)
            if len(rows) > 1 and time.monotonic() - began_s > limit_s:
                break
        size = self._search.size if len(timed.get(self._search.size, ())) > 1 else len(rows[-1])
        calls_s = timed[size][1:] or timed[size]
        all_s = sum(map(sum, timed.values()))
        self._journal.append(
            Extracted(
                split="training",
                images=size * len(calls_s),
                seconds=round(sum(calls_s), 6),
                values=int(np.prod(self.shape)),
                uncounted_s=round(all_s - sum(calls_s), 6),
            )
        )
        return np.concatenate(rows)

    def expected_s(self, name: str, count: int) -> float:
        """How long a part will take, from what was computed or found so far; 0 where it is there."""
        part = FeatureStore(self._cache, self._digest()).part(name, count, self.shape)
        return (count - part.progress.rows) * self._image_s

    def _complete(self, part: Part, images: NDArray[np.uint8], *, split: Split, mirrored: bool) -> None:
        if part.is_whole:
            return
        began_s = told_s = time.monotonic()
        self._prepare(images)
        waiting: list[NDArray[np.float32]] = []
        for batch, _ in self._calls(images[part.progress.rows :], mirrored=mirrored):
            waiting.append(batch)
            now_s = time.monotonic()
            # Of few values an image, a block would hold those of hours, which a process that is killed would lose.
            if now_s - began_s >= COMMIT_S or sum(rows.nbytes for rows in waiting) >= BLOCK_BYTES:
                part.append(np.concatenate(waiting), now_s - began_s)
                waiting, began_s = [], now_s
            if time.monotonic() - told_s >= TELL_S:
                told_s = time.monotonic()
                there = part.progress.rows + sum(map(len, waiting))
                self._journal.append(Extracting(split=split, images=there, of=len(images)))
        if waiting:
            part.append(np.concatenate(waiting), time.monotonic() - began_s)

    def _prepare(self, images: NDArray[np.uint8]) -> None:
        """Trace the model, if that has not been done, and let TensorFlow optimize the graph."""
        if self._forward is None:
            self._forward = fold(self._model, jit_compile=self._cell.jit == "on")
            self._call(images[: self._search.size], mirrored=False)

    def _calls(self, images: NDArray[np.uint8], *, mirrored: bool) -> Iterator[tuple[NDArray[np.float32], float]]:
        """Yield the features of all images, call by call, with the seconds that each took."""
        at = 0
        while at < len(images):
            size = self._search.size
            start_s = time.monotonic()
            rows = self._call(images[at : at + size], mirrored=mirrored)
            took_s = time.monotonic() - start_s
            self._search.took(len(rows), took_s)
            at += size
            yield rows, took_s

    def _call(self, images: NDArray[np.uint8], *, mirrored: bool) -> NDArray[np.float32]:
        assert self._forward is not None  # noqa: S101 -- `_prepare` has seen to it
        seen = images[:, :, ::-1] if mirrored else images
        rows: NDArray[np.float32] = self._forward(self._normalize(tf.constant(seen))).numpy()
        return rows

    def _digest(self) -> str:
        """Of all that the features depend on, and their time: no cell is to be given those of another."""
        if self._known_digest:
            return self._known_digest
        cell = self._cell
        asked = {
            "model": cell.model.sha256,
            "frozen_until": cell.recipe.frozen_until,
            "input_pixels": cell.recipe.input_pixels,
            "normalization": cell.recipe.normalization,
            "dataset": msgspec.structs.replace(cell.dataset, name="", official=None, content=""),
            "precision": cell.precision,
            "jit": cell.jit,
            "onednn": cell.onednn,
            "winograd": cell.winograd,
            "device": (cell.device.kind, cell.device.threads, cell.device.siblings, cell.device.gpu_uuids),
            "batch_size": cell.batch_size if cell.device.kind == "gpu" else None,  # a CPU chooses its own
            "tensorflow": tf.__version__,
            "keras": keras.__version__,
        }
        digest = hashlib.sha256(msgspec.json.encode(asked, order="deterministic"))
        for weight in self._model.weights:  # and not what dropout would draw, which differs between seeds
            digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(keras.ops.cast(weight, "float32"))).data)
        self._known_digest = digest.hexdigest()[:32]
        return self._known_digest
