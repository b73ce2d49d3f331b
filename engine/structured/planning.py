"""Plan how many channels of each group are removed, so that the model meets its target."""

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
"""One for each channel of the model, not negative; higher means keep. Only scores of pruned groups are used."""

Cost = Callable[[Mask], float]
"""From kept channels to the cost of the model, in the unit of the target."""


@dataclass(frozen=True)
class PrunableGroup:
    """A group that the step prunes."""

    group: Group
    multiple: int
    ceiling: float
    fixed: float | None
    """The share to remove, where the spec sets one for this group."""
    pattern: tuple[object, ...]
    """Equal for groups of the same kind and width."""

    @property
    def width(self) -> int:
        """The number of channels at the start of the step; shares refer to it."""
        return len(self.group.channels)

    @cached_property
    def parts(self) -> tuple[Array, ...]:
        """The smallest sets of channels of which at least one must be kept, so that no layer becomes empty."""
        sets = [frozenset(part.tolist()) for part in self.group.parts]
        return tuple(np.array(sorted(each)) for each in sets if not any(other < each for other in sets))

    def staying(self, share: float) -> int:
        """Return how many channels to keep when a share is removed: the nearest multiple or all, within the ceiling.

        Of two equally near multiples the larger. One channel of each part is kept.
        """
        fewest = max(len(self.parts), math.ceil(self.width * (1 - self.ceiling) - 1e-9), 1)
        wanted = max(self.width * (1 - share), fewest)
        below = self.multiple * math.floor(wanted / self.multiple)
        above = min(self.width, below + self.multiple)
        return below if below >= fewest and wanted - below < above - wanted else above


def prunable_groups(channels: Channels, infos: Sequence[ChannelGroup], step: PruneChannels) -> list[PrunableGroup]:
    """Return the groups that a step prunes.

    Args:
        channels: of the model.
        infos: descriptions of all groups, in their order.
        step: the prune step.

    Raises:
        NothingToPrune: no group can be pruned; the message has the reason for each.
    """
    found, reasons = list[PrunableGroup](), list[str]()
    for group, info in zip(channels.groups, infos, strict=True):
        if (reason := why_left_alone(step, info)) is not None:
            reasons.append(f"{group.name}: {reason}")
            continue
        fixed = share_named(step, info)
        kinds = tuple(type(dim.layer).__name__ for dim in channels.members(group, "produces", "consumes"))
        ceiling = step.ceiling if fixed is None else 1.0
        found.append(PrunableGroup(group, step.multiple_of(group.unit), ceiling, fixed, (kinds, len(group.channels))))
    if not found:
        raise NothingToPrune(f"No channels are left to prune. {'; '.join(reasons)}.")
    return found


def plan(
    groups: Sequence[PrunableGroup],
    step: PruneChannels,
    scores: Scores,
    alive: Mask,
    *,
    cost: Cost,
    progress: float = 1.0,
) -> Mask:
    """Return the channels to keep.

    Args:
        groups: the groups that the step prunes.
        step: has the target and the distribution.
        scores: one for each channel.
        alive: mask of the remaining channels.
        cost: in the unit of the target; not used for a target of channels.
        progress: of the schedule, as a share of the step's target.

    Returns:
        A mask inside ``alive``.

    Raises:
        TargetUnreachable: the model costs more than the target even with every group at its ceiling.
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
            kept[_ranked_by_score(each, scores, alive)[each.staying(own) :]] = False
        return kept

    if what == "sparsity":
        if ranks is None:
            return at(amount * progress)
        cost = partial(_width, groups)
    whole, least = cost(np.ones_like(alive)), cost(at(1.0))
    goal = whole * (1 - amount * progress)
    if what == "sparsity":
        goal = max(goal, least)  # a share of channels is met as nearly as multiples and the ceiling allow
    if least > goal:
        raise _unreachable(step, groups, reached=1 - least / whole)
    low, high = 0.0, 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if cost(at(middle)) <= goal else (middle, high)
    return at(high) if what == "sparsity" else _restore_affordable(groups, scores, alive, at(high), cost, goal)


def _width(groups: Sequence[PrunableGroup], kept: Mask) -> float:
    """Count the kept channels of groups without a share of their own."""
    return float(sum(np.count_nonzero(kept[each.group.channels]) for each in groups if each.fixed is None))


def _ranked_by_score(each: PrunableGroup, scores: Scores, alive: Mask) -> Array:
    """Return the remaining channels of a group: the best of each part first, then all others by falling score."""
    there = each.group.channels[alive[each.group.channels]]
    order = there[np.argsort(-scores[there], kind="stable")]
    if len(each.parts) < 2:
        return np.asarray(order)
    first = list(dict.fromkeys(int(order[np.isin(order, part)][0]) for part in each.parts))
    return np.concatenate([first, order[~np.isin(order, first)]])


def _prices(groups: Sequence[PrunableGroup], alive: Mask, cost: Cost) -> Array:
    """Return the cost that the removal of each channel alone saves; scores are divided by it for a global ranking."""
    prices, whole = np.ones(len(alive)), cost(alive)
    for each in groups:
        without = alive.copy()
        without[each.group.channels[alive[each.group.channels]][0]] = False
        prices[each.group.channels] = max(whole - cost(without), 1e-9 * whole)
    return prices


def _ranks(groups: Sequence[PrunableGroup], step: PruneChannels, scores: Scores, alive: Mask) -> Array:
    """Return the rank of each channel in its pool: 0 is removed first, just under 1 last. Removed ones are lowest."""
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


def _restore_affordable(
    groups: Sequence[PrunableGroup], scores: Scores, alive: Mask, kept: Mask, cost: Cost, goal: float
) -> Mask:
    """Restore channels that still fit the goal, best first: because of multiples the search may remove too many.

    Args:
        groups: the groups that the step prunes.
        scores: one for each channel.
        alive: mask of the channels before the plan.
        kept: mask of the plan.
        cost: in the unit of the target.
        goal: the highest allowed cost.
    """
    offers = []
    for each in groups:
        order = _ranked_by_score(each, scores, alive)
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


def _unreachable(step: PruneChannels, groups: Sequence[PrunableGroup], *, reached: float) -> TargetUnreachable:
    what = step.amount[0]
    counted = {"params": "parameters", "macs": "multiply-accumulates"}.get(what, what)
    names = ", ".join(each.group.name for each in groups[:10])
    return TargetUnreachable(
        f"At most {reached:.1%} of the {counted} can be removed, but the step asks for {step.amount[1]:.1%}. "
        f"It prunes the groups {names}"
        f"{' and others' if len(groups) > 10 else ''}; each loses at most {step.ceiling:.0%} and keeps a multiple of "
        f"{step.channel_multiple}.",
        suggestions=[
            *([f"Ask for less: {what} {int(100 * reached) / 100:g}."] if reached >= 0.01 else []),
            *(["Raise max_layer_sparsity."] if step.ceiling < 0.95 else []),
            *([f"Shorten spare ({', '.join(step.spare)}), where it leaves groups alone."] if step.spare else []),
            *(["Lower channel_multiple."] if step.channel_multiple > 1 else []),
        ],
    )
