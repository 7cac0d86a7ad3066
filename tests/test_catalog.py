"""Model files: found by name or path, read without being run, loaded only if they are what was asked for."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import bench
from bench import catalog
from bench.catalog import BUILT_IN, ModelFile, find, load, locate, names, read
from bench.errors import ModelError, UsageError
from bench.recipe import Recipe
from bench.records import ModelSpec
from bench.weights.source import Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUILD = "def build(input_shape, num_classes):\n    return (input_shape, num_classes)\n"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., ModelFile]:
    """Writes a model file and reads it through the catalog."""

    def write(source: str | bytes, name: str = "mine.py") -> ModelFile:
        path = tmp_path / name
        path.write_bytes(source if isinstance(source, bytes) else source.encode())
        return find(str(path))

    return write


@pytest.fixture(autouse=True)
def _same_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What `load` adds to the modules and to their search path goes with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("hourglass_model_"):
            del sys.modules[name]


# Finding.


@pytest.mark.parametrize("name", ["mnist_cnn", "mbn", "mbn_quarter"])
def test_built_in_models_are_found_by_name(name: Any) -> None:
    """Each says in a line what it is, can be used, and lies where the package lies."""
    found = find(name)
    assert name in names()
    assert found.problem is None
    assert found.summary
    assert found.description.startswith(found.summary)
    assert found.spec.path == f"models/{name}.py"
    assert found.spec.sha256 == hashlib.sha256(locate(found.spec).read_bytes()).hexdigest()


def test_every_built_in_model_can_be_used() -> None:
    """No file in the folder of models has a problem, and none that begins with an underscore is a model."""
    assert list(names()) == sorted(names())
    assert not [name for name in names() if name.startswith("_")]
    assert [found.problem for found in map(find, names())] == [None] * len(names())


def test_listing_models_imports_none() -> None:
    """The catalog reads every built-in model, in a fresh process, without TensorFlow, Keras or the models."""
    code = (
        "import sys; from bench import catalog; print(len([catalog.find(name) for name in catalog.names()]));"
        "print([name for name in sys.modules if name.partition('.')[0] in {'keras', 'tensorflow', 'models'}])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env={"PYTHONPATH": str(Path(bench.__file__).parent.parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [str(len(names())), "[]"]


def test_a_file_of_the_users_is_found_by_its_path(
    write: Callable[..., ModelFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An absolute path and one from the current folder name the same file, by its digest."""
    found = write(f'"""Mine.\n\nFrom a paper.\n"""\n{BUILD}')
    assert found.problem is None
    assert (found.spec.name, found.summary) == ("mine", "Mine.")
    assert found.description == "Mine.\n\nFrom a paper."
    assert found.recipe is None
    assert Path(found.spec.path) == tmp_path / "mine.py"
    assert locate(found.spec) == tmp_path / "mine.py"
    monkeypatch.chdir(tmp_path)
    assert find("mine.py") == find("./mine.py") == found


def test_the_home_folder_may_be_written_as_a_tilde(
    write: Callable[..., ModelFile], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is expanded, as a shell does not after a comma."""
    found = write(BUILD)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find("~/mine.py") == found


def test_a_users_folder_called_models_does_not_stand_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A built-in name means the built-in file, whatever the current folder and the module path hold."""
    expected = find("mnist_cnn")
    impostor = tmp_path / "models" / "mnist_cnn.py"
    impostor.parent.mkdir()
    impostor.write_text(BUILD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find("mnist_cnn") == expected
    assert locate(expected.spec) == BUILT_IN / "mnist_cnn.py"
    assert find("models/mnist_cnn.py").spec.sha256 != expected.spec.sha256


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            "mnist_cn",
            "no model 'mnist_cn' (did you mean 'mnist_cnn'?); `python -m bench models` lists them",
        ),
        ("MBN_QUARTER", "no model 'MBN_QUARTER'; `python -m bench models` lists them"),
        ("zzz", "no model 'zzz'; `python -m bench models` lists them"),
        ("", "no model ''; `python -m bench models` lists them"),
        ("__init__", "no model '__init__'"),
        ("../models/mbn", "no model '../models/mbn'"),
        ("no/such.py", "no model file 'no/such.py'; a model is a name (`python -m bench models`) or a .py file"),
        (".py", "no model file '.py'"),
    ],
)
def test_what_is_not_there_is_said_with_what_was_meant(request_: Any, message: Any) -> None:
    """The error shows what was received, a name that is close, and how to see them all."""
    with pytest.raises(UsageError) as caught:
        find(request_)
    assert str(caught.value).startswith(message)


