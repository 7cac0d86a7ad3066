"""Model files: find them, check them without importing them, load one.

`load` imports the file, and with it Keras: only a worker calls it. Everything else reads the source.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import importlib.util
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from bench.errors import ModelError, UsageError
from bench.recipe import Recipe
from bench.records import ModelSpec, Record
from bench.weights.source import Weights

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from types import ModuleType

# The built-in models are the sibling folder of this package, never a `models` that happens to be importable.
BUILT_IN = Path(__file__).resolve().parent.parent / "models"

_FORMS = {"RECIPE": "Recipe(name=value, …)", "WEIGHTS": '{"name": Weights(name=value, …)}'}

Literal = TypeVar("Literal", Recipe, Weights)


@dataclass(frozen=True, kw_only=True)
class ModelFile:
    """A model file as its source tells.

    Attributes:
        spec: Name, path and digest.
        summary: The first line of its docstring.
        description: The whole docstring.
        recipe: Its RECIPE, if it has one.
        weights: Its WEIGHTS by their names; empty if it has none.
        problem: Why it cannot be used, or None; the rest may then be empty.
    """

    spec: ModelSpec
    summary: str = ""
    description: str = ""
    recipe: Recipe | None = None
    weights: Mapping[str, Weights] = field(default_factory=dict, hash=False)
    problem: str | None = None

    @property
    def source(self) -> str:
        """Where the model comes from, as the docstring's line `Source: …` says; empty if it has none."""
        lines = self.description.splitlines()
        return next((line.removeprefix("Source: ") for line in lines if line.startswith("Source: ")), "")


class Build(Record, frozen=True):
    """How a model is to be built, and which part of it stays as it is; `bench.recipe` says what the fields mean.

    `weights` is a path, `any_size` whether it is to take images of any size, as stages of a recipe need, `winograd`
    whether its 3×3 convolutions are computed by fewer multiplications.
    """

    spec: ModelSpec
    any_size: bool = False
    weights: str = ""
    input_pixels: int = 0
    frozen_until: str = ""
    winograd: bool = False


class LayerDescription(Record, frozen=True):
    """A layer of a model; `activations` counts the numbers that it puts out for one image."""

    name: str
    kind: str
    output_shape: tuple[int | None, ...]
    parameters: int
    activations: int


class StepDescription(Record, frozen=True):
    """What one training step holds in memory, as traced.

    Attributes:
        operations: Of its graph.
        fixed_bytes: Whatever the batch, gradients above all, at the fullest moment.
        image_bytes: For each image of the batch, at the fullest moment.
    """

    operations: int
    fixed_bytes: int
    image_bytes: int


class ModelDescription(Record, frozen=True):
    """A model as it was built, or the problem that kept it from being built.

    `activations` counts the outputs of all layers for one image; `step` is None where it could not be traced. Where a
    part is frozen, `step` is that of the rest, `frozen` the forward pass of that part, and `features` what it puts out.
    `largest_weights` counts those of the largest trained variable.
    """

    name: str
    problem: str | None = None
    parameters: int = 0
    trainable_parameters: int = 0
    activations: int = 0
    layers: tuple[LayerDescription, ...] = ()
    step: StepDescription | None = None
    frozen: StepDescription | None = None
    features: int = 0
    largest_weights: int = 0


def names() -> tuple[str, ...]:
    """Return the names of the built-in models, sorted."""
    return tuple(sorted(path.stem for path in BUILT_IN.glob("*.py") if not path.stem.startswith("_")))


