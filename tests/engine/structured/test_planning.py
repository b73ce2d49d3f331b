"""How many channels of which group go: multiples, ceilings, targets met from above, and what is ranked with what."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.arrays import Array, Mask
from engine.structured.groups import channels_of
from engine.structured.planning import PrunableGroup, plan, prunable_groups
from engine.structured.savings import Costs, group_infos
from secateur.errors import NothingToPrune, TargetUnreachable
from secateur.specs.channels import PruneChannels
from tests.engine.structured.conftest import NETWORKS, group_of

FREE: dict[str, Any] = {"channel_multiple": 1, "spare": ()}


def cut_of(
    *widths: int, multiple: int = 1, ceiling: float = 0.9, fixed: dict[int, float] | None = None
) -> list[PrunableGroup]:
    """Groups of these widths side by side; those of one width are of one pattern."""
    starts = np.cumsum([0, *widths])
    return [
        PrunableGroup(group_of(f"g{n}", int(starts[n]), width), multiple, ceiling, (fixed or {}).get(n), (width,))
        for n, width in enumerate(widths)
    ]


def staying(groups: list[PrunableGroup], kept: Mask) -> list[int]:
    return [int(kept[each.group.channels].sum()) for each in groups]


def planned(
    groups: list[PrunableGroup], scores: Any = None, *, cost: Any = None, alive: Any = None, **step: Any
) -> Mask:
    total = sum(each.width for each in groups)
    progress = step.pop("progress", 1.0)
    return plan(
        groups,
        PruneChannels(**{"channel_multiple": groups[0].multiple, **step}),
        np.arange(total, dtype=float) if scores is None else np.asarray(scores, float),
        np.ones(total, np.bool_) if alive is None else alive,
        cost=cost or (lambda kept: float(kept.sum())),
        progress=progress,
    )


@pytest.mark.parametrize(
    ("width", "multiple", "ceiling", "share", "expected"),
    [
        pytest.param(64, 8, 0.9, 0.5, 32, id="a multiple already"),
        pytest.param(64, 8, 0.9, 0.4, 40, id="the nearest one above"),
        pytest.param(64, 8, 0.9, 0.45, 32, id="the nearest one below"),
        pytest.param(24, 8, 0.9, 0.5, 16, id="of two that are equally near the larger"),
        pytest.param(64, 8, 0.9, 0.99, 8, id="never past the ceiling"),
        pytest.param(12, 1, 0.9, 0.99, 2, id="not a tenth of a channel past it"),
        pytest.param(10, 1, 0.9, 0.99, 1, id="all that the ceiling allows"),
        pytest.param(5, 1, 0.99, 0.99, 1, id="never none"),
        pytest.param(6, 8, 0.9, 0.5, 6, id="all when there is no multiple"),
        pytest.param(20, 8, 0.9, 0.0, 20, id="all, when nothing is to go, though it is no multiple"),
        pytest.param(20, 8, 0.9, 0.05, 20, id="all, when that is nearer than a multiple"),
        pytest.param(20, 8, 0.9, 0.15, 16, id="a multiple, when that is nearer than all"),
    ],
)
def test_a_group_keeps_the_nearest_multiple(
    width: int, multiple: int, ceiling: float, share: float, expected: int
) -> None:
    (group,) = cut_of(width, multiple=multiple, ceiling=ceiling)

    assert group.staying(share) == expected


def test_uniform_takes_the_worst_of_every_group_whatever_others_have() -> None:
    groups = cut_of(4, 4)

    kept = planned(groups, [0.1, 9, 8, 0.2, 30, 70, 60, 40], sparsity=0.5)

    assert np.flatnonzero(kept).tolist() == [1, 2, 5, 6]


def test_global_takes_the_worst_of_all() -> None:
    groups = cut_of(4, 4)

    kept = planned(groups, [1, 2, 3, 7, 4, 5, 6, 8], sparsity=0.5, distribution="global")

    assert np.flatnonzero(kept).tolist() == [3, 5, 6, 7]


def test_pattern_ranks_groups_of_one_kind_together_and_no_others() -> None:
    """The two of width 4 share; the one of width 2 has the lowest scores of all and loses its half only."""
    groups = cut_of(4, 2, 4)

    kept = planned(groups, [10, 20, 30, 70, 1, 2, 40, 50, 60, 80], sparsity=0.5, distribution="pattern")

    assert np.flatnonzero(kept).tolist() == [3, 5, 7, 8, 9]


def test_a_group_with_a_share_of_its_own_keeps_to_it_and_others_are_ranked_without_it() -> None:
    groups = cut_of(4, 4, fixed={0: 0.25})

    kept = planned(groups, [0, 0, 0, 0, 5, 6, 7, 8], sparsity=0.5, distribution="global", layers={"g0": 0.25})

    assert staying(groups, kept) == [3, 2]


def test_a_target_counts_what_groups_with_shares_of_their_own_lose() -> None:
    """Six of sixteen are to go; four of them go by name, so two of the other eight do."""
    groups = cut_of(8, 8, fixed={0: 0.5})

    kept = planned(groups, params=6 / 16, layers={"g0": 0.5})

    assert staying(groups, kept) == [4, 6]


def test_half_of_the_products_of_two_widths_takes_less_than_half_of_each() -> None:
    """A kernel of 16 x 16: 11 x 11 = 121 is at most half of its 256 products, and 11 x 12 = 132 is more."""
    groups = cut_of(16, 16)

    kept = planned(groups, cost=lambda kept: float(kept[:16].sum() * kept[16:].sum()), macs=0.5)

    assert staying(groups, kept) == [11, 11]


def test_what_coarse_multiples_cut_too_much_is_given_back_where_it_is_worth_most() -> None:
    """Both groups fall from 16 to 8 at once, 32 to 16; 10 of 32 are to go, and one group of 8 fits in again."""
    groups = cut_of(16, 16, multiple=8)
    scores = np.r_[np.linspace(1, 2, 16), np.linspace(1, 9, 16)]

    kept = planned(groups, scores, params=8 / 32)

    assert staying(groups, kept) == [16, 8] or staying(groups, kept) == [8, 16]
    assert kept.sum() == 24


def test_a_later_round_goes_on_from_what_is_left() -> None:
    groups, scores = cut_of(8), np.array([8.0, 7, 6, 5, 4, 3, 2, 1])

    first = planned(groups, scores, sparsity=0.5, progress=0.5)
    second = planned(groups, scores[::-1], alive=first, sparsity=0.5)

    assert np.flatnonzero(first).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(second).tolist() == [2, 3, 4, 5], "best first among those that are left, of the other order"


def test_in_a_later_round_what_went_counts_as_gone_when_all_are_ranked() -> None:
    groups, alive = cut_of(4, 4), np.array([0, 0, 1, 1, 1, 1, 1, 1], np.bool_)

    kept = planned(groups, [99, 99, 7, 8, 1, 2, 3, 4], alive=alive, sparsity=0.5, distribution="global")

    assert staying(groups, kept) == [2, 2]


def test_no_part_of_a_group_is_emptied_however_little_it_is_worth() -> None:
    """Channels 0 to 3 are one layer's, 4 to 7 another's; shortcuts make them one group."""
    parts = (np.arange(4), np.arange(4, 8), np.arange(8))
    groups = [PrunableGroup(group_of("joined", 0, 8, parts=parts), 1, 0.9, None, ())]

    kept = planned(groups, [1, 4, 3, 2, 50, 60, 70, 80], sparsity=0.5)
    fewest = planned(groups, [1, 4, 3, 2, 50, 60, 70, 80], sparsity=0.9)

    assert np.flatnonzero(kept).tolist() == [1, 5, 6, 7]
    assert np.flatnonzero(fewest).tolist() == [1, 7], "of each part the best, though a single channel was asked for"


def test_a_target_out_of_reach_tells_how_far_it_goes_and_what_is_in_the_way() -> None:
    groups = cut_of(16, multiple=8)

    told = r"At most 50\.0% of the parameters can be removed, but the step asks for 80\.0%"
    with pytest.raises(TargetUnreachable, match=told) as caught:
        planned(groups, params=0.8)

    told = " ".join(caught.value.suggestions)
    assert "params 0.5" in told
    assert "channel_multiple" in told
    assert "spare" in told
    assert planned(groups, params=0.5).sum() == 8, "what it suggests works"


def test_a_share_of_all_channels_is_met_although_some_groups_stop_at_their_ceiling() -> None:
    """The worthless group may lose 9 of its 10; the rest of the half comes from the other one."""
    groups = cut_of(10, 30, multiple=1)
    scores = np.concatenate([np.zeros(10), np.arange(1.0, 31.0)])

    kept = planned(groups, scores=scores, sparsity=0.5, distribution="global")

    assert (int(kept[:10].sum()), int(kept[10:].sum())) == (1, 19)


def test_nothing_is_suggested_that_cannot_work() -> None:
    """The groups are an unnoticeable part of the model: no share at all is within reach."""
    with pytest.raises(TargetUnreachable) as caught:
        planned(cut_of(8), cost=lambda kept: 100_000.0 + kept.sum(), params=0.5, spare=[], max_layer_sparsity=0.95)

    assert not any("Ask for less" in each or "spare" in each for each in caught.value.suggestions)


GROUPS = st.lists(st.tuples(st.integers(2, 40), st.sampled_from([1, 2, 8])), min_size=1, max_size=4)
DISTRIBUTIONS = st.sampled_from(["uniform", "global", "pattern"])


def _random(widths: list[tuple[int, int]], seed: int) -> tuple[list[PrunableGroup], Array, Array]:
    """Groups, scores, and what a channel of each costs."""
    starts = np.cumsum([0, *(width for width, _ in widths)])
    groups = [
        PrunableGroup(group_of(f"g{n}", int(starts[n]), width), multiple, 0.9, None, (width % 2,))
        for n, (width, multiple) in enumerate(widths)
        if width > multiple
    ]
    rng = np.random.default_rng(seed)
    return groups, rng.exponential(size=int(starts[-1])), rng.integers(1, 50, int(starts[-1])).astype(float)


@given(widths=GROUPS, distribution=DISTRIBUTIONS, share=st.floats(0.01, 0.9), seed=st.integers(0, 9999))
def test_whatever_is_asked_some_of_each_group_stays_in_multiples_and_nothing_comes_back(
    widths: list[tuple[int, int]], distribution: Any, share: float, seed: int
) -> None:
    groups, scores, _ = _random(widths, seed)
    alive = np.ones(len(scores), np.bool_)
    if not groups:
        return

    for progress in (0.4, 1.0):
        step = PruneChannels(sparsity=share, distribution=distribution)
        kept = plan(groups, step, scores, alive, cost=lambda kept: 0.0, progress=progress)

        assert not (kept & ~alive).any()
        for each in groups:
            left = int(kept[each.group.channels].sum())
            assert left == each.width or (left > 0 and left % each.multiple == 0)
            assert left >= each.width * 0.1 - 1e-9
        alive = kept
    others = np.setdiff1d(np.arange(len(scores)), np.concatenate([each.group.channels for each in groups]))
    assert kept[others].all(), "groups that are not cut stay as they are"


@given(widths=GROUPS, distribution=DISTRIBUTIONS, seed=st.integers(0, 9999))
def test_who_asks_for_more_loses_no_fewer_channels_of_any_group(
    widths: list[tuple[int, int]], distribution: Any, seed: int
) -> None:
    groups, scores, _ = _random(widths, seed)
    if not groups:
        return

    plans = [
        plan(
            groups,
            PruneChannels(sparsity=share, distribution=distribution),
            scores,
            np.ones(len(scores), np.bool_),
            cost=lambda kept: 0.0,
        )
        for share in (0.1, 0.3, 0.5, 0.7, 0.9)
    ]

    for less, more in pairwise(plans):
        assert not (more & ~less).any()


@given(widths=GROUPS, distribution=DISTRIBUTIONS, amount=st.floats(0.05, 0.85), seed=st.integers(0, 9999))
def test_a_target_is_met_with_at_most_one_multiple_too_many_of_each_group(
    widths: list[tuple[int, int]], distribution: Any, amount: float, seed: int
) -> None:
    groups, scores, price = _random(widths, seed)
    alive = np.ones(len(scores), np.bool_)

    def cost(kept: Mask) -> float:
        return float(price[kept].sum())

    if not groups:
        return
    try:
        kept = plan(groups, PruneChannels(params=amount, distribution=distribution), scores, alive, cost=cost)
    except TargetUnreachable:
        fewest = alive.copy()
        for each in groups:
            fewest[each.group.channels[np.argsort(-scores[each.group.channels])[each.staying(0.99) :]]] = False
        assert cost(fewest) > price.sum() * (1 - amount)
        return

    goal, wider = price.sum() * (1 - amount), kept.copy()
    assert cost(kept) <= goal
    for each in groups:
        order = each.group.channels[np.argsort(-scores[each.group.channels], kind="stable")]
        num_kept = int(kept[order].sum())
        assert kept[order[:num_kept]].all(), "the best of a group stay"
        wider[order[num_kept : num_kept + each.multiple]] = True
    assert cost(wider) > goal or wider.all()


def infos_of(name: str) -> tuple[Any, Any]:
    channels = channels_of(NETWORKS[name]())
    return channels, group_infos(Costs.of(channels))


def test_groups_that_are_spared_are_left_out_and_those_named_are_taken() -> None:
    channels, infos = infos_of("shortcut")

    inner = prunable_groups(channels, infos, PruneChannels(sparsity=0.5, channel_multiple=2))
    named = prunable_groups(channels, infos, PruneChannels(sparsity=0.5, channel_multiple=2, layers={"outer": 0.25}))

    assert [each.group.name for each in inner] == ["inner"]
    assert [(each.group.name, each.fixed) for each in named] == [("stem", 0.25), ("inner", None)]


def test_who_is_left_with_no_group_is_told_why_of_each() -> None:
    channels, infos = infos_of("shortcut")

    with pytest.raises(NothingToPrune, match=r"inner: it has 6 channels.*stem: .*shortcut|stem: .*inner: it has 6"):
        prunable_groups(channels, infos, PruneChannels(sparsity=0.5))


@pytest.mark.parametrize("distribution", ["uniform", "global", "pattern"])
@pytest.mark.parametrize("what", ["params", "macs"])
def test_a_real_networks_plan_lies_at_its_target_or_below_by_a_channel_a_group(distribution: Any, what: str) -> None:
    channels, infos = infos_of("shortcut")
    costs = Costs.of(channels)
    cost = getattr(costs, what)
    step = PruneChannels(**FREE, **{what: 0.4}, distribution=distribution)
    groups = prunable_groups(channels, infos, step)
    scores = np.random.default_rng(1).random(channels.num_channels)
    alive = channels.all_kept()

    kept = plan(groups, step, scores, alive, cost=cost)

    wider = kept.copy()
    for each in groups:
        gone = each.group.channels[~kept[each.group.channels]]
        wider[gone[:1]] = True
    assert cost(kept) <= 0.6 * cost(alive) < cost(wider)
