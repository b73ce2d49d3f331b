import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pruning.schedule import MIN_UPDATES, plan
from secateur.specs.pruning import OneShot, Polynomial


@pytest.mark.parametrize("num_steps", [1, 10, 64, 150, 1000, 100_000])
def test_the_last_cut_has_the_whole_sparsity_however_long_the_training(num_steps: int) -> None:
    """TFMOT delivers 0 % in 64 steps and 77 % of 80 % in 150: its updates miss the end step."""
    cuts = plan(Polynomial(ramp=0.7), 0.8, num_steps=num_steps)

    assert cuts[-1].sparsity == 0.8
    assert 1 <= cuts[-1].step <= num_steps


@pytest.mark.parametrize("num_steps", [40, 64, 150, 1000, 100_000])
def test_there_are_at_least_twenty_cuts_when_there_are_steps_enough(num_steps: int) -> None:
    assert len(plan(Polynomial(ramp=0.7), 0.8, num_steps=num_steps)) >= MIN_UPDATES


@given(st.integers(1, 5000), st.floats(0.05, 1.0), st.floats(0.5, 0.99), st.floats(0.0, 0.49))
def test_sparsity_rises_step_by_step_and_leaves_time_to_recover(
    num_steps: int, ramp: float, final: float, initial: float
) -> None:
    cuts = plan(Polynomial(ramp=ramp, initial_sparsity=initial), final, num_steps=num_steps)

    assert [cut.step for cut in cuts] == sorted({cut.step for cut in cuts})
    assert all(a.sparsity < b.sparsity for a, b in itertools.pairwise(cuts))
    assert cuts[-1].step == max(1, round(ramp * num_steps))
    assert all(initial <= cut.sparsity <= final for cut in cuts)


def test_one_shot_cuts_once_before_any_training() -> None:
    (cut,) = plan(OneShot(), 0.6, num_steps=0)

    assert (cut.step, cut.sparsity) == (0, 0.6)
