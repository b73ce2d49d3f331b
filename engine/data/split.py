"""What a file holds, whatever its format, and the three splits that a job makes of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from engine.arrays import Array
from engine.data.hold_out import hold_out
from engine.data.rows import Samples, select
from engine.parts import Outputs, Parts
from secateur.reports.summaries import LabelKind, SplitName, TestedOn
from secateur.specs.file_formats import DatasetFormat


@dataclass(frozen=True)
class Split:
    """Samples as stored, and labels: classes of shape (n,) as int64, anything else as float32; or those by output."""

    x: Samples
    y: Outputs

    def __len__(self) -> int:
        return len(self.x)

    def take(self, indices: Array) -> "Split":
        """Samples and labels at these places; samples in a file stay there."""
        return Split(select(self.x, indices), self.y[indices])

    def first(self, count: int) -> "Split":
        """The first so many, or all when there are fewer."""
        return self.take(np.arange(min(count, len(self))))


@dataclass(frozen=True)
class Contents:
    """What a data set file holds: ``train`` and ``test``, and ``validation`` when the file says which those are."""

    format: DatasetFormat
    splits: Mapping[SplitName, Split]
    label_kind: LabelKind
    label_dtype: str
    """Of the labels as they were in the file."""
    classes: tuple[str, ...] = ()
    """Names of the classes in their order, when they have some."""
    label_kinds: Mapping[str, LabelKind] = field(default_factory=dict)
    """By output, where labels are named after outputs; ``label_kind`` is then that of the first."""
    label_dtypes: Mapping[str, str] = field(default_factory=dict)
    tested_on: TestedOn = "test"
    """Which of the file's splits ``test`` is."""

    def with_test(self) -> "Contents":
        """With a test split: the validation split where there is no other, since that is what scores are told of.

        Jobs then hold out their own share of the training split, so that they choose by other samples than they report.
        """
        if "test" in self.splits:
            return self
        splits: dict[SplitName, Split] = {"train": self.splits["train"], "test": self.splits["validation"]}
        return replace(self, splits=splits, tested_on="validation")

    def for_model(self, inputs: Sequence[str], outputs: Sequence[str]) -> "Contents":
        """With samples and labels in the order of a model; those of its only input or output without a name."""
        splits = {
            split: Split(_in_order(found.x, inputs), _in_order(found.y, outputs))
            for split, found in self.splits.items()
        }
        kind = self.label_kinds.get(outputs[0], self.label_kind) if len(outputs) == 1 else self.label_kind
        return replace(self, splits=splits, label_kind=kind)


def _in_order(stored: Any, names: Sequence[str]) -> Any:
    if not isinstance(stored, Parts):
        return stored
    return stored.named(names[0]) if len(names) == 1 else stored.ordered(names)


@dataclass(frozen=True)
class Dataset:
    """The three splits. ``validation`` is never trained on; ``test`` is only for the report."""

    train: Split
    validation: Split
    test: Split
    label_kind: LabelKind
    held_out: bool
    """Whether ``validation`` was taken from the training split."""
    classes: tuple[str, ...] = ()
    """Names of the classes in their order, when they have some."""
    tested_on: TestedOn = "test"
    """Which of the file's splits ``test`` is."""

    def judged(self, of: Callable[[Outputs], Array]) -> "Dataset":
        """With the labels alone that are judged."""
        splits = (self.train, self.validation, self.test)
        train, validation, test = (replace(split, y=of(split.y)) for split in splits)
        return replace(self, train=train, validation=validation, test=test)


def split(contents: Contents, *, validation_share: float, seed: int) -> Dataset:
    """The splits of a job; where the file has no validation split a share of the training split is held out.

    Where that share cannot be had without a class losing its last sample, as with a single one, the training split has
    to serve as both.
    """
    train, test = contents.splits["train"], contents.splits["test"]
    made = partial(
        Dataset, test=test, label_kind=contents.label_kind, classes=contents.classes, tested_on=contents.tested_on
    )
    if (validation := contents.splits.get("validation")) is not None:
        return made(train, validation, held_out=False)
    kinds = contents.label_kinds if isinstance(train.y, Parts) else {"": contents.label_kind}
    held = hold_out(train.y, kinds, share=validation_share, seed=seed)
    if len(held) == 0:
        return made(train, train, held_out=True)
    return made(train.take(np.delete(np.arange(len(train)), held)), train.take(held), held_out=True)
