"""TFMOT behind the bridge: what was asked for is delivered, what it refuses stays dense and is named."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pipeline.compress import compress
from engine.pruning.schedule import MAX_UPDATES, MIN_UPDATES
from engine.run.context import Run
from engine.run.load import load
from engine.tfmot import gradual
from engine.training.progress import Advance
from secateur.errors import BridgeRefused, LayerNotPrunable, NothingToPrune, TrainingDiverged
from secateur.reports.report import Report
from secateur.specs.pruning import Prune
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe
from tests.engine.conftest import make_model

layers = keras.layers


def prune_step(**fields: Any) -> dict[str, Any]:
    return {
        "kind": "prune",
        "toolkit": "tfmot",
        "sparsity": 0.8,
        "schedule": {"kind": "polynomial", "epochs": 1},
    } | fields


@pytest.fixture
def make_job(data_file: Path, tmp_path: Path) -> Callable[..., tuple[Run, Prune]]:
    """A job on the lit bars, 576 of whose samples are trained on, and its only step."""

    def make(model: Any = None, *, training: dict[str, Any] | None = None, **fields: Any) -> tuple[Run, Prune]:
        path = tmp_path / "model.keras"
        (make_model() if model is None else model).save(path)
        recipe = Recipe.model_validate(
            {"steps": [prune_step(**fields)], "training": training or {}, "on_chance_baseline": "continue"}
        )
        step = recipe.steps[0]
        assert isinstance(step, Prune)
        return load(recipe, model=path, dataset=data_file, reading=Reading(scale="1/255")), step

    return make


def mixed() -> Any:
    """Layers that TFMOT knows, layers that it does not, and a layer that is called twice."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(layers.Rescaling(2.0)(image))
    x = layers.PReLU(shared_axes=[1, 2])(layers.BatchNormalization(name="norm")(x))
    x = layers.Flatten()(x + layers.SeparableConv2D(8, 3, padding="same", name="separable")(x))
    x = layers.Dense(32, activation="hard_silu", name="hidden")(x)
    twice = layers.Dense(32, activation="relu", name="twice")
    inner = keras.Sequential([keras.Input((32,)), layers.Dense(32, activation="relu", name="own")], name="inner")
    fixed = keras.Sequential([keras.Input((32,)), layers.Dense(32, activation="relu", name="own")], name="fixed")
    x = fixed(inner(twice(twice(x))), training=False)
    x = layers.EinsumDense("ab,bc->ac", output_shape=32, activation="relu", name="einsum")(x)
    model = keras.Model(image, layers.Dense(4, activation="softmax", name="classes")(x), name="mixed")
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy")
    return model


def prune_with_tfmot(run: Run, step: Prune) -> tuple[dict[str, float], list[Advance]]:
    told: list[Advance] = []
    return gradual.prune(run, step, "prune", told.append), told


def assert_delivered(run: Run, targets: dict[str, float]) -> None:
    for name, target in targets.items():
        weights = run.masks.weights(name)
        assert np.mean(weights == 0) == pytest.approx(target, abs=0.51 / weights.size), name


@given(st.integers(1, 100_000), st.integers(1, 3))
def test_the_last_change_falls_on_the_last_step(end: int, calls: int) -> None:
    """By TFMOT's own rule: masks change where (step - begin) % frequency is 0."""
    planned = gradual.window(end, calls=calls)

    assert planned.end == end * calls
    assert (planned.end - planned.begin) % planned.frequency == 0
    changes = 1 + (planned.end - planned.begin) // planned.frequency
    assert min(end, MIN_UPDATES) <= changes <= MAX_UPDATES
    assert planned.begin >= calls


def test_calls_are_counted_as_tfmot_counts_steps() -> None:
    """A layer that is called twice counts two steps in each; under training=False it counts none."""
    model = mixed()

    counted = gradual.training_calls(model)

    assert counted[id(model.get_layer("conv"))] == 1
    assert counted[id(model.get_layer("twice"))] == 2
    assert counted[id(model.get_layer("inner").get_layer("own"))] == 1
    assert counted[id(model.get_layer("fixed").get_layer("own"))] == 0


