"""The prune step that takes channels away, on a network that has learnt something: alone, in rounds, among others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.models.costs import num_macs
from engine.models.model import copy_of
from engine.models.predict import predict
from engine.run.context import Run
from engine.run.load import load
from engine.steps.channels import prune_channels, rounds_of
from engine.training.progress import Advance
from secateur.errors import TargetUnreachable
from secateur.specs.channels import ChannelCriterion, ChannelDistribution, PruneChannels
from secateur.specs.pruning import Constant, Iterative, OneShot, Polynomial, Schedule
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe
from tests.engine.pipeline.test_compress import compressed

layers = keras.layers
CHANNEL: dict[str, Any] = {"kind": "prune", "structure": "channel", "channel_multiple": 2, "spare": []}
WEIGHTS = {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}, "skip_layers": ["first", "second"]}

Load = Callable[..., Run]


@pytest.fixture(scope="module")
def cnn_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two convolutions and a dense layer, each normalised; trained on pixels scaled by 1/255."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 1))], name="bars")
    for name, layer in (
        ("first", layers.Conv2D(8, 3, padding="same", use_bias=False, name="first")),
        ("second", layers.Conv2D(12, 3, strides=2, padding="same", use_bias=False, name="second")),
        ("hidden", layers.Dense(16, name="hidden")),
    ):
        for each in (layer, layers.BatchNormalization(name=f"{name}_norm"), layers.ReLU()):
            model.add(each)
        if name == "second":
            model.add(layers.Flatten())
    model.add(layers.Dense(4, activation="softmax", name="classes"))
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(arrays["x_train"][..., None] / 255.0, arrays["y_train"], epochs=6, batch_size=64, verbose=0)
    path = tmp_path_factory.mktemp("model") / "cnn.keras"
    model.save(path)
    return path


@pytest.fixture(scope="module")
def loaded(cnn_file: Path, data_file: Path) -> Load:
    """Jobs on copies of a model that is read once."""
    recipe = Recipe.model_validate({"steps": [{**CHANNEL, "sparsity": 0.5}]})
    first = load(recipe, model=cnn_file, dataset=data_file, reading=Reading(scale="1/255"))

    def another(model: Any = None, **recipe: Any) -> Run:
        keras.utils.set_random_seed(0)
        whole = Recipe.model_validate({"steps": [{**CHANNEL, "sparsity": 0.5}], **recipe})
        return first.fork(whole, copy_of(first.model) if model is None else model)

    return another


def widths(model: Any) -> tuple[int, ...]:
    return tuple(model.get_layer(name).weights[0].shape[-1] for name in ("first", "second", "hidden"))


def accuracy(run: Run) -> float:
    outputs = predict(run.model, run.context.feed(run.context.data.test.x))
    return run.context.objective.score_to_maximize(run.context.data.test.y, outputs)


def cut(run: Run, **step: Any) -> Run:
    prune_channels(run, PruneChannels(**{**CHANNEL, **step}), "prune", lambda at: None)
    return run


@pytest.mark.parametrize(
    ("schedule", "progress", "epochs"),
    [
        pytest.param(OneShot(), [1.0], [0], id="one shot"),
        pytest.param(Constant(epochs=3), [1.0], [3], id="constant"),
        pytest.param(Iterative(cycles=2, epochs_per_cycle=3), [2 / 3, 1.0], [3, 3], id="iterative: 0.5, then 0.75"),
        pytest.param(Polynomial(epochs=4, ramp=0.5), [7 / 8, 1.0], [1, 3], id="polynomial: 1 - (1/2)^3, then all"),
        pytest.param(Polynomial(epochs=1), [1.0], [1], id="polynomial in one epoch"),
        pytest.param(
            Polynomial(epochs=2, ramp=1.0, initial_sparsity=0.375), [15 / 16, 1.0], [1, 1], id="polynomial from half"
        ),
    ],
)
def test_cuts_fall_between_epochs(schedule: Schedule, progress: list[float], epochs: list[int]) -> None:
    rounds = rounds_of(PruneChannels(sparsity=0.75, schedule=schedule))

    assert [each.progress for each in rounds] == pytest.approx(progress)
    assert [each.epochs for each in rounds] == epochs


@given(
    schedule=st.one_of(
        st.builds(Constant, epochs=st.integers(1, 300)),
        st.builds(Polynomial, epochs=st.integers(1, 300), ramp=st.floats(0.01, 1.0)),
        st.builds(Iterative, cycles=st.integers(1, 20), epochs_per_cycle=st.integers(1, 5)),
    ),
    amount=st.floats(0.01, 0.99),
)
def test_every_epoch_that_is_asked_for_is_trained_and_all_is_cut_in_the_end(schedule: Any, amount: float) -> None:
    rounds = rounds_of(PruneChannels(macs=amount, schedule=schedule))

    assert sum(each.epochs for each in rounds) == schedule.epochs
    assert all(each.epochs > 0 for each in rounds)
    shares = [each.progress for each in rounds]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


DISTRIBUTIONS = get_args(ChannelDistribution)
CHOICES = [
    *((each, DISTRIBUTIONS[number % 3]) for number, each in enumerate(get_args(ChannelCriterion))),
    *(("obs", each) for each in DISTRIBUTIONS[1:]),
]
QUICK = {("obs", "uniform"), ("taylor", "global"), ("wanda", "pattern")}
"""One choice for each way to score and each distribution. Scores and plans have tests of their own."""


@pytest.mark.parametrize(
    ("criterion", "distribution"),
    [pytest.param(*each, marks=() if each in QUICK else pytest.mark.slow) for each in CHOICES],
)
def test_every_criterion_and_every_distribution_reaches_its_target(
    criterion: str, distribution: str, loaded: Load
) -> None:
    run = loaded()
    before = num_macs(run.model)

    cut(run, criterion=criterion, distribution=distribution, macs=0.4)

    assert 0.4 <= 1 - num_macs(run.model) / before < 0.6
    assert sum(widths(run.model)) < 8 + 12 + 16
    assert all(width % 2 == 0 for width in widths(run.model))
    if criterion != "random":
        assert accuracy(run) > 0.5, "four classes, repaired, and no training"


@pytest.mark.parametrize("reconstruct", [True, False])
def test_a_share_of_each_group_is_delivered_to_the_channel(reconstruct: bool, loaded: Load) -> None:
    run = cut(loaded(), sparsity=0.5, reconstruct=reconstruct, layers={"hidden": 0.25})

    assert widths(run.model) == (4, 6, 12)
    assert run.model.count_params() == 9 * 4 + 16 + 9 * 4 * 6 + 24 + 4 * 4 * 6 * 12 + 12 + 48 + 12 * 4 + 4
    assert accuracy(run) > 0.6
    assert any(
        ("Weights reconstructed" if reconstruct else "mean output of the removed channels") in note
        for note in run.notes
    )


def test_obs_with_a_repair_is_better_than_chance_without_one(loaded: Load) -> None:
    chosen = cut(loaded(), sparsity=0.7)
    by_chance = cut(loaded(), sparsity=0.7, criterion="random", reconstruct=False)

    assert accuracy(chosen) > accuracy(by_chance) + 0.1


@pytest.mark.parametrize(
    ("schedule", "epochs"),
    [
        pytest.param({"kind": "iterative", "cycles": 2, "epochs_per_cycle": 1}, 2, id="iterative"),
        pytest.param({"kind": "polynomial", "epochs": 3, "ramp": 0.5}, 3, id="polynomial", marks=pytest.mark.slow),
        pytest.param({"kind": "constant", "epochs": 1}, 1, id="constant", marks=pytest.mark.slow),
    ],
)
def test_rounds_end_at_the_channels_that_were_asked_for_and_number_their_epochs_through(
    schedule: dict[str, Any], epochs: int, loaded: Load
) -> None:
    run, told = loaded(), list[Advance]()
    step = PruneChannels(**CHANNEL | {"sparsity": 0.5, "schedule": schedule})

    message = prune_channels(run, step, "prune", told.append)

    assert widths(run.model) == (4, 6, 8)
    assert [(point.step, point.epoch) for point in run.history] == [("prune", n) for n in range(1, epochs + 1)]
    assert message.startswith("18 channels removed")
    shares = [at.progress for at in told]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_what_became_of_each_group_adds_up_over_two_steps(loaded: Load) -> None:
    run = cut(cut(loaded(), sparsity=0.25, skip_layers=["hidden"]), sparsity=0.5, skip_layers=["first"])

    found = {cut.name: (cut.before, cut.after) for cut in run.groups.values()}
    assert found == {"first": (8, 6), "second": (12, 6), "hidden": (16, 8), "classes": (4, 4)}, "12, 10 of 9, 6 of 5"
    assert widths(run.model) == (6, 6, 8)
    assert {name for name, cut in run.groups.items() if cut.spared} == {"classes"}
    assert all((cut.macs_saved > 0) == (cut.before > cut.after) for cut in run.groups.values())


def test_a_target_that_is_out_of_reach_is_told_before_anything_changes(loaded: Load) -> None:
    run = loaded()

    with pytest.raises(TargetUnreachable):
        cut(run, macs=0.9, skip_layers=["second"])

    assert widths(run.model) == (8, 12, 16)


def test_zeros_that_earlier_steps_promised_are_promised_of_what_is_left_and_later_ones_are_delivered(
    cnn_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """The report checks what it promises against the file."""
    steps = [
        WEIGHTS,
        {**CHANNEL, "sparsity": 0.5},
        {**WEIGHTS, "sparsity": 0.8},
        {"kind": "quantize", "scheme": "int8"},
    ]

    report, _ = compressed(cnn_file, data_file, tmp_path, steps=steps)

    hidden = next(layer for layer in report.layers if layer.name == "hidden")
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert widths(model) == (4, 6, 8)
    assert np.mean(np.asarray(model.get_layer("hidden").kernel) == 0) == pytest.approx(0.8, abs=0.01)
    assert hidden.target == 0.8
    assert [(group.name, group.before, group.after) for group in report.groups] == [
        ("first", 8, 4),
        ("second", 12, 6),
        ("hidden", 16, 8),
        ("classes", 4, 4),
    ]
    assert report.result.quality.score.value > 0.5


def test_weights_that_were_cut_before_stay_cut_through_the_repair(loaded: Load) -> None:
    run = loaded()
    weights = run.masks.weights("hidden")
    run.masks.set("hidden", np.where(np.abs(weights) > np.median(np.abs(weights)), weights, 0.0))
    run.targets["hidden"] = 0.5

    cut(run, sparsity=0.5)

    kernel = np.asarray(run.model.get_layer("hidden").kernel)
    assert run.targets["hidden"] == pytest.approx(float(np.mean(kernel == 0)))
    assert 0.3 < run.targets["hidden"] <= 0.5


def test_the_same_seed_gives_the_same_weights(loaded: Load) -> None:
    step = {"macs": 0.5, "schedule": {"kind": "constant", "epochs": 1}}

    first, second = (cut(loaded(seed=5), **step).model.get_weights() for _ in range(2))

    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def narrow() -> Any:
    """A convolution in four groups between two others, with slopes: axes that will be one long."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(8, 3, name="one")], name="narrow")
    for each in (layers.PReLU(shared_axes=[1, 2]), layers.Conv2D(32, 3, groups=4, name="two"), layers.ReLU()):
        model.add(each)
    for each in (layers.Conv2D(16, 3, name="three"), layers.Flatten(), layers.Dense(4, activation="softmax")):
        model.add(each)
    return model


