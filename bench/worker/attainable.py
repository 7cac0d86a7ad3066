"""What TensorFlow attains on this process's device: products, memory traffic, and a step that computes nothing."""

from __future__ import annotations

import heapq
import itertools
import math
import statistics
import sys
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import keras
import tensorflow as tf

from bench.errors import DeviceError
from bench.worker.runtime import synchronize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

Kind = Literal["matmul", "convolution"]

_TIMED_S = 0.005  # shorter runs are timed several at once; the shorter, the likelier one that nothing else disturbs
_CLIMB = 0.5  # share of the budget in which sizes are tried; the rest is for timing the fastest again
_SLICE = 0.03  # share of the budget that one run may take: what would take longer is not tried
_CONTENDERS = 2  # of each kind, that are timed again until the budget is spent

_MATRIX_SIDES = (512, 1024, 2048, 4096, 8192)
_CONVOLUTIONS = ((64, 32), (128, 32), (256, 16))  # channels and side of the images
_BATCH_SIZES = (16, 64, 256)

_SHORT_CHAIN, _LONG_CHAIN = 10, 210  # operations
_CHAIN_RUNS = 10

_TRIAD_BYTES = 2**29  # each of two arrays: what is read again has left every cache but the very largest
_TRIAD_MEMORY_PARTS = 8  # an array takes one of them at most


@dataclass(frozen=True, kw_only=True)
class Product:
    """Something to compute that is all multiply-adds.

    Attributes:
        kind: What it is.
        name: What it is in words, with its sizes.
        flops: FLOPs of running it once.
        run: Computes it.
        operands: The shapes of what `run` takes.
    """

    kind: Kind
    name: str
    flops: int
    run: Callable[..., object]
    operands: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """One run.

    Attributes:
        seconds: Time passed.
        cpu_s: CPU time of this process, all threads together.
    """

    seconds: float
    cpu_s: float


class Contender:
    """A product that is ready to run, and its best run so far.

    Attributes:
        product: What runs.
        best: The fastest run.
    """

    def __init__(self, product: Product) -> None:
        self.product = product
        run: Callable[..., object] = product.run
        self._run = partial(run, *map(_normal, product.operands))
        self._run()  # traces, and chooses kernels
        self.best = _time(self._run)

    @property
    def flops_per_s(self) -> float:
        """The best rate so far."""
        return self.product.flops / self.best.seconds

    def run_again(self) -> None:
        """Time the product once more."""
        self.best = _faster(self.best, _time(self._run))


def fastest_products(*, jit: bool, budget_s: float) -> dict[Kind, Contender]:
    """Time matrix products and 3×3 convolutions in the precision of Keras's dtype policy.

    Sizes grow until one would take too long for the budget; the fastest are then timed in turn until it is spent.

    Args:
        jit: Compile them by XLA.
        budget_s: Time to measure in; the smallest of each kind runs in any case.

    Returns:
        The fastest of each kind; a kind that does not run at all is not there.

    Raises:
        DeviceError: Nothing runs.
    """
    start_s = time.monotonic()
    each_s = _CLIMB * budget_s / 2
    contenders = [
        *_climb(_matrix_products(jit=jit), until_s=start_s + each_s, run_s=_SLICE * budget_s),
        *_climb(_convolutions(jit=jit), until_s=start_s + 2 * each_s, run_s=_SLICE * budget_s),
    ]
    if not contenders:
        raise DeviceError(
            "TensorFlow can neither multiply matrices nor convolve on this device; see what it said above"
        )
    while time.monotonic() < start_s + budget_s:
        for contender in contenders:
            contender.run_again()
    # The fastest of a kind comes last and stays.
    return {contender.product.kind: contender for contender in sorted(contenders, key=_rate)}


def _climb(products: Iterable[Product], *, until_s: float, run_s: float) -> list[Contender]:
    """Try products from the smallest up and return the fastest few."""
    best: list[Contender] = []
    for product in sorted(products, key=lambda product: product.flops):
        if best and (time.monotonic() > until_s or product.flops / best[0].flops_per_s > run_s):
            break
        try:
            best.append(Contender(product))
        except tf.errors.OpError as error:  # no kernel for this precision, or not enough memory for this size
            sys.stderr.write(f"{product.name}: {error.message}\n")
        best = heapq.nlargest(_CONTENDERS, best, key=_rate)
    return best


def _rate(contender: Contender) -> float:
    return contender.flops_per_s


def bandwidth_bytes_per_s(*, budget_s: float, memory_bytes: int) -> float | None:
    """Time the triad a ← a - s·b, as of STREAM (McCalpin 1995): two arrays are read and one is written.

    In place, so that no page is new and every byte that moves is counted.

    Args:
        budget_s: Time to measure in.
        memory_bytes: Memory that this process could take.

    Returns:
        Bytes a second, or None where the device has no memory for the arrays.
    """
    try:
        return _triad_bytes_per_s(time.monotonic() + budget_s, min(_TRIAD_BYTES, memory_bytes // _TRIAD_MEMORY_PARTS))
    except tf.errors.OpError as error:
        sys.stderr.write(f"the triad: {error.message}\n")
        return None


def _triad_bytes_per_s(end_s: float, size_bytes: int) -> float:
    count = size_bytes // tf.float32.size
    a, b, scale = tf.Variable(tf.zeros(count)), tf.ones(count), tf.constant(1e-9)

    @tf.function(jit_compile=False)
    def triad() -> None:
        tf.raw_ops.ResourceApplyGradientDescent(var=a.handle, alpha=scale, delta=b)

    triad()
    best = _time(triad)
    while time.monotonic() < end_s:
        best = _faster(best, _time(triad))
    return 3 * count * tf.float32.size / best.seconds


def dispatch_s(*, jit: bool, budget_s: float) -> float:
    """Return the median time of a step of `fit` that trains one weight on one number."""
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, dtype="float32")])
    model.compile(optimizer=keras.optimizers.SGD(1e-3), loss="mse", jit_compile=jit)
    stamps = _Stamps(model, budget_s)
    number = tf.ones((1, 1))
    options = tf.data.Options()
    options.autotune.enabled = False  # as in the trials' pipeline
    batches = tf.data.Dataset.from_tensors((number, number)).repeat()
    model.fit(batches.with_options(options), steps_per_epoch=1_000_000, callbacks=stamps, shuffle=False, verbose=0)
    return statistics.median(stamps.steps_s)


