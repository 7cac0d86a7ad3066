"""A trial's whole training state on disk: weights, optimizer, random-number states, by position.

Every variable is written, so that a trial that is taken up reaches the weights that it would have reached.
`save_weights` leaves out the states of dropout's random numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from zipfile import BadZipFile, ZipFile

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
    # As np.savez writes it, but one variable at a time: it would hold a copy of all of them.
    with atomic_file(target) as file, ZipFile(file, "w") as archive:
        for i, variable in _numbered(model):
            with archive.open(f"{i:05d}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, keras.ops.convert_to_numpy(variable), allow_pickle=False)
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


def _numbered(model: keras.Model) -> list[tuple[int, keras.Variable]]:
    return list(enumerate([*model.variables, *model.optimizer.variables]))
