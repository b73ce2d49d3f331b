from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.data.split import Split
from engine.feed import Feed
from engine.measuring.chance import check_baseline
from engine.measuring.measure import predict
from engine.model import load_model
from engine.objective import resolve
from jobspec.errors import BaselineAtChance
from jobspec.spec import Objective, Scale


def check(model_file: Path, split: Split, scale: Scale) -> None:
    model: Any = load_model(model_file)
    feed = Feed(scale, (8, 8, 1), "float32")
    objective = resolve(model, "classes", Objective())
    check_baseline(lambda feed, x: predict(model, feed(x)), split, feed, objective)


def test_a_trained_model_with_its_own_scaling_passes(model_file: Path, arrays: dict[str, np.ndarray]) -> None:
    check(model_file, Split(arrays["x_test"], arrays["y_test"]), "1/255")


def test_a_model_that_guesses_is_a_question_with_the_scaling_that_would_have_worked(
    model_file: Path, arrays: dict[str, np.ndarray]
) -> None:
    """Files do not record how inputs were scaled; pruning on top of the wrong scaling wastes hours."""
    tiny = Split(arrays["x_test"] / np.float32(255), arrays["y_test"])

    with pytest.raises(BaselineAtChance) as caught:
        check(model_file, tiny, "1/255")

    assert caught.value.suggestions[0].startswith('Set "data": {"scale": "none"}')
    assert caught.value.errors[0].field == "data.scale"


def test_when_no_scaling_helps_the_answer_says_so(model_file: Path, arrays: dict[str, np.ndarray]) -> None:
    shuffled = Split(arrays["x_test"], np.random.default_rng(0).permutation(arrays["y_test"]))

    with pytest.raises(BaselineAtChance) as caught:
        check(model_file, shuffled, "1/255")

    assert "No scaling" in caught.value.suggestions[0]
    assert "on_chance_baseline" in caught.value.suggestions[1]