# Reading.


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def build(:\n", "is not Python: invalid syntax in line 1"),
        (b"\xff\xfe", "is not Python: "),
        (b"x = 1\0\n", "is not Python: source code string cannot contain null bytes"),
        ("-" * 300_000 + "1", "nested too deeply"),
        ("", "defines no build(input_shape, num_classes) -> keras.Model; every model file needs one"),
        ("class Net:\n    def build(self): ...\n", "defines no build("),
        (f"RECIPE = make()\n{BUILD}", "RECIPE must be Recipe(name=value, …) with literal values"),
        (f"RECIPE = Recipe(0.1)\n{BUILD}", "literal values, so that it can be read without an import; received"),
        (f"RATE = 0.1\nRECIPE = Recipe(learning_rate=RATE)\n{BUILD}", "received learning_rate=RATE"),
        (f"RECIPE = Recipe(learning_rate=2 * 0.1)\n{BUILD}", "received learning_rate=2 * 0.1"),
        (f"RECIPE = Recipe(learning_rate={{[]: 1}})\n{BUILD}", "received learning_rate={[]: 1}"),
        (f"RECIPE = Recipe(**OPTIONS)\n{BUILD}", "received **OPTIONS"),
        (f"RECIPE = Recipe(momentun=0.9)\n{BUILD}", "RECIPE is not a recipe: Object contains unknown field `momentun`"),
        (f"RECIPE = Recipe(learning_rate=-1)\n{BUILD}", "RECIPE is not a recipe: Expected `float` > 0.0"),
        (f"RECIPE = Recipe(batch_size='64')\n{BUILD}", "RECIPE is not a recipe: Expected `int | null`, got `str`"),
        (f"RECIPE = Recipe(nesterov=True)\n{BUILD}", "nesterov is an option of sgd"),
        (f"from shared import RECIPE\n{BUILD}", "received one that is imported, conditional or assigned more than"),
        (f"from shared import BEST as RECIPE\n{BUILD}", "imported, conditional"),
        (f"if True:\n    RECIPE = Recipe()\n{BUILD}", "imported, conditional"),
        (f"OURS = RECIPE = Recipe()\n{BUILD}", "imported, conditional"),
        (f"RECIPE = Recipe()\nRECIPE = Recipe(batch_size=1)\n{BUILD}", "assigned more than once"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(write: Callable[..., ModelFile], source: Any, said: Any) -> None:
    """It is found all the same, with its problem, which names the file: it costs its own rows, not the run."""
    found = write(source)
    assert found.problem is not None
    assert found.problem.startswith(str(found.spec.path))
    assert said in found.problem
    assert found.recipe is None
    assert found.spec.name == "mine"
    with pytest.raises(ModelError) as caught:
        load(found.spec)
    assert str(caught.value) == found.problem


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    """It has a problem and no digest, which an empty file has. A folder stands for a file that may not be read."""
    found = read(tmp_path)
    assert found.problem == f"{tmp_path} cannot be read: Is a directory"
    assert found.spec.sha256 == ""


@pytest.mark.parametrize(
    "source",
    [
        "RECIPE = Recipe(optimizer='sgd', momentum=0.9, nesterov=True, batch_size=32)",
        "RECIPE: Recipe = bench.recipe.Recipe(optimizer='sgd', momentum=9e-1, nesterov=True, batch_size=32)",
    ],
)
def test_a_recipe_is_read_without_the_file_being_run(write: Callable[..., ModelFile], source: Any) -> None:
    """A literal recipe is found by its source, annotated or not, by whatever name Recipe was imported."""
    found = write(f"raise SystemExit('this file was run')\n{source}\n{BUILD}")
    assert found.problem is None
    assert found.recipe == Recipe(optimizer="sgd", momentum=0.9, nesterov=True, batch_size=32)


@pytest.mark.parametrize(
    "source", ["build = make", "from shared import build", "from shared import make as build", "class build: ..."]
)
def test_build_may_come_from_elsewhere(write: Callable[..., ModelFile], source: Any) -> None:
    """Any top-level name `build` will do."""
    assert write(source).problem is None


OURS = f"Weights(file='w.h5', digest='{'0' * 32}', size_bytes=7, url='https://example.org/w.h5')"


@pytest.mark.parametrize(
    "source",
    [
        f"WEIGHTS = {{'ours': {OURS}}}",
        f"WEIGHTS: Mapping[str, Weights] = {{'ours': bench.weights.source.{OURS}}}",
    ],
)
def test_where_weights_come_from_is_read_without_the_file_being_run(
    write: Callable[..., ModelFile], source: Any
) -> None:
    """Literal weights are found by their names, annotated or not, by whatever name Weights was imported."""
    found = write(f"raise SystemExit('this file was run')\n{source}\n{BUILD}")
    assert found.problem is None
    assert found.weights == {
        "ours": Weights(file="w.h5", digest="0" * 32, size_bytes=7, url="https://example.org/w.h5")
    }


def test_a_file_without_weights_has_none(write: Callable[..., ModelFile]) -> None:
    """No WEIGHTS, and empty ones, are no weights; a name that only begins like theirs is another one."""
    assert write(BUILD).weights == write(f"WEIGHTS = {{}}\n{BUILD}").weights == {}
    assert write(f"WEIGHTS_OF_OTHERS = load()\n{BUILD}").problem is None


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("WEIGHTS = make()", 'WEIGHTS must be {"name": Weights(name=value, …)} with literal values'),
        (f"WEIGHTS = {OURS}", "so that it can be read without an import; received Weights(file='w.h5'"),
        ("WEIGHTS = {'ours': 'w.h5'}", "received 'w.h5'"),
        ("WEIGHTS = {'ours': Recipe()}", "received Recipe()"),
        ("WEIGHTS = {'ours': Weights('w.h5')}", "received Weights('w.h5')"),
        ("WEIGHTS = {'ours': Weights(**OPTIONS)}", "received **OPTIONS"),
        ("WEIGHTS = {'ours': Weights(file=FILE)}", "received file=FILE"),
        (f"WEIGHTS = {{OURS: {OURS}}}", "received OURS"),
        (f"WEIGHTS = {{1: {OURS}}}", "received 1"),
        ("WEIGHTS = {**MORE}", "received {**MORE}"),
        (f"WEIGHTS = {{'ours': {OURS}, 'ours': {OURS}}}", "takes each name once, and none that is empty or 'none'"),
        (f"WEIGHTS = {{'none': {OURS}}}", "received 'none'"),
        (f"WEIGHTS = {{'': {OURS}}}", "received ''"),
        ("WEIGHTS = {'ours': Weights(file='w.h5')}", "is not where weights come from: Object missing required field"),
        (f"WEIGHTS = {{'ours': {OURS.replace('size_bytes=7', 'size=7')}}}", "unknown field `size`"),
        (f"WEIGHTS = {{'ours': {OURS.replace('0' * 32, '0' * 31)}}}", "digest must be a SHA-256 or an MD5"),
        (f"WEIGHTS = {{'ours': {OURS.replace('url=', 'licence=')}}}", "weights come from a url or a package"),
        ("from shared import WEIGHTS", "received one that is imported, conditional or assigned more than once"),
        ("from shared import BEST as WEIGHTS", "imported, conditional"),
        ("if True:\n    WEIGHTS = {}", "imported, conditional"),
        ("OURS = WEIGHTS = {}", "imported, conditional"),
        ("WEIGHTS = {}\nWEIGHTS = {}", "assigned more than once"),
        ("WEIGHTS = {}\nfor WEIGHTS in (): ...", "assigned more than once"),
    ],
)
def test_weights_that_cannot_be_read_are_a_problem(write: Callable[..., ModelFile], source: Any, said: Any) -> None:
    """They are as strict as a recipe: literal, at the top, once; the problem names the file and what it received."""
    found = write(f"{source}\n{BUILD}")
    assert found.problem is not None
    assert found.problem.startswith(f"{found.spec.path}: WEIGHTS ")
    assert said in found.problem
    assert found.weights == {}


