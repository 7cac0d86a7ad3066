"""What the user asked for: presets, `bench.toml` and flags, and what is said when they cannot be understood."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from bench.cli.run import run
from bench.config import PRESETS, RunConfig, merge, parse_duration_s
from bench.errors import UsageError
from bench.recipe import Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

# Flags of `run` that say how to run, not what.
NOT_CONFIGURATION = {"resume", "config", "dry_run"}
# A table of `bench.toml`; it has no flag.
NOT_A_FLAG = {"common"}


@pytest.fixture
def toml(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a `bench.toml`."""

    def write(text: str) -> Path:
        path = tmp_path / "bench.toml"
        path.write_text(text, "utf-8")
        return path

    return write


# What wins.


@pytest.mark.parametrize("name", PRESETS)
def test_without_anything_else_the_preset_is_what_runs(name: Any) -> None:
    """A preset alone gives itself, under its own name."""
    assert merge({"preset": name}) == PRESETS[name]
    assert merge({"preset": name}).preset == name


def test_a_target_is_a_share_or_percent(toml: Callable[[str], Path]) -> None:
    """It is the same as a flag and in the file, as a number and in words; a run stops nothing unless it is asked to."""
    for given in ("0.5", "50%"):
        config = merge({"stop-when": "hopeless", "target": given})
        assert (config.stop_when, config.target) == ("hopeless", 0.5)
    assert merge({}, toml=toml('stop-when = "hopeless"\ntarget = 0.5\n')).target == 0.5
    off = merge({"stop-when": "never"}, toml=toml('stop-when = "hopeless"\ntarget = 0.5\n'))
    assert (off.stop_when, off.target) == ("never", None)
    assert merge({"target": "60%"}, toml=toml('stop-when = "hopeless"\ntarget = 0.5\n')).target == 0.6
    assert (merge({}).stop_when, merge({}).target) == ("never", None)


def test_the_preset_without_a_name_is_quick() -> None:
    """`run` without flags is the quick preset."""
    assert merge({}) == PRESETS["quick"]


def test_flags_win_over_the_file_and_the_file_over_the_preset(toml: Callable[[str], Path]) -> None:
    """Each value comes from the strongest source that names it."""
    path = toml('preset = "report"\nepochs = 7\nseed = 5\norder = "grouped"\n')
    config = merge({"seed": 9, "order": None, "model": []}, toml=path)
    assert (config.preset, config.epochs, config.seed, config.order) == ("report", 7, 9, "grouped")
    assert config.model == PRESETS["report"].model
    assert config.dataset == PRESETS["report"].dataset


def test_a_flag_wins_over_what_the_file_says_in_other_words(toml: Callable[[str], Path]) -> None:
    """A budget and epochs exclude each other; the flag's takes the place of the file's."""
    config = merge({"budget": ["30m"]}, toml=toml("epochs = 3\n"))
    assert (config.budget, config.epochs) == ((1800.0,), None)
    config = merge({"epochs": 3}, toml=toml('budget = "30m"\nbudget-clock = "wall"\n'))
    assert (config.budget, config.epochs) == ((), 3)
    assert merge({"budget": ["2m"], "budget-clock": "wall"}).budget_clock == "wall"


def test_the_preset_may_come_from_either_source(toml: Callable[[str], Path]) -> None:
    """A preset that is a flag wins over one in the file."""
    path = toml('preset = "report"\n')
    assert merge({}, toml=path) == PRESETS["report"]
    assert merge({"preset": "quick"}, toml=path) == PRESETS["quick"]


def test_a_flag_of_zero_is_given() -> None:
    """Zero is a value; only None and an empty list were not given."""
    assert merge({"validation": 0.0}).validation == 0.0
    assert merge({"preset": "report", "seed": 0}, toml=None).seed == 0


def test_epochs_replace_a_preset_s_budget(toml: Callable[[str], Path]) -> None:
    """A preset that ends by the clock can be asked for epochs instead, and for another budget."""
    for asked, path in (({"epochs": 3}, None), ({}, toml("epochs = 3"))):
        config = merge({"preset": "sprint"} | asked, toml=path)
        assert (config.epochs, config.budget, config.budget_clock) == (3, (), "fit")
    assert merge({"preset": "sprint", "budget": ["5m"]}).budget == (300.0,)
    with pytest.raises(UsageError, match="both say when a training ends"):
        merge({"preset": "sprint", "budget": ["5m"], "epochs": 3})


