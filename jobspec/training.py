"""How training goes: what the steps of a recipe that train have in common, the fine-tuning step, and what all share."""

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from jobspec.frozen import Frozen, Tagged

Optimizer = Literal["adam", "adamw", "sgd", "rmsprop"]
RateSchedule = Literal["constant", "cosine", "exponential"]


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


class Training(Frozen):
    """What all training steps share."""

    optimizer: Optimizer | None = Field(default=None, description="Default: the model's own, else adam.")
    batch_size: int = Field(default=128, ge=1, le=65_536)
