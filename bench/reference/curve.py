"""What a reference curve is: accuracy by epoch of one model, recipe, batch size, precision and data set.

Accuracy by epoch does not depend on the machine, nor on what computes it there: threads, GPU, XLA and the number of
steps a call makes change the order of additions, which acts as another seed does. Schema 1: the first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec.structs import replace

from bench.recipe import Count, Precision, Recipe, beyond_defaults
from bench.record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable

SCHEMA = 1

Accuracy = Annotated[float, msgspec.Meta(ge=0, le=1)]
Number = Annotated[int, msgspec.Meta(ge=0)]


class Measured(Record, frozen=True, tag="measured", tag_field="kind"):
    """A run that seeds of a curve were taken from.

    Attributes:
        run: Its name.
        created_unix_s: When it was planned.
        version: Of this program.
        machine: Processor or GPU, and the device, in words.
        seeds: Those that were taken from it.
        commit: Of the project that it was made in; None where that was not recorded.
    """

    run: str
    created_unix_s: float
    version: str
    machine: str
    seeds: tuple[int, ...]
    commit: str | None = None


class Published(Record, frozen=True, tag="published", tag_field="kind"):
    """What somebody else has published.

    Attributes:
        source: In a few words, such as `the founding report`.
        note: What it was, and how sure it is that the model is the same.
    """

    source: str
    note: str = ""


class SeedCurve(Record, frozen=True):
    """One training. Accuracies are shares of 1, rounded to 7 digits.

    Attributes:
        seed: None where it was not published.
        val_accuracy: On the validation images after each epoch; None where it is not known. Empty where it is known of
            no epoch.
        test_accuracy: On the test images after the last epoch; None where it is not known.
    """

    seed: int | None = None
    val_accuracy: tuple[Accuracy | None, ...] = ()
    test_accuracy: Accuracy | None = None


class ReferenceCurve(Record, frozen=True):
    """Trainings of one kind, one a seed.

    Attributes:
        schema: Of this record.
        model: The model's name.
        model_sha256: Of its file.
        dataset: The data set's name; of a path its last part.
        num_train: Images trained on.
        num_test: Images tested on.
        num_classes: Classes.
        batch_size: Images a step.
        epochs: After which the trainings ended.
        seeds: The trainings, by seed.
        provenance: Where they come from: runs, or one publication.
        num_validation: Images held back from the training split.
        recipe: What the cell's own fields settle is left out of it; None where it was not published.
        precision: The Keras dtype policy; None where it was not published.
        dataset_sha256: As a `DatasetSpec` has it; None where only a name was published.
        dataset_content: Likewise its `content`; None where it is not known.
        weights_sha256: Of the weights that the trainings started with; empty where they were drawn.
    """

    schema: int
    model: str
    model_sha256: str
    dataset: str
    num_train: Count
    num_test: Count
    num_classes: Count
    batch_size: Count
    epochs: Count
    seeds: tuple[SeedCurve, ...]
    provenance: tuple[Measured | Published, ...]
    num_validation: Number = 0
    recipe: Recipe | None = None
    precision: Precision | None = None
    dataset_sha256: str | None = None
    dataset_content: str | None = None
    weights_sha256: str = ""

    def __post_init__(self) -> None:
        if not self.seeds or not self.provenance:
            raise ValueError("a curve needs at least one training and says where it comes from; received none")
        names = [seed.seed for seed in self.seeds]
        if len(set(names)) < len(names):
            raise ValueError(f"each seed must be there once; received {', '.join(map(str, names))}")
        for seed in self.seeds:
            if len(seed.val_accuracy) not in {0, self.epochs}:
                raise ValueError(
                    f"a curve of {self.epochs} epochs has as many accuracies, or none; received "
                    f"{len(seed.val_accuracy)} of seed {seed.seed}"
                )
        if self.published is not None:
            if len(self.provenance) > 1:
                raise ValueError(f"what is published has one source; received {len(self.provenance)} sources")
        elif any(seed.val_accuracy for seed in self.seeds) and not self.num_validation:
            raise ValueError("validation accuracies were measured on images; received num_validation=0")
        elif self.recipe is None or self.precision is None or self.dataset_sha256 is None:
            raise ValueError("a measured curve has a recipe, a precision and the digest of its data set")

    @property
    def published(self) -> Published | None:
        """Where the curve was published; None where it was measured."""
        return next((source for source in self.provenance if isinstance(source, Published)), None)

    @property
    def key(self) -> str:
        """A digest of what its trainings have in common: curves of one key can be merged."""
        data = self.dataset_sha256 or self.dataset
        images = (self.num_train, self.num_validation, self.num_test, self.num_classes)
        recipe = None if self.recipe is None else beyond_defaults(self.recipe)
        training = (self.model_sha256, recipe, self.batch_size, self.precision, self.epochs)
        started = (self.weights_sha256,) if self.weights_sha256 else ()  # so that older curves keep their keys
        content = msgspec.json.encode((self.published is None, data, images, training, *started), order="sorted")
        return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Merged:
    """Two curves as one.

    Attributes:
        curve: With the trainings of both.
        added: Seeds that only the second curve had.
    """

    curve: ReferenceCurve
    added: tuple[int | None, ...]


def merge(curve: ReferenceCurve, other: ReferenceCurve) -> Merged:
    """Add the trainings of another curve of the same key. Of a seed that both have, the first curve's stays.

    Args:
        curve: Nothing of it is lost.
        other: Its new seeds are added, and the digest of its content where `curve` has none.

    Raises:
        ValueError: The keys differ.
    """
    if curve.key != other.key:
        raise ValueError(f"only curves of one key can be merged; received {curve.key[:12]} and {other.key[:12]}")
    known = {seed.seed for seed in curve.seeds}
    added = [seed for seed in other.seeds if seed.seed not in known]
    new = {seed.seed for seed in added}
    merged = replace(
        curve,
        dataset_content=curve.dataset_content or other.dataset_content,
        seeds=tuple(sorted((*curve.seeds, *added), key=lambda seed: -1 if seed.seed is None else seed.seed)),
        provenance=_joined((*curve.provenance, *_of_seeds(other.provenance, new))),
    )
    return Merged(curve=merged, added=tuple(seed.seed for seed in added))


def _of_seeds(sources: Iterable[Measured | Published], seeds: set[int | None]) -> Iterable[Measured]:
    """The runs that some seeds come from, with those seeds alone."""
    for source in sources:
        if isinstance(source, Measured) and (taken := tuple(seed for seed in source.seeds if seed in seeds)):
            yield replace(source, seeds=taken)


def _joined(sources: Iterable[Measured | Published]) -> tuple[Measured | Published, ...]:
    """Each run once, with all its seeds."""
    seeds: dict[Measured | Published, tuple[int, ...]] = {}
    for source in sources:
        if isinstance(source, Measured):
            run = replace(source, seeds=())
            seeds[run] = tuple(sorted({*seeds.get(run, ()), *source.seeds}))
        else:
            seeds[source] = ()
    return tuple(replace(source, seeds=seeds[source]) if isinstance(source, Measured) else source for source in seeds)
