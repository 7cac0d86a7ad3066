"""A trial's whole training state on disk: weights, optimizer, random-number states, by position.

Every variable is written, so that a trial that is taken up reaches the weights that it would have reached.
`save_weights` leaves out the states of dropout's random numbers.
"""

from __future__ import annotations

import math
from typing import IO, TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

import keras
import numpy as np
import tensorflow as tf

from bench.errors import StoreError
from bench.store import atomic_file, checkpoint_file

if TYPE_CHECKING:
    from pathlib import Path

FLOAT32_BYTES = 4
PIECE_BYTES = 16_000_000


def save(folder: Path, model: keras.Model, *, epoch: int) -> None:
    """Write the state after `epoch` finished epochs, then remove older ones.

    Raises:
        StoreError: The disk is full, or the folder cannot be written; the older state is still there.
    """
    target = checkpoint_file(folder, epoch)
    # As np.savez writes it, but one variable at a time: it would hold a copy of all of them.
    with atomic_file(target) as file, ZipFile(file, "w") as archive:
        for i, variable in _numbered(model):
            with archive.open(f"{i:05d}.npy", "w", force_zip64=True) as member:
                _write(member, variable)
    for old in folder.glob("epoch-*.npz"):
        if old != target:
            old.unlink()


def restore(folder: Path, model: keras.Model, *, epoch: int) -> None:
    """Set every variable to what it was after `epoch` finished epochs.

    Raises:
        StoreError: The file is damaged, or belongs to another model.
    """
    source = checkpoint_file(folder, epoch)
    try:
        with np.load(source, allow_pickle=False) as state:
            variables = _numbered(model)
            if len(state.files) != len(variables):
                raise StoreError(f"{source} holds {len(state.files)} variables, the model has {len(variables)}")
            for i, variable in variables:
                variable.assign(state[f"{i:05d}"])
    except (OSError, ValueError, KeyError, BadZipFile) as error:
        raise StoreError(f"{source} is damaged: {error}; remove the trial's folder to start it anew") from error


def _write(member: IO[bytes], variable: keras.Variable) -> None:
    """Write a variable as `.npy`; a large one in pieces, since two copies of it would stand in the peak of memory."""
    shape = tuple(variable.shape)
    if variable.dtype != "float32" or not isinstance(variable.value, tf.Variable) or 0 in shape or not shape:
        np.lib.format.write_array(member, keras.ops.convert_to_numpy(variable), allow_pickle=False)
        return
    np.lib.format.write_array_header_1_0(member, {"descr": "<f4", "fortran_order": False, "shape": shape})
    rows = max(1, PIECE_BYTES // (FLOAT32_BYTES * math.prod(shape[1:])))
    for start in range(0, shape[0], rows):
        piece = variable.value[start : start + rows].numpy()
        member.write(np.ascontiguousarray(piece, "<f4").data)


def _numbered(model: keras.Model) -> list[tuple[int, keras.Variable]]:
    return list(enumerate([*model.variables, *model.optimizer.variables]))