def test_reading_does_not_depend_on_the_locale(write: Callable[..., ModelFile]) -> None:
    """Sources are read as Python reads them: UTF-8, or what their first line declares."""
    assert write(f'"""Größe."""\n{BUILD}').summary == "Größe."
    assert write(f'# -*- coding: latin-1 -*-\n"""Größe."""\n{BUILD}'.encode("latin-1")).summary == "Größe."


# Loading.


def test_a_model_file_is_loaded_by_its_path(write: Callable[..., ModelFile], tmp_path: Path) -> None:
    """What the file defines can be called; its neighbours can be imported."""
    (tmp_path / "neighbour_of_mine.py").write_text("WIDTH = 7\n")
    spec = write(f"from neighbour_of_mine import WIDTH\n{BUILD}").spec
    module = load(spec)
    assert module.build((2, 2, 1), 10) == ((2, 2, 1), 10)
    assert module.WIDTH == 7
    del sys.modules["neighbour_of_mine"]


def test_a_users_file_does_not_shadow_what_is_installed(write: Callable[..., ModelFile], tmp_path: Path) -> None:
    """A neighbour that is called like a library does not replace it."""
    (tmp_path / "msgspec.py").write_text("raise RuntimeError('the wrong one')\n")
    assert load(write(f"import msgspec\n{BUILD}").spec).msgspec is msgspec
    assert sys.path[-1] == str(tmp_path)


