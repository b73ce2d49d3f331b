"""How training goes: what the steps of a recipe that train have in common, the fine-tuning step, and what all share."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from secateur.frozen import Frozen, Tagged

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
RateSchedule = Literal["constant", "cosine", "exponential"]
Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]


class Distill(Frozen):
    """Learn from the uploaded model's outputs besides the labels (Hinton et al. 2015, arXiv:1503.02531)."""

    temperature: float = Field(
        default=4.0, gt=0.0, description="Outputs of a classifier are divided by it: higher tells more of the others."
    )
    weight: float = Field(
        default=0.5,
        gt=0.0,
        le=1.0,
        description="Of the teacher in the loss; labels have the rest. With 1 no training label is read.",
    )


class Trained(Tagged):
    """What every step that trains can choose."""

    learning_rate: float | None = Field(default=None, gt=0.0)
    learning_rate_schedule: RateSchedule = Field(
        default="constant",
        description="What becomes of the learning rate. cosine: to zero along half a cosine; exponential: to a "
        "hundredth. After each cut of an iterative schedule, and of structure channel, it begins anew.",
    )
    warmup: float | None = Field(
        default=None,
        ge=0.0,
        lt=1.0,
        description="Share of the steps in which the learning rate first rises linearly. Default: 0.05, and 0 for "
        "constant.",
    )
    best_epoch: bool = Field(
        default=False,
        description="Whether the weights of the epoch come out that was best on held-out samples, instead of the last. "
        "Of a prune step only epochs count in which nothing is left to be cut.",
    )
    patience: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description="Stop when so many epochs in a row were no better on held-out samples than the best. Default: "
        "never. Of a prune step it counts from the last cut.",
    )
    distill: Distill | None = Field(
        default=None, description="Learn from the uploaded model too. Default: from the labels alone."
    )

    @property
    def warmup_share(self) -> float:
        """Share of the steps in which the learning rate rises.

        >>> Finetune().warmup_share, Finetune(learning_rate_schedule="constant").warmup_share
        (0.05, 0.0)
        """
        if self.warmup is not None:
            return self.warmup
        return 0.0 if self.learning_rate_schedule == "constant" else 0.05


def never_stops(patience: int | None, epochs: int) -> Iterator[str]:
    """What is wrong with a patience that no training of that length can lose."""
    if patience is not None and patience >= epochs:
        yield f"patience {patience} lets {epochs} epochs always run to their end: choose less, or leave it out"


class Finetune(Trained):
    """Train on, with every zero held."""

    kind: Literal["finetune"] = "finetune"
    epochs: int = Field(default=3, ge=1, le=1000)
    learning_rate: float | None = Field(
        default=None, gt=0.0, description="Default: a tenth of that of the model's own optimizer (Han 2015)."
    )
    learning_rate_schedule: RateSchedule = Field(
        default="cosine",
        description="What becomes of the learning rate. cosine: to zero along half a cosine (Loshchilov & Hutter 2017, "
        "arXiv:1608.03983); exponential: to a hundredth; constant: nothing.",
    )
    best_epoch: bool = Field(
        default=True,
        description="Whether the weights of the epoch come out that was best on held-out samples, instead of the last.",
    )

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for problem in never_stops(self.patience, self.epochs):
            raise ValueError(problem)
        return self


class Augment(Frozen):
    """Small changes of training images that leave them what they are, anew at every step."""

    shift: float = Field(
        default=0.1,
        ge=0.0,
        le=0.5,
        description="By at most this share of height and width, each way; what is missing repeats the border.",
    )
    horizontal_flip: bool = Field(
        default=False, description="Mirror half of the images left to right: for photographs, not for digits or text."
    )
    vertical_flip: bool = Field(
        default=False, description="Mirror half of them top to bottom: for pictures from above."
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if not (self.shift or self.horizontal_flip or self.vertical_flip):
            raise ValueError("leave augment out: without shift and flips nothing is changed")
        return self


def _augment(given: Any) -> Any:
    """True stands for the defaults, false for nothing."""
    if isinstance(given, bool):
        return Augment() if given else None
    return given


class Training(Frozen):
    """What all training steps share."""

    optimizer: Optimizer | None = Field(default=None, description="Default: the model's own, else adam.")
    batch_size: int = Field(default=128, ge=1, le=65_536)
    class_weight: (
        Literal["balanced"] | Mapping[Annotated[int, Field(ge=0)], Annotated[float, Field(gt=0.0, le=1e6)]] | None
    ) = Field(
        default=None,
        description="How much a training sample of each class counts in the loss: a weight by class, 1 where none is "
        "given; or balanced, so that all classes count the same in sum.",
    )
    augment: Annotated[Augment | None, BeforeValidator(_augment, json_schema_input_type=bool | Augment | None)] = Field(
        default=None, description="Change training images at random; true for small shifts. Default: they stay."
    )
    precision: Precision = Field(
        default="float32",
        description="Arithmetic while training. The weights stay float32, in the files too; mixed precision is faster "
        "only on hardware that has it.",
    )