def find(request: str) -> ModelFile:
    """Find a model by the name of a built-in one or by the path of a file.

    Args:
        request: `mnist_cnn`, or anything that ends in `.py`.

    Returns:
        What the file's source tells. A file that is there and cannot be used has a `problem`: it costs its own rows,
        not the run.

    Raises:
        UsageError: There is no such model or file.
    """
    if request.endswith(".py"):
        path = Path(request).expanduser().resolve()
        if not path.is_file():
            raise UsageError(f"no model file {request!r}; a model is a name (`python -m bench models`) or a .py file")
        return read(path)
    if request not in names():
        close = difflib.get_close_matches(request, names(), n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        raise UsageError(f"no model {request!r}{hint}; `python -m bench models` lists them")
    return read(BUILT_IN / f"{request}.py")


def find_all(requests: Iterable[str]) -> tuple[ModelFile, ...]:
    """Find models; files of one name are called after the folders that tell them apart, such as `before/mine`.

    Args:
        requests: As `find` takes them.

    Raises:
        UsageError: There is no such model or file.
    """
    found = [find(request) for request in requests]
    called = {file.spec.path: file.spec.name for file in found}
    for depth in range(1, max((len(locate(file.spec).parts) for file in found), default=0)):
        alike = {path for path, name in called.items() if list(called.values()).count(name) > 1}
        for file in found:
            if file.spec.path in alike:
                parts = locate(file.spec).with_suffix("").parts
                called[file.spec.path] = "/".join(parts[-1 - depth :])
    return tuple(replace(file, spec=msgspec.structs.replace(file.spec, name=called[file.spec.path])) for file in found)


def locate(spec: ModelSpec) -> Path:
    """Return where the file of a spec lies on this machine."""
    return BUILT_IN.parent / spec.path  # an absolute path stays what it is


def read(path: Path) -> ModelFile:
    """Read a model file's source: docstring, recipe, where weights come from, and whether it defines `build`."""
    try:
        source = path.read_bytes()
    except OSError as error:
        return ModelFile(spec=_spec(path, None), problem=f"{path} cannot be read: {error.strerror}")
    spec = _spec(path, source)
    try:
        tree = ast.parse(source, filename=str(path))
    except (SyntaxError, ValueError) as error:  # ValueError: a source with null bytes
        line = f" in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        message = error.msg if isinstance(error, SyntaxError) else str(error)
        return ModelFile(spec=spec, problem=f"{path} is not Python: {message}{line}")
    except (RecursionError, MemoryError):  # MemoryError: of the parser's stack
        return ModelFile(spec=spec, problem=f"{path} is not Python that can be parsed: it is nested too deeply")
    description = (ast.get_docstring(tree) or "").strip()
    summary = description.partition("\n")[0]
    try:
        recipe, weights = _recipe(tree), _weights(tree)
    except ValueError as error:
        return ModelFile(spec=spec, summary=summary, description=description, problem=f"{path}: {error}")
    problem = None
    if "build" not in _top_level_names(tree):
        problem = f"{path} defines no build(input_shape, num_classes) -> keras.Model; every model file needs one"
    return ModelFile(
        spec=spec, summary=summary, description=description, recipe=recipe, weights=weights, problem=problem
    )


def load(spec: ModelSpec) -> ModuleType:
    """Import a model file by its path.

    The file's own folder is added at the end of the module search path, so that it may import its neighbours; the
    digest covers the one file only.

    Raises:
        ModelError: The file has changed since it was asked for, cannot be used, or fails while it is imported.
    """
    path = locate(spec)
    found = read(path)
    if found.problem:
        raise ModelError(found.problem)
    if spec.sha256 != found.spec.sha256:
        raise ModelError(
            f"{path} has changed since this run was planned (SHA-256 {found.spec.sha256[:12]}…, not "
            f"{spec.sha256[:12]}…); start a new run, or bring the old file back"
        )
    module_spec = importlib.util.spec_from_file_location(f"hourglass_model_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise ModelError(f"{path} cannot be imported as a Python file")
    module = importlib.util.module_from_spec(module_spec)
    sys.path.append(str(path.parent))
    sys.modules[module_spec.name] = module  # dataclasses look their own module up there
    try:
        module_spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[module_spec.name]
        raise ModelError(f"{path} failed while it was imported: {type(error).__name__}: {error}") from error
    return module


def _spec(path: Path, source: bytes | None) -> ModelSpec:
    shown = path.relative_to(BUILT_IN.parent) if path.is_relative_to(BUILT_IN) else path
    digest = "" if source is None else hashlib.sha256(source).hexdigest()
    return ModelSpec(name=path.stem, path=shown.as_posix(), sha256=digest)


def _top_level_names(tree: ast.Module) -> set[str]:
    found: set[str] = set()
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                found.add(name)
            case ast.Assign(targets=targets):
                found.update(target.id for target in targets if isinstance(target, ast.Name))
            case ast.ImportFrom(names=aliases) | ast.Import(names=aliases):
                found.update(alias.asname or alias.name for alias in aliases)
            case _:
                pass
    return found


def _recipe(tree: ast.Module) -> Recipe | None:
    value = _assigned(tree, "RECIPE")
    return None if value is None else _literal(value, Recipe, "RECIPE", "a recipe")


def _weights(tree: ast.Module) -> dict[str, Weights]:
    value = _assigned(tree, "WEIGHTS")
    if value is None:
        return {}
    if not isinstance(value, ast.Dict):
        raise _not_literal("WEIGHTS", value)
    found: dict[str, Weights] = {}
    for key, said in zip(value.keys, value.values, strict=True):
        match key:
            case ast.Constant(value=str(name)):
                pass
            case _:  # None: `**more`
                raise _not_literal("WEIGHTS", value if key is None else key)
        if name in {"", "none"} or name in found:
            raise ValueError(f"WEIGHTS takes each name once, and none that is empty or 'none'; received {name!r}")
        found[name] = _literal(said, Weights, "WEIGHTS", "where weights come from")
    return found


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    """Return what is assigned to a name at the top of a file; one that is bound in another way is a ValueError."""
    values = []
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=target)], value=value) if target == name:
                values.append(value)
            case ast.AnnAssign(target=ast.Name(id=target), value=ast.expr() as value) if target == name:
                values.append(value)
            case _:
                pass
    # One that is imported, or made in an `if`, must not silently give way to the preset's.
    bindings = sum(_binds(node, name) for node in ast.walk(tree))
    if bindings > 1 or len(values) < bindings:
        raise ValueError(f"{_rule(name)}; received one that is imported, conditional or assigned more than once")
    return values[0] if values else None


def _binds(node: ast.AST, name: str) -> bool:
    match node:
        case ast.Name(id=bound, ctx=ast.Store()) | ast.alias(asname=str(bound)) | ast.alias(bound, None):
            return bound == name
        case _:
            return False


def _literal(value: ast.expr, kind: type[Literal], name: str, what: str) -> Literal:
    """Return what a call such as `Recipe(batch_size=64)` makes, as far as it can be told from the source."""
    match value:
        case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called), args=[], keywords=keywords):
            pass
        case _:
            raise _not_literal(name, value)
    if called != kind.__name__:
        raise _not_literal(name, value)
    options: dict[str, Any] = {}
    for keyword in keywords:
        try:
            options[keyword.arg or "**"] = ast.literal_eval(keyword.value)
        except (ValueError, TypeError):  # TypeError: a list as a dictionary's key
            raise _not_literal(name, keyword) from None
    try:
        return msgspec.convert(options, kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{name} is not {what}: {error}") from None


def _not_literal(name: str, received: ast.AST) -> ValueError:
    return ValueError(f"{_rule(name)}; received {ast.unparse(received)}")


def _rule(name: str) -> str:
    return f"{name} must be {_FORMS[name]} with literal values, so that it can be read without an import"