def operation_s(*, jit: bool) -> float:
    """Return what an operation costs that computes one value: a long chain of them against a short one."""
    number = tf.ones((1,))

    def chain(length: int) -> Callable[[], object]:
        @tf.function(jit_compile=jit)
        def run(x: tf.Tensor) -> tf.Tensor:
            for _ in range(length):
                x = tf.sin(x)
            return x

        return partial(run, number)

    short, long = chain(_SHORT_CHAIN), chain(_LONG_CHAIN)
    short()
    long()
    best_s = [min(_time(run).seconds for _ in range(_CHAIN_RUNS)) for run in (short, long)]
    return max(0.0, best_s[1] - best_s[0]) / (_LONG_CHAIN - _SHORT_CHAIN)


def threads() -> int:
    """Return the size of TensorFlow's intra-op pool."""
    return tf.config.threading.get_intra_op_parallelism_threads()


def tensorflow_version() -> str:
    """Return the version of TensorFlow."""
    return tf.__version__


class _Stamps(keras.callbacks.CallbackList):
    """Takes the time of every step after the first two, which trace; ends the training when the budget is spent.

    The callback list itself, as the recorder is: what Keras's own list does at every step is not measured.
    """

    def __init__(self, model: keras.Model, budget_s: float) -> None:
        super().__init__(model=model, add_history=True)
        self.steps_s: list[float] = []
        self._budget_s = budget_s
        self._steps = 0
        self._end_s = self._last_s = 0.0

    def on_train_batch_begin(self, batch: int, logs: object = None) -> None:
        """Do nothing, at no cost."""

    def on_train_batch_end(self, batch: int, logs: object = None) -> None:  # noqa: ARG002 -- as Keras calls it
        """Take the time."""
        now_s = time.perf_counter()
        self._steps += 1
        if self._steps == 2:
            self._end_s = now_s + self._budget_s
        elif self._steps > 2:
            self.steps_s.append(now_s - self._last_s)
            self.model.stop_training = now_s > self._end_s
        self._last_s = now_s


def _matrix_products(*, jit: bool) -> Iterator[Product]:
    multiply = tf.function(tf.matmul, jit_compile=jit)
    for side in _MATRIX_SIDES:
        name = f"matrix product, {side}×{side}"
        yield Product(kind="matmul", name=name, flops=2 * side**3, run=multiply, operands=((side, side),) * 2)


def _convolutions(*, jit: bool) -> Iterator[Product]:
    @tf.function(jit_compile=jit)
    def forward(images: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return tf.nn.conv2d(images, kernel, strides=1, padding="SAME")

    @tf.function(jit_compile=jit)
    def with_gradients(images: tf.Tensor, kernel: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch((images, kernel))
            outputs = tf.nn.conv2d(images, kernel, strides=1, padding="SAME")
        # The outputs stand in for what comes back from the layers above, so that the forward part is not left out.
        return tape.gradient(outputs, [images, kernel], output_gradients=outputs)

    for (channels, side), batch_size in itertools.product(_CONVOLUTIONS, _BATCH_SIZES):
        flops = 2 * 9 * channels**2 * side**2 * batch_size
        name = f"3×3 convolution, {channels} channels, {side}×{side}, batch {batch_size}"
        operands = ((batch_size, side, side, channels), (3, 3, channels, channels))
        yield Product(kind="convolution", name=f"{name}, forward", flops=flops, run=forward, operands=operands)
        # The gradients of images and kernel take as many multiply-adds each as the forward pass.
        yield Product(
            kind="convolution",
            name=f"{name}, with gradients",
            flops=3 * flops,
            run=with_gradients,
            operands=operands,
        )


def _normal(shape: tuple[int, ...]) -> tf.Tensor:
    """Random numbers in the precision in which layers compute; what is all zeros is faster on some devices."""
    return tf.cast(tf.random.stateless_normal(shape, seed=(0, 0)), keras.config.dtype_policy().compute_dtype)


def _faster(one: Timing, other: Timing) -> Timing:
    return min(one, other, key=lambda timing: timing.seconds)


def _time(run: Callable[[], object]) -> Timing:
    """Time a run; one that is too short for the clock is timed as the mean of several in a row."""
    once = _time_several(run, 1)
    repetitions = math.ceil(_TIMED_S / once.seconds)
    return once if repetitions == 1 else _time_several(run, repetitions)


def _time_several(run: Callable[[], object], repetitions: int) -> Timing:
    synchronize()
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    for _ in range(repetitions):
        run()
    synchronize()
    return Timing(
        seconds=(time.perf_counter() - start_s) / repetitions,
        cpu_s=(time.process_time() - start_cpu_s) / repetitions,
    )