def test_rounds_keep_their_plan_when_a_group_of_a_convolution_is_left_with_one_channel(loaded: Load) -> None:
    """Traced anew, that convolution would look like a depthwise one, and other channels would seem coupled."""
    schedule = {"kind": "iterative", "cycles": 2, "epochs_per_cycle": 1}
    step = CHANNEL | {"sparsity": 0.85, "channel_multiple": 1, "schedule": schedule}
    run = loaded(narrow(), steps=[step])
    before = num_macs(run.model)

    asked = run.context.recipe.steps[0]
    assert isinstance(asked, PruneChannels)
    said = prune_channels(run, asked, "prune", lambda _: None)

    kernels = [run.model.get_layer(name).kernel.shape for name in ("one", "two", "three")]
    assert [tuple(shape[-2:]) for shape in kernels] == [(1, 4), (1, 4), (4, 2)]
    assert f"{1 - num_macs(run.model) / before:.1%} of the multiply-accumulates" in said


def test_layers_alone_say_what_goes(loaded: Load) -> None:
    run = loaded(steps=[CHANNEL | {"layers": {"second": 0.5}}])

    step = run.context.recipe.steps[0]
    assert isinstance(step, PruneChannels)
    prune_channels(run, step, "prune", lambda _: None)

    assert widths(run.model) == (8, 6, 16)
    assert run.groups["first"].spared == "layers does not name it"