def test_the_common_table_adds_to_the_presets_recipe(toml: Callable[[str], Path]) -> None:
    """What the table does not say stays as the preset has it."""
    path = toml('preset = "report"\n[common]\noptimizer = "sgd"\nmomentum = 0.9\nbatch_size = 64\n')
    preset = PRESETS["report"].common
    expected = msgspec.structs.replace(preset, optimizer="sgd", momentum=0.9, batch_size=64)
    assert merge({}, toml=path).common == expected
    assert preset.epochs == expected.epochs == 15


# How values are written.


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("model", ["mnist_cnn,mbn"], ("mnist_cnn", "mbn")),
        ("model", ["mnist_cnn", "mine.py, mbn"], ("mnist_cnn", "mine.py", "mbn")),
        ("model", "mnist_cnn", ("mnist_cnn",)),
        ("device", ["cpu:1, gpu:0+1", "all"], ("cpu:1", "gpu:0+1", "all")),
        ("batch-size", ["64, 128", "256"], (64, 128, 256)),
        ("batch-size", [64, 128], (64, 128)),
        ("batch-size", 64, (64,)),
        ("precision", ["float32,mixed_bfloat16"], ("float32", "mixed_bfloat16")),
        ("jit", ["off,on"], ("off", "on")),
        ("timeout", "30m", 1800.0),
        ("timeout", 90, 90.0),
        ("sample-interval", "0.5", 0.5),
        ("budget", ["2m,5m", "1h"], (120.0, 300.0, 3600.0)),
        ("budget", 90, (90.0,)),
        (
            "recipe-set",
            ["label_smoothing=0,0.2", "schedule=linear"],
            {"label_smoothing": (0, 0.2), "schedule": ("linear",)},
        ),
        ("recipe-set", {"label-smoothing": [0, 0.2], "warmup": 0.1}, {"label_smoothing": (0, 0.2), "warmup": (0.1,)}),
        ("name", "null", "null"),
        ("validation", 0, 0.0),
    ],
)
def test_values_are_taken_as_people_write_them(name: Any, given: Any, expected: Any) -> None:
    """Comma lists, repeated flags, single values and durations give the field's type, from flags and file alike."""
    assert getattr(merge({name: given}), name.replace("-", "_")) == expected


def test_the_file_writes_values_as_the_flags_do(toml: Callable[[str], Path]) -> None:
    """A list, a comma list and a duration mean the same in `bench.toml`."""
    path = toml('model = ["a", "b,c"]\nbatch-size = "32,64"\ndevice = "cpu:1"\ntimeout = "2h"\njit = ["on"]\n')
    config = merge({}, toml=path)
    assert config.model == ("a", "b", "c")
    assert config.batch_size == (32, 64)
    assert config.device == ("cpu:1",)
    assert config.timeout == 7200.0
    assert config.jit == ("on",)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("30 min", 1800), (" 2H ", 7200), ("0.2", 0.2)],
)
def test_durations(text: Any, seconds: Any) -> None:
    """A number is in seconds; s, m, min and h are units."""
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "soon", "-5", "5 days", "1h30m", "s", "1.", "inf", "nan", "1e3"])
def test_what_is_no_duration(text: Any) -> None:
    """The error shows the grammar and what was received."""
    with pytest.raises(UsageError) as caught:
        parse_duration_s(text)
    assert str(caught.value) == f"a duration is 90, 90s, 30m or 2h; received {text!r}"


