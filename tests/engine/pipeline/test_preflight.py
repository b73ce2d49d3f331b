"""What is refused before anything is trained, because only the loaded model can tell: steps that take channels."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from engine.importers.load_model import load_model
from engine.pipeline.preflight import check_steps
from engine.run.context import Run
from engine.run.load import load
from secateur.errors import (
    InputShapeMismatch,
    LayerNotPrunable,
    NothingToPrune,
    SecateurError,
    StructureMismatch,
    TargetUnreachable,
    UploadRefused,
)
from secateur.protocol.progress import StepFinished, StepStarted
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe
from tests.engine.pipeline.test_compress import compressed

CHANNEL: dict[str, Any] = {"kind": "prune", "structure": "channel", "channel_multiple": 2}
TRAIN = {"kind": "finetune", "epochs": 1}
BLOCKS = {"kind": "prune", "structure": "block", "block_shape": [8, 1], "sparsity": 0.5, "skip_layers": ["conv"]}
PAIRS = {"kind": "prune", "structure": "n_m", "n_m": [2, 4], "skip_layers": ["conv"]}


def run_of(steps: list[dict[str, Any]], model: Path, data: Path) -> Run:
    recipe = Recipe.model_validate({"steps": steps, "on_chance_baseline": "continue"})
    return load(recipe, model=model, dataset=data, reading=Reading(scale="1/255"))


@pytest.mark.parametrize(
    ("error", "steps", "field", "advice"),
    [
        pytest.param(
            TargetUnreachable, [TRAIN, {**CHANNEL, "macs": 0.97}], "steps.1.macs", "Ask for less", id="out of reach"
        ),
        pytest.param(
            TargetUnreachable,
            [TRAIN, {**CHANNEL, "params": 0.5, "max_layer_sparsity": 0.25}],
            "steps.1.params",
            "Raise max_layer_sparsity",
            id="the ceiling is in the way",
        ),
        pytest.param(
            StructureMismatch,
            [{**CHANNEL, "sparsity": 0.4}, TRAIN, BLOCKS],
            "steps.2.structure",
            '"skip_layers": ["conv", "hidden"]',
            id="32 units keep 20 (of 19.2), and blocks of 8 do not divide them",
        ),
        pytest.param(
            NothingToPrune,
            [TRAIN, {**CHANNEL, "sparsity": 0.01}],
            "steps.1",
            "Raise sparsity",
            id="less than a channel",
        ),
        pytest.param(
            StructureMismatch,
            [PAIRS, {**CHANNEL, "sparsity": 0.5}],
            "steps.1.structure",
            "first",
            id="channels after pairs",
        ),
    ],
)
def test_steps_that_cannot_be_served_are_refused_with_their_field(
    error: type[SecateurError], steps: list[dict[str, Any]], field: str, advice: str, model_file: Path, data_file: Path
) -> None:
    with pytest.raises(error) as caught:
        check_steps(run_of(steps, model_file, data_file))

    assert caught.value.errors[0].field == field
    assert any(advice in each for each in caught.value.suggestions)


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([{**CHANNEL, "sparsity": 0.5}, BLOCKS], id="16 units are two blocks of 8"),
        pytest.param([{**CHANNEL, "sparsity": 0.4}, {**CHANNEL, "sparsity": 0.2}, BLOCKS], id="20, then 16"),
        pytest.param([{"kind": "prune", "toolkit": "tfmot", "sparsity": 0.5}, {**CHANNEL, "macs": 0.2}], id="tfmot"),
        pytest.param([{**CHANNEL, "latency": 0.99}], id="latency is asked in the step itself, which comes first"),
    ],
)
def test_steps_that_fit_together_pass_and_leave_the_model_alone(
    steps: list[dict[str, Any]], model_file: Path, data_file: Path
) -> None:
    run = run_of(steps, model_file, data_file)

    check_steps(run)

    assert run.model.get_layer("hidden").units == 32
    assert run.masks.names == ("conv", "hidden")


def test_the_job_fails_in_its_first_step_and_not_after_training(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    events: list[Any] = []

    with pytest.raises(TargetUnreachable):
        compressed(model_file, data_file, tmp_path, steps=[TRAIN, {**CHANNEL, "macs": 0.97}])

    assert not any(isinstance(event, StepStarted | StepFinished) and event.step == "finetune" for event in events)


def test_what_only_a_second_cut_cannot_reach_names_its_field_too(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    steps = [{**CHANNEL, "sparsity": 0.9}, {**CHANNEL, "sparsity": 0.5, "channel_multiple": 4}]

    with pytest.raises(NothingToPrune) as caught:
        compressed(model_file, data_file, tmp_path, steps=steps)

    assert caught.value.errors[0].field == "steps.1"


def save(path: Path, model: Any) -> Path:
    model.save(path)
    return path


def two_layers(**hidden: Any) -> Any:
    inputs = keras.Input((8, 8))
    x = keras.layers.Dense(16, "relu", name="hidden", **hidden)(keras.layers.Flatten()(inputs))
    return keras.Model(inputs, keras.layers.Dense(4, name="classes")(x))


@pytest.mark.parametrize(
    ("error", "step", "told"),
    [
        pytest.param(NothingToPrune, {"channel_multiple": 16}, "channel_multiple below 16", id="a multiple of all"),
        pytest.param(NothingToPrune, {"skip_layers": ["hidden"]}, "skip_layers", id="all skipped"),
        pytest.param(LayerNotPrunable, {"layers": {"classes": 0.5}}, "it makes an output of the model", id="a reader"),
    ],
)
def test_what_a_summary_can_tell_is_refused_while_loading(
    error: type[SecateurError], step: dict[str, Any], told: str, data_file: Path, tmp_path: Path
) -> None:
    path = save(tmp_path / "m.keras", two_layers())

    with pytest.raises(error) as caught:
        run_of([{**CHANNEL, "sparsity": 0.5, **step}], path, data_file)

    assert any(told in each for each in (caught.value.detail, *caught.value.suggestions))


def test_two_inputs_are_one_too_many_for_a_data_set(data_file: Path, tmp_path: Path) -> None:
    one, other = keras.Input((8, 8)), keras.Input((8, 8))
    x = keras.layers.Dense(16)(keras.layers.Flatten()(keras.layers.Add()([one, other])))
    path = save(tmp_path / "m.keras", keras.Model([one, other], keras.layers.Dense(4)(x)))

    with pytest.raises(InputShapeMismatch):
        run_of([{**CHANNEL, "sparsity": 0.5}], path, data_file)


@keras.saving.register_keras_serializable("tests")
class InCode(keras.Model):  # type: ignore[misc]
    """A network that only its own code knows."""

    def __init__(self, **rest: Any) -> None:
        super().__init__(**rest)
        self.hidden, self.classes = keras.layers.Dense(16), keras.layers.Dense(4)

    def call(self, inputs: Any) -> Any:
        return self.classes(self.hidden(inputs))


def test_a_model_without_a_graph_is_refused_before_any_step_is_looked_at(tmp_path: Path) -> None:
    """Its file names a class that no one but its author has."""
    model = InCode()
    model(np.zeros((1, 8), "f4"))
    path = save(tmp_path / "m.keras", model)

    with pytest.raises(UploadRefused) as caught:
        load_model(path)

    assert "tests>InCode" in caught.value.detail or "graph" in caught.value.detail
