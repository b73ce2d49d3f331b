"""A model that guesses, or does worse than it could, and what its user is told to change."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.data.feed import Feed
from engine.data.split import Dataset, Split
from engine.evaluation.chance import Hint, check_baseline, sign_test
from engine.evaluation.scalings import CAFFE, IMAGENET, Scaling, common
from engine.importers.load_model import load_model
from engine.models.predict import predict
from engine.objectives.objective import resolve
from secateur.errors import BaselineAtChance
from secateur.specs.scale import Scale
from secateur.specs.spec import Objective


def dataset(x: Any, y: Any, kind: Any = "classes") -> Dataset:
    split = Split(x, y)
    return Dataset(split, split, split, kind, held_out=False)


def check(model_file: Path, x: Any, y: Any, scale: Scale, *, fail: bool = True) -> Hint | None:
    model: Any = load_model(model_file)
    feed = Feed(scale, (8, 8, 1), "float32")
    objective = resolve(model, "classes", Objective())
    return check_baseline(lambda inputs: predict(model, inputs), dataset(x, y), feed, objective, fail=fail)


def test_a_trained_model_with_its_own_scaling_passes(model_file: Path, arrays: dict[str, np.ndarray]) -> None:
    assert check(model_file, arrays["x_test"], arrays["y_test"], "1/255") is None


def test_a_model_that_guesses_is_a_question_with_the_scaling_that_would_have_worked(
    model_file: Path, arrays: dict[str, np.ndarray]
) -> None:
    """Files do not record how inputs were scaled; pruning on top of the wrong scaling wastes hours."""
    tiny = arrays["x_test"] / np.float32(255)

    with pytest.raises(BaselineAtChance) as caught:
        check(model_file, tiny, arrays["y_test"], "1/255")

    assert caught.value.suggestions[0].startswith('Set "data": {"scale": "none"}: accuracy 1.000 instead of 0.')
    assert caught.value.errors[0].field == "data.scale"


def test_who_goes_on_all_the_same_is_told_in_the_report(model_file: Path, arrays: dict[str, np.ndarray]) -> None:
    hint = check(model_file, arrays["x_test"] / np.float32(255), arrays["y_test"], "1/255", fail=False)

    assert hint is not None
    assert 'Set "data": {"scale": "none"}' in hint.note
    assert hint.suggestions[0].startswith('Set "data"')


def test_when_nothing_helps_the_answer_says_so(model_file: Path, arrays: dict[str, np.ndarray]) -> None:
    shuffled = np.random.default_rng(0).permutation(arrays["y_test"])

    with pytest.raises(BaselineAtChance) as caught:
        check(model_file, arrays["x_test"], shuffled, "1/255")

    assert "No scaling" in caught.value.suggestions[0]
    assert "on_chance_baseline" in caught.value.suggestions[1]


def test_a_handful_of_samples_suggests_nothing(model_file: Path, arrays: dict[str, np.ndarray]) -> None:
    """On eight samples a scaling that is right on all of them has still won too few times to be named."""
    with pytest.raises(BaselineAtChance) as caught:
        check(model_file, arrays["x_test"][:8] / np.float32(255), arrays["y_test"][:8], "1/255")

    assert "No scaling" in caught.value.suggestions[0]


def test_a_sign_test_counts_only_where_two_differ() -> None:
    right, wrong = np.ones(10), np.zeros(10)

    assert sign_test(right, wrong) == 2.0**-10
    assert sign_test(right, right) == 1.0
    assert sign_test(wrong, right) == 1.0


def colours(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of bytes that are lit in red, green or blue, or in none."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    x = rng.integers(60, 160, (count, 8, 8, 3))
    for channel in range(3):
        x[y == channel, ..., channel] += 12
    return x.clip(0, 255).astype(np.uint8), y.astype(np.int64)


X, Y = colours(600, seed=0)
MEAN, DEVIATION = (tuple(255 * np.array(values)) for values in IMAGENET)
PREPARED = {
    "imagenet": (Scaling(MEAN, DEVIATION), '{"scale": {"mean": [123.675, 116.28, 103.53], "deviation": [58.395,'),
    "blue first": (Scaling((0.0,) * 3, (255.0,) * 3, reverse=True), "x[..., ::-1]), which no scale can express. Set"),
    "caffe": (Scaling(CAFFE, (1.0,) * 3, reverse=True), '{"scale": {"mean": [103.939, 116.779, 123.68], "deviation"'),
}


@pytest.fixture(scope="module", params=PREPARED)
def prepared(request: pytest.FixtureRequest) -> tuple[Any, str]:
    """A model that was fitted to pictures prepared in one of these ways, and what its user should be told."""
    scaling, told = PREPARED[request.param]
    # one number a channel, so that the scaling of the three against one another is all that is learnt
    model = keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(4, activation="softmax")]
    )
    means = scaling(X.astype("f4")).mean(axis=(1, 2))
    fitted = np.linalg.lstsq(np.c_[means, np.ones(len(X))], np.eye(4)[Y])[0]
    model.layers[-1].set_weights([fitted[:3], fitted[3]])
    return model, told


def test_the_ways_in_which_networks_for_colours_were_trained_are_found(prepared: tuple[Any, str]) -> None:
    """From other frameworks: a mean and deviation by channel, blue before red, or both."""
    model, told = prepared
    feed = Feed("1/255", (8, 8, 3), "float32")
    objective = resolve(model, "classes", Objective())

    hint = check_baseline(lambda x: predict(model, x), dataset(X, Y), feed, objective, fail=False)

    assert hint is not None
    assert any(told in suggestion for suggestion in hint.suggestions), hint.suggestions


def table(mean: Any, deviation: Any) -> tuple[Any, Dataset]:
    """A model that tells the signs of two columns, and data whose columns have that mean instead of none."""
    x = (np.random.default_rng(0).normal(size=(600, 2)) * deviation + mean).astype("f4")
    y = (x[:, 0] > mean[0]).astype(np.int64) + 2 * (x[:, 1] > mean[1])
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
    signs = np.array([[-1, -1], [1, -1], [-1, 1], [1, 1]], "f4").T
    model.layers[0].set_weights([signs, np.zeros(4, "f4")])
    return model, dataset(x, y)


def test_a_table_is_standardised_by_its_own_columns() -> None:
    model, data = table([5000.0, 3.0], [1000.0, 0.01])
    objective, feed = resolve(model, "classes", Objective()), Feed("none", (2,), "float32")

    with pytest.raises(BaselineAtChance) as caught:
        check_baseline(lambda inputs: predict(model, inputs), data, feed, objective, fail=True)

    scale = json.loads(caught.value.suggestions[0].split('"data": ')[1].split("}:")[0] + "}")["scale"]
    assert scale["mean"] == pytest.approx(data.train.x[:].mean(axis=0), rel=1e-3)
    assert scale["deviation"] == pytest.approx(data.train.x[:].std(axis=0), rel=1e-3)


def test_a_model_that_is_better_than_guessing_is_told_what_would_be_better_still() -> None:
    """Nothing is refused, and the report says what it could find."""
    model, data = table([0.6, 0.6], [1.0, 1.0])
    objective, feed = resolve(model, "classes", Objective()), Feed("none", (2,), "float32")

    hint = check_baseline(lambda inputs: predict(model, inputs), data, feed, objective, fail=True)

    assert hint is not None
    assert hint.suggestions[0].startswith('Set "data": {"scale": {"mean": [0.')
    assert "On 250 held-out samples the uploaded model would do better" in hint.note


def test_a_small_difference_is_not_worth_a_word() -> None:
    """What chance may have done is no reason to change anything."""
    model, data = table([0.02, 0.0], [1.0, 1.0])
    objective, feed = resolve(model, "classes", Objective()), Feed("none", (2,), "float32")
    noisy = replace(data.validation, y=np.where(np.arange(600) % 5 == 0, 0, data.validation.y))

    assert (
        check_baseline(
            lambda inputs: predict(model, inputs), replace(data, validation=noisy), feed, objective, fail=True
        )
        is None
    )


def two_classes() -> tuple[Any, Dataset]:
    """A model that is certain of one of two classes, and data of which the labels say the opposite."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 1)).astype("f4")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, activation="sigmoid")])
    model.layers[0].set_weights([np.array([[5.0]], "f4"), np.zeros(1, "f4")])
    return model, dataset(x, (x[:, 0] < 0).astype(np.int64))


def test_exchanged_classes_are_named() -> None:
    model, data = two_classes()
    objective = resolve(model, "classes", Objective())

    with pytest.raises(BaselineAtChance) as caught:
        check_baseline(lambda x: predict(model, x), data, Feed("none", (1,), "float32"), objective, fail=True)

    assert caught.value.suggestions[0].startswith(
        "Exchange the two classes in the labels of every split (1 - y): accuracy 1.000 instead of 0.000"
    )


def test_what_is_tried_depends_on_how_samples_are_stored() -> None:
    """Floats from 0 to 1 of a model that wants bytes have to be multiplied."""
    bytes_, floats = (common(np.linspace(0, top, 32).reshape(2, 4, 4, 1), width=1) for top in (255.0, 1.0))

    assert {scaling.scale for scaling in bytes_} >= {'"none"', '"1/255"', '"-1..1"'}
    assert any(scaling(np.ones((1, 1))).item() == pytest.approx(255.0) for scaling in floats)
    assert all(scaling.reverse is False for scaling in bytes_), "one channel has no order"
