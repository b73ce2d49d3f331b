"""How many channels of which group go, so that the model ends up as much smaller as was asked for."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

import numpy as np

from engine.arrays import Array, Mask
from engine.structured.groups import Channels, Group
from secateur.errors import NothingToPrune, TargetUnreachable
from secateur.reports.summaries import ChannelGroup
from secateur.specs.channels import PruneChannels
from secateur.validation.channels import share_named, why_left_alone

HALVINGS: Final = 24
"""Steps of the search for the share that meets a target: finer than one channel of the largest group."""

Scores = Array
"""One a channel of the model, not negative; higher means keep. Those of channels that nobody cuts are not looked at."""

Cost = Callable[[Mask], float]
"""What a model costs with these channels, in whatever the target counts."""


@dataclass(frozen=True)
class Cuttable:
    """A group that the step cuts."""

    group: Group
    multiple: int
    ceiling: float
    fixed: float | None
    """Its share, where the spec gives one."""
    pattern: tuple[object, ...]
    """Groups with equal ones are of the same kind and width."""

    @property
    def width(self) -> int:
        """Channels that there were when the step began: shares are of these."""
        return len(self.group.channels)

    @cached_property
    def parts(self) -> tuple[Array, ...]:
        """The channels of each layer that could be emptied: the least sets of which one each must stay."""
        sets = [frozenset(part.tolist()) for part in self.group.parts]
        return tuple(np.array(sorted(each)) for each in sets if not any(other < each for other in sets))

    def staying(self, share: float) -> int:
        """How many channels stay when a share is to go: the nearest multiple or all, never past the ceiling.

        Of two that are equally near the larger. One of each part stays, and so never none.
        """
        fewest = max(len(self.parts), math.ceil(self.width * (1 - self.ceiling) - 1e-9), 1)
        wanted = max(self.width * (1 - share), fewest)
        below = self.multiple * math.floor(wanted / self.multiple)
        above = min(self.width, below + self.multiple)
        return below if below >= fewest and wanted - below < above - wanted else above


def cuttable(channels: Channels, infos: Sequence[ChannelGroup], step: PruneChannels) -> list[Cuttable]:
    """The groups that a step cuts.

    Args:
        infos: of all groups, in their order.

    Raises:
        NothingToPrune: naming why each group is left alone.
    """
    found, reasons = list[Cuttable](), list[str]()
    for group, info in zip(channels.groups, infos, strict=True):
        if (reason := why_left_alone(step, info)) is not None:
            reasons.append(f"{group.name}: {reason}")
            continue
        fixed = share_named(step, info)
        kinds = tuple(type(dim.layer).__name__ for dim in channels.members(group, "makes", "reads"))
        ceiling = step.ceiling if fixed is None else 1.0
        found.append(Cuttable(group, step.multiple_of(group.unit), ceiling, fixed, (kinds, len(group.channels))))
    if not found:
        raise NothingToPrune(f"No channels are left to prune. {'; '.join(reasons)}.")
    return found


def plan(
    groups: Sequence[Cuttable],
    step: PruneChannels,
    scores: Scores,
    alive: Mask,
    *,
    cost: Cost,
    progress: float = 1.0,
) -> Mask:
    """Which channels stay.

    Args:
        alive: which are still there, an entry a channel.
        cost: what the target counts; not asked where that is the channels themselves.
        progress: of a schedule, as a share of what the step asks for.

    Returns:
        A mask inside ``alive``.

    Raises:
        TargetUnreachable: even with every group at its ceiling the model would cost more.
    """
    what, amount = step.amount
    ranks = None
    if step.distribution != "uniform":
        prices = np.ones(len(scores)) if what == "sparsity" else _prices(groups, alive, cost)
        ranks = _ranks(groups, step, scores / prices, alive)

    def at(share: float) -> Mask:
        kept = alive.copy()
        for each in groups:
            own = share if each.fixed is None else each.fixed * progress
            if ranks is not None and each.fixed is None:
                own = float(np.mean(ranks[each.group.channels] < share))
            kept[_by_worth(each, scores, alive)[each.staying(own) :]] = False
        return kept

    if what == "sparsity":
        if ranks is None:
            return at(amount * progress)
        cost = partial(_width, groups)
    whole, least = cost(np.ones_like(alive)), cost(at(1.0))
    goal = whole * (1 - amount * progress)
    if what == "sparsity":
        goal = max(goal, least)  # a share of channels is met as nearly as multiples and the ceiling let it
    if least > goal:
        raise _unreachable(step, groups, reached=1 - least / whole)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if cost(at(middle)) <= goal else (middle, high)
    return at(high) if what == "sparsity" else _give_back(groups, scores, alive, at(high), cost, goal)


def _width(groups: Sequence[Cuttable], kept: Mask) -> float:
    """Channels that stay, of the groups that have no share of their own."""
    return float(sum(np.count_nonzero(kept[each.group.channels]) for each in groups if each.fixed is None))


def _by_worth(each: Cuttable, scores: Scores, alive: Mask) -> Array:
    """The channels of a group that are still there, the best first; before all, the best of each of its parts."""
    there = each.group.channels[alive[each.group.channels]]
    order = there[np.argsort(-scores[there], kind="stable")]
    if len(each.parts) < 2:
        return np.asarray(order)
    first = list(dict.fromkeys(int(order[np.isin(order, part)][0]) for part in each.parts))
    return np.concatenate([first, order[~np.isin(order, first)]])


def _prices(groups: Sequence[Cuttable], alive: Mask, cost: Cost) -> Array:
    """What each channel saves if it alone goes. Ranked together, the least worth for its price goes first."""
    prices, whole = np.ones(len(alive)), cost(alive)
    for each in groups:
        without = alive.copy()
        without[each.group.channels[alive[each.group.channels]][0]] = False
        prices[each.group.channels] = max(whole - cost(without), 1e-9 * whole)
    return prices


def _ranks(groups: Sequence[Cuttable], step: PruneChannels, scores: Scores, alive: Mask) -> Array:
    """A rank a channel among those that it is ranked with: 0 goes first, just under 1 last, what is gone before all."""
    pools: dict[object, list[Array]] = {}
    for each in groups:
        if each.fixed is None:
            pools.setdefault(each.pattern if step.distribution == "pattern" else None, []).append(each.group.channels)
    ranks = np.zeros(len(scores))
    for pool in pools.values():
        members = np.concatenate(pool)
        order = members[np.argsort(np.where(alive[members], scores[members], -np.inf), kind="stable")]
        ranks[order] = np.arange(order.size) / order.size
    return ranks


def _give_back(groups: Sequence[Cuttable], scores: Scores, alive: Mask, kept: Mask, cost: Cost, goal: float) -> Mask:
    """Multiples are coarse, so the search may have cut too much: give back what still fits, the best first."""
    offers = []
    for each in groups:
        order = _by_worth(each, scores, alive)
        num_kept = int(kept[order].sum())
        back = order[num_kept : num_kept + each.multiple]
        if back.size and each.fixed is None:
            offers.append((float(scores[back[0]] / (scores[order].mean() or 1.0)), back))
    for _, back in sorted(offers, key=lambda offer: -offer[0]):
        wider = kept.copy()
        wider[back] = True
        if cost(wider) <= goal:
            kept = wider
    return kept


def _unreachable(step: PruneChannels, groups: Sequence[Cuttable], *, reached: float) -> TargetUnreachable:
    what = step.amount[0]
    counted = {"params": "parameters", "macs": "multiply-accumulates"}.get(what, what)
    names = ", ".join(each.group.name for each in groups[:10])
    return TargetUnreachable(
        f"At most {reached:.1%} of the {counted} can go, {step.amount[1]:.1%} is asked for. Cut are the groups {names}"
        f"{' and others' if len(groups) > 10 else ''}; each loses at most {step.ceiling:.0%} and keeps a multiple of "
        f"{step.channel_multiple}.",
        suggestions=[
            *([f"Ask for less: {what} {int(100 * reached) / 100:g}."] if reached >= 0.01 else []),
            *(["Raise max_layer_sparsity."] if step.ceiling < 0.95 else []),
            *([f"Shorten spare ({', '.join(step.spare)}), where it leaves groups alone."] if step.spare else []),
            *(["Lower channel_multiple."] if step.channel_multiple > 1 else []),
        ],
    )