# What is refused.


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"preset": "qick"}, "no preset 'qick'; choose one of quick, report, sprint, zoo"),
        ({"epochs": -1}, "--epochs: Expected `int` >= 0; received -1"),
        ({"repeats": -1}, "--repeats: Expected `int` >= 1; received -1"),
        ({"batch-size": ["0"]}, "--batch-size: Expected `int` >= 1; received ['0']"),
        ({"batch-size": ["64,many"]}, "--batch-size: Expected `int`, got `str`; received ['64,many']"),
        ({"validation": 1.0}, "--validation: Expected `float` < 1.0; received 1.0"),
        ({"seed": -1}, "--seed: Expected `int` >= 0; received -1"),
        ({"timeout": "soon"}, "--timeout: a duration is 90, 90s, 30m or 2h; received 'soon'"),
        ({"timeout": "0"}, "--timeout: Expected `float` > 0.0; received '0'"),
        ({"sample-interval": "1ms"}, "--sample-interval: a duration is 90, 90s, 30m or 2h; received '1ms'"),
        ({"sample-interval": "0.001"}, "--sample-interval: Expected `float` >= 0.01; received '0.001'"),
        ({"sample-interval": "2h"}, "--sample-interval: Expected `float` <= 60.0; received '2h'"),
        (
            {"order": "abba"},
            "--order: Invalid enum value 'abba'; received 'abba'; choose from interleaved, grouped, random",
        ),
        ({"budget": ["2m,soon"]}, "--budget: a duration is 90, 90s, 30m or 2h; received 'soon'"),
        ({"budget": ["0"]}, "--budget: Expected `float` > 0.0; received ['0']"),
        ({"budget": ["inf"]}, "--budget: a duration is 90, 90s, 30m or 2h; received 'inf'"),
        (
            {"stop-when": "hopeless"},
            "--stop-when hopeless needs the accuracy that is hoped for; give --target too, such as 0.5",
        ),
        ({"target": "50%"}, "--target 0.5 says what --stop-when hopeless hopes for; give that too"),
        ({"stop-when": "hopeless", "target": "50"}, "--target is an accuracy, written 0.6 or 60%; received '50'"),
        (
            {"stop-when": "tired", "target": "0.5"},
            "--stop-when: Invalid enum value 'tired'; received 'tired'; choose from never, hopeless",
        ),
        ({"budget-clock": "wall"}, "--budget-clock wall says what a budget covers; give --budget too"),
        ({"budget": ["2m"], "epochs": 3}, "--budget and --epochs both say when a training ends; give one of them"),
        (
            {"batch-size": [64], "recipe-set": ["batch_size=32"]},
            "--batch-size and --recipe-set batch_size both say the same; give one of them",
        ),
        (
            {"budget": ["2m"], "recipe-set": ["epochs=1,2"]},
            "--budget and --recipe-set epochs both say when a training ends; give one of them",
        ),
        ({"recipe": "mine"}, "--recipe: Invalid enum value 'mine'; received 'mine'; choose from model, common"),
        ({"jit": ["auto"]}, "--jit: Invalid enum value 'auto'; received ['auto']; choose from off, on"),
        (
            {"precision": ["float32,fp16"]},
            (
                "--precision: Invalid enum value 'fp16'; received ['float32,fp16']; "
                "choose from float32, mixed_bfloat16, mixed_float16"
            ),
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_flag_that_is_wrong_is_named_with_what_it_may_be(flags: Any, message: Any) -> None:
    """The error says which flag, what was expected and what was received; words are listed."""
    with pytest.raises(UsageError) as caught:
        merge(flags)
    assert str(caught.value) == message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "modle = 'mbn'",
            "no option 'modle' (did you mean 'model'?); its names are the flags of `python -m bench run`",
        ),
        ("batch_size = 64", "no option 'batch_size' (did you mean 'batch-size'?)"),
        ("zzz = 1", "no option 'zzz'; its names are the flags"),
        ("epochs = -1", "--epochs (flags or {path}): Expected `int` >= 0; received -1"),
        ("epochs = true", "--epochs (flags or {path}): Expected `int | null`, got `bool`; received True"),
        ("jit = true", "--jit (flags or {path}): Expected `str`, got `bool`; received True; choose from off, on"),
        ("timeout = nan", "--timeout (flags or {path}): Expected `float` > 0.0; received nan"),
        ("preset = ['quick']", "no preset ['quick']; choose one of quick, report, sprint, zoo"),
        ("model = [['mbn']]", "--model (flags or {path}): Expected `str`, got `array`; received [['mbn']]"),
        ("common = 3", "{path}: [common]: Expected `object`, got `int`; received 3"),
        ("[common]\nmomentun = 0.9", "{path}: [common]: Object contains unknown field `momentun`"),
        ("[common]\nlearning_rate = 0", "{path}: [common] learning_rate: Expected `float` > 0.0; received"),
        (
            "[common]\noptimizer = 'lion'",
            (
                "{path}: [common] optimizer: Invalid enum value 'lion'; received {{'optimizer': 'lion'}}; "
                "choose from adam, adamw, rmsprop, sgd"
            ),
        ),
        ("budget = inf", "--budget must be finite; received inf"),
        ("[recipe-set]\nfinal-rate = 0\nfinal_rate = 0", "[recipe-set] names a field twice, with - and with _"),
        ("recipe-set = 3", "--recipe-set (flags or {path}): Expected `object`, got `int`; received 3"),
        ("[common]\nlearning_rate = inf", "{path}: [common]: learning_rate must be finite; received inf"),
        ("[common]\nmomentum = 0.9", "{path}: [common]: momentum is an option of sgd, rmsprop, muon; received"),
        ("epochs =", "{path} is not TOML: "),
    ],
)
def test_a_file_that_is_wrong_is_named_with_what_it_may_hold(toml: Callable[[str], Path], text: Any, said: Any) -> None:
    """The error says which file, which name in it, and what was meant or expected."""
    path = toml(text)
    with pytest.raises(UsageError) as caught:
        merge({}, toml=path)
    assert said.format(path=path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """A file that is missing, a folder, or not text, is a usage error with the system's reason."""
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe\x00")
    for path, said in [
        (tmp_path / "no.toml", "cannot be read: No such file or directory; --config takes a TOML file"),
        (tmp_path, "cannot be read: Is a directory"),
        (binary, "is not TOML"),
    ]:
        with pytest.raises(UsageError) as caught:
            merge({}, toml=path)
        assert f"{path} {said}" in str(caught.value)


# The command line.


def flags_of_run() -> set[str]:
    """The parameters of `run` that are configuration."""
    return set(inspect.signature(run).parameters) - NOT_CONFIGURATION


def test_every_option_is_a_flag_and_every_flag_an_option() -> None:
    """What can be written in `bench.toml` can be typed, by the same name, and the other way round."""
    assert flags_of_run() == {field.name for field in msgspec.structs.fields(RunConfig)} - NOT_A_FLAG


def test_every_flag_reaches_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` hands each flag on under the name that the configuration knows it by."""

    class MergedError(Exception):
        pass

    received: dict[str, Any] = {}

    def capture(flags: dict[str, Any], **_: object) -> None:
        received.update(flags)
        raise MergedError

    monkeypatch.setattr("bench.cli.run.merge", capture)
    planning: Any = SimpleNamespace(prepare=None, create=None)
    monkeypatch.setitem(sys.modules, "bench.launch.planning", planning)
    given: dict[str, Any] = {flag: [flag] for flag in flags_of_run()}
    with pytest.raises(MergedError):
        run(**given)
    encoded = {field.name: field.encode_name for field in msgspec.structs.fields(RunConfig)}
    assert received == {encoded[flag]: [flag] for flag in flags_of_run()}


@pytest.mark.parametrize(
    ("flags", "limits"),
    [
        ({}, (2000, 1000)),
        ({"dataset": "synthetic"}, (2000, 1000)),
        ({"dataset": "cifar100"}, (None, None)),
        ({"dataset": "cifar100", "limit-train": 500}, (500, None)),
        ({"dataset": "cifar100", "preset": "report"}, (None, None)),
    ],
)
def test_the_limits_of_the_quick_preset_are_those_of_its_own_data_set(flags: Any, limits: Any) -> None:
    """Who names a data set trains on all of it: three epochs of 2,000 images would be told as three of CIFAR-100."""
    config = merge(flags)
    assert (config.limit_train, config.limit_test) == limits


@pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)
def test_presets_leave_nothing_open(preset: Any) -> None:
    """A preset names models, and its recipe a batch size, epochs and a precision, so that `--preset NAME` runs."""
    assert preset.model
    assert None not in {preset.common.batch_size, preset.common.epochs, preset.common.precision}
    assert msgspec.json.decode(msgspec.json.encode(preset), type=RunConfig) == preset


def test_the_report_preset_is_the_founding_experiment() -> None:
    """Adam at its default rate, batch 256, 15 epochs, on CIFAR-100, both models by one recipe."""
    preset = PRESETS["report"]
    assert (preset.model, preset.dataset, preset.recipe) == (("mnist_cnn", "mbn"), "cifar100", "common")
    assert preset.common == Recipe(
        optimizer="adam", learning_rate=0.001, epochs=15, batch_size=256, precision="float32"
    )
