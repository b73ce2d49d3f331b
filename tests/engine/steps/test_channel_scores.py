"""Which criterion sees which data, and what is done where it sees nothing."""

from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest

from engine.arrays import Array
from engine.run.context import Run
from engine.run.load import load
from engine.steps.channel_scores import scores_of
from engine.structured.groups import Channels, channels_of
from engine.structured.importance import by_weights
from secateur.specs.channels import ChannelCriterion, PruneChannels
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe

layers = keras.layers


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A group that an LSTM reads, one that a dense layer reads, and one that is frozen."""
    folder = tmp_path_factory.mktemp("job")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 5, 4)).astype("f4"), rng.integers(0, 3, 120)
    np.savez(folder / "d.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    keras.utils.set_random_seed(0)
    parts = [layers.Dense(8, name="one"), layers.LSTM(6, name="memory"), layers.Dense(3, "softmax", name="out")]
    keras.Sequential([keras.Input((5, 4)), *parts]).save(folder / "m.keras")
    recipe = Recipe.model_validate(
        {
            "steps": [{"kind": "prune", "structure": "channel", "sparsity": 0.5, "channel_multiple": 1}],
            "on_chance_baseline": "continue",
        }
    )
    return load(recipe, model=folder / "m.keras", dataset=Path(folder / "d.npz"), reading=Reading())


def scored(run: Run, criterion: Any) -> tuple[Channels, Array, list[float]]:
    channels, told = channels_of(run.model), list[float]()
    groups = [group for group in channels.groups if not group.frozen]
    step = PruneChannels(sparsity=0.5, criterion=criterion)
    run.notes.clear()
    return channels, scores_of(run, channels, groups, step, told.append), told


@pytest.mark.parametrize("criterion", ["obs", "wanda"])
def test_what_no_solvable_layer_reads_is_chosen_by_magnitude_and_the_report_says_so(criterion: str, run: Run) -> None:
    channels, scores, told = scored(run, criterion)

    one, memory = channels.group("one"), channels.group("memory")
    assert one is not None
    assert memory is not None
    assert scores[one.channels] == pytest.approx(by_weights(channels, one, "magnitude", seed=0))
    assert scores[memory.channels] != pytest.approx(by_weights(channels, memory, "magnitude", seed=0))
    assert run.notes == ["one: channels chosen by magnitude, because no layer that reads them can be reconstructed."]
    assert told[-1] == 1.0


@pytest.mark.parametrize("criterion", sorted(set(get_args(ChannelCriterion)) - {"obs", "wanda", "bn_scale"}))
def test_other_criteria_score_every_group_that_is_asked_for_and_no_other(criterion: str, run: Run) -> None:
    channels, scores, _ = scored(run, criterion)

    frozen = [group.channels for group in channels.groups if group.frozen]
    assert (scores[np.concatenate(frozen)] == 0).all()
    assert all((scores[group.channels] > 0).all() for group in channels.groups if not group.frozen)
    assert run.notes == []