@pytest.mark.parametrize(
    ("schedule", "batch_size", "num_steps"),
    [("polynomial", 58, 10), ("polynomial", 9, 64), ("polynomial", 576, 1), ("constant", 58, 10)],
)
def test_what_was_asked_for_is_delivered_after_any_number_of_steps(
    make_job: Callable[..., tuple[Run, Prune]], schedule: str, batch_size: int, num_steps: int
) -> None:
    """With TFMOT's own frequency of 100, each of these trainings would end with no zero at all."""
    run, step = make_job(training={"batch_size": batch_size}, schedule={"kind": schedule, "epochs": 1})
    assert -(-len(run.context.data.train) // batch_size) == num_steps

    targets, told = prune_with_tfmot(run, step)

    assert targets == {"conv": 0.8, "hidden": 0.8}
    assert_delivered(run, targets)
    assert told[-1].progress == 1.0
    assert [(point.step, point.epoch) for point in run.history] == [("prune", 1)]
    assert run.history[0].sparsity == pytest.approx(run.masks.sparsity())


def test_weights_that_tie_are_cut_all_the_same(make_job: Callable[..., tuple[Run, Prune]]) -> None:
    """TFMOT keeps whatever equals its threshold: of a layer of equal weights, all."""
    model = make_model()
    hidden = model.get_layer("hidden")
    hidden.kernel.assign(np.full(hidden.kernel.shape, 0.01, np.float32))
    hidden.trainable = False
    run, step = make_job(model, training={"batch_size": 576})

    targets, _ = prune_with_tfmot(run, step)

    assert_delivered(run, targets)


def test_single_layers_may_have_their_own_sparsity(make_job: Callable[..., tuple[Run, Prune]]) -> None:
    """Also one that lies below where the ramp begins."""
    schedule = {"kind": "polynomial", "epochs": 1, "initial_sparsity": 0.5}
    run, step = make_job(layers={"conv": 0.25}, schedule=schedule)
    targets, _ = prune_with_tfmot(run, step)
    assert_delivered(run, targets)
    assert targets == {"conv": 0.25, "hidden": 0.8}


def test_blocks_lie_along_the_inputs(make_job: Callable[..., tuple[Run, Prune]]) -> None:
    """Ours are units x inputs, as LiteRT stores Dense kernels; TFMOT sees the transpose of that."""
    run, step = make_job(structure="block", block_shape=[2, 4], sparsity=0.75, skip_layers=["conv"])

    targets, _ = prune_with_tfmot(run, step)

    units_by_inputs = run.masks.mask("hidden").T
    blocks = units_by_inputs.reshape(32 // 2, 2, 128 // 4, 4).transpose(0, 2, 1, 3).reshape(-1, 8)
    assert np.all(blocks.all(axis=1) | ~blocks.any(axis=1))
    assert 1 - blocks.any(axis=1).mean() == pytest.approx(0.75)
    assert run.masks.mask("conv").all(), "skipped"
    assert_delivered(run, targets)


def test_n_of_m_stay_along_the_input_features(make_job: Callable[..., tuple[Run, Prune]]) -> None:
    """One of four stays: TFMOT counts the zeros instead, three."""
    run, step = make_job(mixed(), structure="n_m", n_m=[1, 4], sparsity=None, skip_layers=["conv"])

    targets, _ = prune_with_tfmot(run, step)

    assert set(targets) == {"separable", "hidden", "twice", "inner/own"}
    for name in targets:
        features_last = np.moveaxis(run.masks.mask(name), -2, -1)
        assert np.all(features_last.reshape(-1, 4).sum(axis=1) == 1), name


def test_what_tfmot_refuses_stays_dense_and_is_named(make_job: Callable[..., tuple[Run, Prune]]) -> None:
    """One layer that TFMOT does not know fails the whole model when it is used by hand."""
    run, step = make_job(mixed())
    statistics = np.array(run.model.get_layer("norm").moving_mean)

    targets, _ = prune_with_tfmot(run, step)

    assert set(targets) == {"conv", "separable", "hidden", "twice", "inner/own"}
    assert_delivered(run, targets)
    assert run.masks.mask("einsum").all()
    assert any("einsum (TFMOT does not know EinsumDense layers)" in note for note in run.notes)
    assert any("fixed/own (it is only called with training=False" in note for note in run.notes)
    assert not np.allclose(statistics, run.model.get_layer("norm").moving_mean), "statistics come back too"


def test_what_was_cut_before_stays_cut(make_job: Callable[..., tuple[Run, Prune]]) -> None:
    """TFMOT by hand falls back from 80 % to 50 % when it is asked for 50 % afterwards."""
    run, step = make_job(sparsity=0.5)
    rng = np.random.default_rng(0)
    for name in run.masks.names:
        weights = run.masks.weights(name)
        run.masks.set(name, weights * (rng.uniform(size=weights.shape) < 0.3))
    before = {name: run.masks.mask(name) for name in run.masks.names}

    prune_with_tfmot(run, step)

    for name, mask in before.items():
        assert not np.any(run.masks.mask(name) & ~mask)
        np.testing.assert_array_equal(run.masks.mask(name), mask, err_msg="0.5 is less than what is cut already")


def _one_layer(layer: Any) -> Any:
    head = [layers.Flatten(), layers.Dense(4, activation="softmax", name="classes")]
    return keras.Sequential([keras.Input((8, 8, 1)), layers.Flatten(), layer, *head])


@pytest.mark.parametrize(
    ("model", "fields", "error", "said"),
    [
        (mixed, {"layers": {"einsum": 0.5}}, LayerNotPrunable, "'einsum'"),
        (lambda: _one_layer(layers.EinsumDense("ab,bc->ac", output_shape=8, name="e")), {}, NothingToPrune, "e: TFMOT"),
        (lambda: _one_layer(layers.Dense(8, activation="glu", name="gated")), {}, BridgeRefused, "'gated' (Dense)"),
    ],
    ids=["named", "nothing left", "no twin"],
)
def test_what_cannot_work_is_refused_before_training(
    model: Callable[[], Any], fields: dict[str, Any], error: type[Exception], said: str
) -> None:
    """The check needs a model and a step, nothing else, and names the layer."""
    step = Prune.model_validate(prune_step(**fields))

    with pytest.raises(error) as refusal:
        gradual.check(model(), step, field="steps.0.layers")

    assert said in refusal.value.detail  # type: ignore[attr-defined]
    assert all(named.field == "steps.0.layers" for named in refusal.value.errors)  # type: ignore[attr-defined]


def test_an_optimizer_that_tf_keras_lacks_is_refused() -> None:
    """The recipe can name another."""
    model = make_model()
    model.compile(optimizer=keras.optimizers.Lamb(), loss="sparse_categorical_crossentropy")
    step = Prune.model_validate(prune_step())

    with pytest.raises(BridgeRefused, match="Lamb"):
        gradual.check(model, step)

    gradual.check(model, step, optimizer="sgd")


@pytest.mark.slow
def test_a_training_that_diverges_says_so(make_job: Callable[..., tuple[Run, Prune]]) -> None:
    """And names the epoch."""
    run, step = make_job(
        training={"optimizer": "sgd"}, schedule={"kind": "polynomial", "epochs": 1, "learning_rate": 1e30}
    )

    with pytest.raises(TrainingDiverged, match="epoch 1 of prune"):
        prune_with_tfmot(run, step)


def test_no_later_process_is_turned_to_keras_2() -> None:
    """TFMOT's import sets a variable that children would inherit."""
    gradual.check(make_model(), Prune.model_validate(prune_step()))

    assert "TF_USE_LEGACY_KERAS" not in os.environ


def test_a_whole_job_delivers_in_the_file(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    """Pruned by TFMOT, checked and exported by us, counted in the .tflite file."""
    recipe = Recipe.model_validate({"steps": [prune_step()]})

    compress(
        recipe, model=model_file, dataset=data_file, reading=Reading(scale="1/255"), out=tmp_path, emit=lambda _: None
    )

    report = Report.model_validate_json((tmp_path / "report.json").read_text())
    rows = {layer.name: layer for layer in report.layers if layer.pruned}
    assert set(rows) == {"conv", "hidden"}
    assert rows["hidden"].tflite_sparsity == pytest.approx(0.8, abs=0.001)
