from typing import Any

import pytest

from secateur.errors import InputShapeMismatch, LabelsMismatch, LayerNotPrunable, NothingToPrune, UnknownLayer
from secateur.reports.summaries import DatasetSummary, LayerInfo, ModelSummary, SampleInfo, SplitInfo, TensorInfo
from secateur.specs.spec import Recipe
from secateur.validation.fit import check_fit

MODEL = ModelSummary(
    name="m",
    inputs=(TensorInfo(name="image", shape=(None, 28, 28, 1), dtype="float32"),),
    outputs=(TensorInfo(name="out", shape=(None, 10), dtype="float32"),),
    num_params=100,
    layers=(
        LayerInfo(name="conv_1", class_name="Conv2D", num_params=50, kernel_shape=(3, 3, 1, 4), prunable=True),
        LayerInfo(name="out", class_name="Dense", num_params=50, kernel_shape=(5, 10), reason="it makes the output"),
    ),
)
DATA = DatasetSummary(
    splits={"train": SplitInfo(num_samples=10), "test": SplitInfo(num_samples=5)},
    sample_shape=(28, 28),
    sample_dtype="uint8",
    sample_min=0,
    sample_max=255,
    label_shape=(),
    label_dtype="int64",
    label_kind="classes",
    num_classes=10,
)


def check(prune: dict[str, Any] | None = None, model: dict[str, Any] | None = None, data: dict[str, Any] | None = None):
    recipe = Recipe.model_validate({"steps": [{"kind": "prune", "sparsity": 0.5, **(prune or {})}]})
    check_fit(recipe, MODEL.model_copy(update=model or {}), DATA.model_copy(update=data or {}))


def test_what_fits_passes() -> None:
    check()


@pytest.mark.parametrize("field", ["layers", "skip_layers"])
def test_an_unknown_layer_is_named_with_layers_of_a_similar_name(field: str) -> None:
    with pytest.raises(UnknownLayer) as caught:
        check({field: {"conv1": 0.5} if field == "layers" else ["conv1"]})

    assert caught.value.errors[0].field == f"steps.0.{field}"
    assert "conv_1" in caught.value.suggestions[0]


def test_a_layer_that_cannot_be_pruned_can_be_skipped_but_not_cut() -> None:
    check({"skip_layers": ["out"]})

    with pytest.raises(LayerNotPrunable, match="makes the output"):
        check({"layers": {"out": 0.5}})


@pytest.mark.parametrize("prune", [{"skip_layers": ["conv_1"]}, {"layers": {"conv_1": 0.0}}])
def test_a_step_that_would_cut_nothing_is_refused(prune: dict[str, Any]) -> None:
    """Silently pruning nothing is the complaint that this service exists to end."""
    with pytest.raises(NothingToPrune):
        check(prune)


@pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (28, 28, 1, 1)])
def test_an_axis_of_one_at_the_end_may_be_missing_or_too_many(shape: tuple[int, ...]) -> None:
    check(data={"sample_shape": shape})


@pytest.mark.parametrize("shape", [(14, 56), (28, 28, 3), (784,), (27, 28)])
def test_samples_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputShapeMismatch, match=r"\(28, 28, 1\)"):
        check(data={"sample_shape": shape})


def test_labels_beyond_the_output_are_refused() -> None:
    with pytest.raises(LabelsMismatch, match="highest label is 10"):
        check(data={"num_classes": 11})


def test_a_single_unit_tells_two_classes_apart() -> None:
    sigmoid = {"outputs": (TensorInfo(name="out", shape=(None, 1), dtype="float32"),)}

    check(model=sigmoid, data={"num_classes": 2})
    with pytest.raises(LabelsMismatch):
        check(model=sigmoid, data={"num_classes": 3})


@pytest.mark.parametrize("field", ["inputs", "outputs"])
def test_several_inputs_or_outputs_are_refused_by_number(field: str) -> None:
    with pytest.raises((InputShapeMismatch, LabelsMismatch), match="2"):
        check(model={field: getattr(MODEL, field) * 2})


SIDES = {
    "inputs": (
        TensorInfo(name="left", shape=(None, 8), dtype="float32"),
        TensorInfo(name="right", shape=(None, 8), dtype="float32"),
    )
}
STORED = {
    name: SampleInfo(shape=shape, dtype="uint8", min=0, max=255) for name, shape in (("right", (8,)), ("left", (2, 4)))
}


def test_samples_go_to_the_inputs_of_their_names() -> None:
    check(model=SIDES, data={"inputs": STORED})


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({}, "inputs, 'left', 'right'; the data set has samples without"),
        ({"left": STORED["left"]}, "the data set has no samples for the input 'right'"),
        (STORED | {"up": STORED["left"]}, "the model has no input 'up'"),
        (STORED | {"right": SampleInfo(shape=(7,), dtype="uint8", min=0, max=9)}, r"'right' have shape \(7\)"),
    ],
    ids=["no names", "an input without samples", "samples without an input", "another shape"],
)
def test_an_input_and_its_samples_must_meet(inputs: dict[str, SampleInfo], told: str) -> None:
    with pytest.raises(InputShapeMismatch, match=told):
        check(model=SIDES, data={"inputs": inputs})


def test_a_named_array_goes_to_the_single_input_of_that_name_alone() -> None:
    check(data={"inputs": {"image": SampleInfo(shape=(28, 28), dtype="uint8", min=0, max=255)}})

    with pytest.raises(InputShapeMismatch, match="no input 'picture'"):
        check(data={"inputs": {"picture": SampleInfo(shape=(28, 28), dtype="uint8", min=0, max=255)}})


def test_scales_by_input_must_name_inputs() -> None:
    recipe = Recipe.model_validate(
        {"steps": [{"kind": "quantize"}], "data": {"scale": {"left": "1/255", "up": {"mean": 1, "deviation": 2}}}}
    )

    with pytest.raises(InputShapeMismatch, match="'up'") as caught:
        check_fit(recipe, MODEL.model_copy(update=SIDES), DATA.model_copy(update={"inputs": STORED}))

    assert caught.value.errors[0].field == "data.scale.up"