def test_a_model_file_may_hold_dataclasses(write: Callable[..., ModelFile]) -> None:
    """A loaded file is a module like any other: what looks its own module up finds it."""
    source = (
        "from __future__ import annotations\nfrom dataclasses import dataclass\n@dataclass\nclass Size:\n    n: int\n"
    )
    assert load(write(source + BUILD).spec).Size(n=3).n == 3


def test_a_file_that_was_changed_is_not_loaded(write: Callable[..., ModelFile]) -> None:
    """A trial trains the file that was planned, or none."""
    spec = write(BUILD).spec
    changed = write(BUILD + "# changed\n")
    with pytest.raises(ModelError) as caught:
        load(spec)
    assert "has changed since this run was planned" in str(caught.value)
    assert spec.sha256[:12] in str(caught.value)
    assert changed.spec.sha256[:12] in str(caught.value)
    assert "start a new run, or bring the old file back" in str(caught.value)


def test_a_file_that_is_gone_is_said_to_be(write: Callable[..., ModelFile], tmp_path: Path) -> None:
    """The error names the file and the system's reason."""
    spec = write(BUILD).spec
    (tmp_path / "mine.py").unlink()
    with pytest.raises(ModelError, match=r"mine\.py cannot be read: No such file"):
        load(spec)


def test_a_file_that_fails_when_it_is_run_says_how(write: Callable[..., ModelFile]) -> None:
    """What the file raises is in the error, and no half-made module stays."""
    spec = write(f"import no_such_library_at_all\n{BUILD}").spec
    with pytest.raises(
        ModelError, match=r"failed while it was imported: ModuleNotFoundError: .*no_such_library_at_all"
    ):
        load(spec)
    assert f"hourglass_model_{spec.name}" not in sys.modules


def test_specs_of_built_in_models_hold_on_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They name the file below the package's parent, wherever that is."""
    spec = ModelSpec(name="mbn", path="models/mbn.py", sha256="")
    monkeypatch.setattr(catalog, "BUILT_IN", tmp_path / "site-packages" / "models")
    assert locate(spec) == tmp_path / "site-packages" / "models" / "mbn.py"


def test_files_of_one_name_are_called_after_their_folders(tmp_path):
    """The tables of a run, and `compare --models`, must tell them apart; a name that is alone stays as it is."""
    for folder in ("x/before", "x/after", "y/after", "z"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "mine.py").write_text(f'"""{folder}."""\n\n\ndef build(input_shape, num_classes): ...\n')
    (tmp_path / "z" / "mine.py").rename(tmp_path / "z" / "other.py")
    paths = [tmp_path / name for name in ("x/before/mine.py", "x/after/mine.py", "y/after/mine.py", "z/other.py")]
    found = catalog.find_all([*map(str, paths), "mnist_cnn"])
    assert [file.spec.name for file in found] == ["before/mine", "x/after/mine", "y/after/mine", "other", "mnist_cnn"]
    assert [catalog.load(file.spec).__doc__ for file in found[:2]] == ["x/before.", "x/after."]
    twice = catalog.find_all([str(paths[0]), str(paths[0])])
    assert [file.spec.name for file in twice] == ["mine", "mine"]
