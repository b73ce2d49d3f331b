"""The prune step that takes channels away: the model that comes out has smaller shapes, not zeros.

Beside ``secateur.specs.pruning``, which sets weights to zero and keeps every shape. Channels that must go together (a
convolution's filters, what normalises them, every layer that adds or reads them) are a group; groups are what is
ranked, spared and cut.
"""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Annotated, Final, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from secateur.frozen import Tagged, require
from secateur.specs.pruning import LayerName, OneShot, Schedule, named_twice, starts_too_high, trains_too_long

ChannelCriterion = Literal["obs", "magnitude", "l1_norm", "l2_norm", "taylor", "wanda", "bn_scale", "fpgm", "random"]
ChannelDistribution = Literal["uniform", "global", "pattern"]
GroupTag = Literal["first", "shortcut", "normalized"]
Amount = Literal["sparsity", "params", "macs", "latency"]
Share = Annotated[float, Field(gt=0.0, lt=1.0)]

AMOUNTS: Final[tuple[Amount, ...]] = ("sparsity", "params", "macs", "latency")
"""The fields that can say how much goes; a step gives one of them."""

CEILING: Final = 0.9
"""The largest share of a group's channels that goes when nobody says otherwise."""


class PruneChannels(Tagged):
    """Take the least important channels out of the model, so that it becomes smaller and faster everywhere."""

    model_config = ConfigDict(json_schema_extra=require("kind", "structure"))

    kind: Literal["prune"] = "prune"
    structure: Literal["channel"] = "channel"
    criterion: ChannelCriterion = Field(
        default="obs",
        description="obs: what the layers that read a channel can best make up for goes first (optimal brain surgeon, "
        "unlabelled inputs). The others score weights as they do for other structures, summed over the group.",
    )
    distribution: ChannelDistribution = Field(
        default="uniform",
        description="uniform: the same share of every group; global: the channels of all groups ranked together, by "
        "what they are worth for what they save; pattern: the same among groups of the same kind and width.",
    )
    sparsity: Share | None = Field(default=None, description="Share of the channels of the groups that are cut.")
    params: Share | None = Field(default=None, description="Share of the model's parameters that goes.")
    macs: Share | None = Field(default=None, description="Share of the model's multiply-accumulates that goes.")
    latency: Share | None = Field(
        default=None, description="Share of the model's latency that goes, measured in LiteRT on the worker's host."
    )
    channel_multiple: int = Field(
        default=8, ge=1, le=1024, description="A group keeps a multiple of this many channels, or all that it has."
    )
    max_layer_sparsity: Share | None = Field(
        default=None,
        description="The largest share of any group that goes. Default: 0.9, or the sparsity if that is higher.",
    )
    spare: tuple[GroupTag, ...] = Field(
        default=("first", "shortcut", "normalized"),
        description="Groups to leave alone unless layers names them. first: convolutions that read the model's input; "
        "shortcut: groups joined by Add and its like; normalized: groups that a LayerNormalization or "
        "GroupNormalization mixes, where a cut changes what the channels that stay compute.",
    )
    schedule: Schedule = Field(
        default_factory=OneShot,
        description="When channels go. Shapes change with every cut, so that the cuts of polynomial and iterative fall "
        "between epochs, and nothing that went is recoverable. Default learning rate: a tenth of the model's own.",
    )
    layers: Mapping[LayerName, Annotated[float, Field(ge=0.0, lt=1.0)]] = Field(
        default_factory=dict,
        description="Share of the channels that goes, by the Keras name of any layer whose channels make up the group. "
        "Goes before spare; 0 leaves a group alone. What goes there counts towards the amount; without an amount "
        "all other groups are left alone.",
    )
    skip_layers: tuple[LayerName, ...] = Field(
        default=(), description="Groups to leave alone, by the Keras name of any layer whose channels make them up."
    )
    reconstruct: bool = Field(
        default=True,
        description="Solve the layers that read what was cut again, by least squares on unlabelled training inputs. "
        "Without it, the mean of what went is added to their biases.",
    )
    reconstruct_samples: int = Field(default=4096, ge=1, le=1_000_000, description="Inputs to solve on.")

    @model_validator(mode="after")
    def _agree(self) -> Self:
        for problem in chain(self._amounts(), self._timing()):
            raise ValueError(problem)
        return self

    def _amounts(self) -> Iterator[str]:
        yield from named_twice(self.layers, self.skip_layers)
        given = [name for name in AMOUNTS if getattr(self, name) is not None]
        if len(given) > 1 or not (given or any(self.layers.values())):
            found = f"not {' and '.join(given)}" if given else "there is none"
            yield f"exactly one of {', '.join(AMOUNTS)} says how much goes, unless layers does; {found}"
        if self.max_layer_sparsity is None:
            return
        shares = {"sparsity": self.sparsity or 0.0} | {f"layers.{name}": share for name, share in self.layers.items()}
        for name, share in shares.items():
            if share > self.max_layer_sparsity:
                yield f"{name} {share:g} lies above max_layer_sparsity {self.max_layer_sparsity:g}"

    def _timing(self) -> Iterator[str]:
        yield from starts_too_high(self.schedule, self.amount)
        yield from trains_too_long(self.schedule)
        if not isinstance(self.schedule, OneShot) and self.schedule.recoverable:
            yield "leave out schedule.recoverable: a channel that was taken away cannot come back"

    @property
    def amount(self) -> tuple[Amount, float]:
        """What is counted, and the share of it that goes; where only ``layers`` says so, the largest of its shares.

        >>> PruneChannels(macs=0.5).amount, PruneChannels(layers={"a": 0.25}).amount
        (('macs', 0.5), ('sparsity', 0.25))
        """
        given = ((name, share) for name in AMOUNTS if (share := getattr(self, name)) is not None)
        return next(given, ("sparsity", max(self.layers.values(), default=0.0)))

    @property
    def named_only(self) -> bool:
        """Whether only the groups go that ``layers`` names."""
        return all(getattr(self, name) is None for name in AMOUNTS)

    @property
    def ceiling(self) -> float:
        """The largest share of a group that goes, groups apart that ``layers`` names.

        >>> PruneChannels(macs=0.5).ceiling, PruneChannels(sparsity=0.95).ceiling
        (0.9, 0.95)
        """
        return self.max_layer_sparsity or max(CEILING, self.sparsity or 0.0)

    def multiple_of(self, unit: str) -> int:
        """A group keeps a multiple of this many, or all that it has. Heads go one by one: each is many columns wide.

        >>> PruneChannels(macs=0.5).multiple_of("channels"), PruneChannels(macs=0.5).multiple_of("heads")
        (8, 1)
        """
        return 1 if unit == "heads" else self.channel_multiple

    @property
    def trains(self) -> bool:
        """Whether the step trains while it cuts."""
        return not isinstance(self.schedule, OneShot)
