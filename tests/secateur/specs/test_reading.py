"""What is declared of data sets: text and values mean the same, and digests hold only what differs from defaults."""

from typing import Any

import pytest

from secateur.errors import InputShapeMismatch, InvalidRequest, LabelsMismatch, ReadingMismatch
from secateur.reports.summaries import DatasetSummary, ModelSummary, SplitInfo, TensorInfo
from secateur.specs.reading import Reading, check_reading, from_command, from_text
from secateur.specs.scale import MeanDeviation
from secateur.validation.outputs import check_floats
from secateur.validation.samples import check_scale

DATA = DatasetSummary(
    splits={"train": SplitInfo(num_samples=8), "test": SplitInfo(num_samples=8)},
    sample_shape=(4, 4, 3),
    sample_dtype="uint8",
    sample_min=0,
    sample_max=255,
    label_shape=(1,),
    label_dtype="float64",
    label_kind="values",
)
MODEL = ModelSummary(
    name="m", inputs=(TensorInfo(name="x", shape=(None, 3), dtype="float32"),), outputs=(), num_params=0, layers=()
)


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"scale": "1/255", "label": "species", "classes": ("cat", "dog")},
        {"scale": {"mean": [1, 2, 3], "deviation": 2}, "image_size": (96, 64), "test_share": 0.3, "seed": 7},
        {"features": {"x": {"encoding": "raw", "shape": [2]}, "label": {"dtype": "int64"}}},
    ],
)
def test_a_reading_comes_back_from_its_query_and_from_what_is_stored(declared: dict[str, Any]) -> None:
    reading = Reading.model_validate(declared)

    assert from_text(reading.query()) == reading
    assert Reading.model_validate(reading.declared()) == reading


def test_a_declared_default_is_the_same_data_set_as_an_undeclared_one() -> None:
    """Also when a later version has more that can be declared: old digests must go on holding."""
    assert Reading(label="label", test_share=0.2).digest() == Reading().digest()
    assert Reading().declared() == {}
    assert Reading(label="kind").digest() != Reading().digest()


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ({"image_size": "large"}, "image_size"),
        ({"image_size": "9x9x9"}, "image_size"),
        ({"features": "{"}, "features"),
        ({"features": '{"x": {"dtype": "text"}}'}, "features.x.dtype"),
        ({"scale": "1/7"}, "scale"),
        ({"scale": '{"mean": [1, 2], "deviation": [1, 2, 3]}'}, "scale"),
        ({"scale": '{"mean": 0, "deviation": 0}'}, "scale.deviation"),
        ({"test_share": "2"}, "test_share"),
        ({"lable": "species"}, "lable"),
    ],
)
def test_what_cannot_be_understood_is_named(text: dict[str, str], field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        from_text(text)

    assert any(error.field.startswith(field) for error in caught.value.errors)


def test_a_command_line_declares_the_same() -> None:
    assert from_command("1/255", ["image-size=8x8", "classes=a, b"]) == Reading(
        scale="1/255", image_size=(8, 8), classes=("a", "b")
    )


def test_what_means_nothing_for_a_format_is_refused_by_name() -> None:
    with pytest.raises(ReadingMismatch, match=r"image_size.*'csv'"):
        check_reading(Reading(image_size=(8, 8)), "csv")


@pytest.mark.parametrize("mean", [5.0, (5.0,), (1.0, 2.0, 3.0)])
def test_a_scale_for_one_or_all_channels_fits(mean: Any) -> None:
    check_scale(MeanDeviation(mean=mean, deviation=2.0), MODEL, DATA)


def test_a_scale_for_other_channels_is_refused_before_training() -> None:
    with pytest.raises(InputShapeMismatch, match="2 channels"):
        check_scale(MeanDeviation(mean=(1.0, 2.0), deviation=2.0), MODEL, DATA)


def test_floats_for_a_model_that_tells_classes_apart_are_a_question() -> None:
    """Trained on, they would turn a classifier into a regression without a word."""
    with pytest.raises(LabelsMismatch, match=r"float64.*binary_crossentropy") as caught:
        check_floats(MODEL.model_copy(update={"loss": "binary_crossentropy"}), DATA)

    assert "labels=classes" in caught.value.suggestions[0]
    check_floats(MODEL.model_copy(update={"loss": "mean_squared_error"}), DATA)
