"""Weights in the files that Keras Applications publish."""

from __future__ import annotations

import warnings
from textwrap import shorten
from typing import Protocol


class Loadable(Protocol):
    """A Keras model, as far as it is needed here."""

    def load_weights(self, filepath: str) -> None:
        """Take the weights of a file."""


def load(model: Loadable, path: str, *, network: str, published: str) -> None:
    """Give a network without its top the weights of a file.

    Args:
        model: The network, without the layers that are trained anew.
        path: The file.
        network: What it is called, for the error.
        published: Name of the file that Keras publishes, for the error.

    Raises:
        ValueError: The file does not fit.
    """
    try:
        # Of a file that does not fit, Keras also warns, once for each depth of the graph.
        with warnings.catch_warnings(action="ignore", category=UserWarning):
            model.load_weights(path)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{path} does not hold the weights of {network}: {shorten(str(error), 250)}; give the file that Keras "
            f"publishes without the top, {published}, or one that save_weights wrote of the same layers"
        ) from error
