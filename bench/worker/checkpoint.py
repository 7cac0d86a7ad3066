"""A trial's whole training state on disk: weights, optimizer, random-number states, by position.

Every variable is written, so that a trial that is taken up reaches the weights that it would have reached.
`save_weights` leaves out the states of dropout's random numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from bench.errors import StoreError
from bench.store import atomic_file, checkpoint_file

if TYPE_CHECKING:
    from pathlib import Path


def save(folder: Path, model: keras.Model, *, epoch: int) -> None:
    """Write the state after `epoch` finished epochs, then remove older ones.

    Raises:
        StoreError: The disk is full, or the folder cannot be written; the older state is still there.
    """
    target = checkpoint_file(folder, epoch)
    folder.mkdir(exist_ok=True)
    with atomic_file(target) as file:
        np.savez(file, **{f"{i:05d}": keras.ops.convert_to_numpy(variable) for i, variable in _numbered(model)})
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
    except (OSError, ValueError, KeyError) as error:
        raise StoreError(f"{source} is damaged: {error}; remove the trial's folder to start it anew") from error


def _numbered(model: keras.Model) -> list[tuple[int, keras.Variable]]:
    return list(enumerate([*model.variables, *model.optimizer.variables]))
