"""A model is run and converted once at its upload, so that no job fails for it later."""

from pathlib import Path

import keras
import pytest

from engine.inspection.inspect import inspect_model
from secateur.errors import ConversionFailed, ModelUnreadable
from secateur.specs.spec import Recipe
from secateur.validation.conversion import check_convertible

L = keras.layers
INT8 = Recipe.model_validate({"steps": [{"kind": "quantize", "scheme": "int8"}]})
DYNAMIC = Recipe.model_validate({"steps": [{"kind": "quantize", "scheme": "dynamic"}]})


def test_the_operations_of_the_file_are_counted(tmp_path: Path) -> None:
    keras.Sequential([L.Input((None, None, 1)), L.Conv2D(2, 3), L.GlobalMaxPooling2D()]).save(tmp_path / "m.keras")

    summary = inspect_model(tmp_path / "m.keras")

    assert summary.operations["CONV_2D"] == 1
    assert summary.not_convertible == {}
    check_convertible(INT8, summary)


def test_a_model_without_a_file_is_refused_before_a_job_is_queued(tmp_path: Path) -> None:
    signal = keras.Input((8,))
    keras.Model(signal, L.Dense(2)(keras.ops.erfinv(signal))).save(tmp_path / "m.keras")

    summary = inspect_model(tmp_path / "m.keras")

    assert "cannot express" in summary.not_convertible["none"]
    with pytest.raises(ConversionFailed, match="cannot express"):
        check_convertible(DYNAMIC, summary)


def test_int8_of_a_long_sequence_is_refused_by_its_field(tmp_path: Path) -> None:
    keras.Sequential([L.Input((400, 2)), L.GRU(3), L.Dense(2)]).save(tmp_path / "m.keras")

    summary = inspect_model(tmp_path / "m.keras")

    check_convertible(DYNAMIC, summary)
    with pytest.raises(ConversionFailed, match="400 time steps") as refused:
        check_convertible(INT8, summary)
    assert refused.value.errors[0].field == "steps.0.scheme"


def test_a_model_that_keras_cannot_run_is_refused(tmp_path: Path) -> None:
    """It loads: only two samples show that a reshape has the batch size in it."""
    inputs = keras.Input((2,))
    keras.Model(inputs, L.Dense(2)(keras.ops.reshape(inputs, (3, 2)))).save(tmp_path / "m.keras")

    with pytest.raises(ModelUnreadable, match="cannot run it"):
        inspect_model(tmp_path / "m.keras")
