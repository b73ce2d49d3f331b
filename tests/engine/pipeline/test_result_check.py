"""Results that are useless, or that lost what a pooled score hides: refused, or said first."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from secateur.errors import ClassOrderMismatch, ResultAtChance
from tests.engine.pipeline.test_compress import compressed

ONE_SHOT = {"kind": "prune", "sparsity": 0.97, "schedule": {"kind": "one_shot"}, "criterion": "random"}
REFUSED = ONE_SHOT | {"reconstruct": False}


def test_a_result_that_guesses_is_refused_with_the_next_step(model_file: Path, data_file: Path, tmp_path: Path) -> None:
    with pytest.raises(ResultAtChance) as caught:
        compressed(model_file, data_file, tmp_path, steps=[REFUSED])

    assert "finetune" in caught.value.suggestions[0]
    assert not (tmp_path / "model.tflite").exists()


def test_it_is_handed_out_on_request_and_the_report_says_what_to_change(
    model_file: Path, data_file: Path, tmp_path: Path
) -> None:
    report, _ = compressed(model_file, data_file, tmp_path, steps=[REFUSED], on_chance_result="continue")

    assert any("finetune" in each for each in report.suggestions)
    assert (tmp_path / "model.tflite").exists()


def test_a_loss_of_the_number_format_is_named(
    model_file: Path, data_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The Keras model is right and the file is not: no fine-tuning helps."""
    from engine.export import export

    whole = export.converted

    def broken(model: Any, scheme: Any, calibration: Any) -> Any:
        if scheme == "none":
            return whole(model, scheme, calibration)
        other = keras.models.clone_model(model)
        return whole(other, scheme, calibration)

    monkeypatch.setattr(export, "converted", broken)
    steps = [{"kind": "quantize", "scheme": "int8", "calibration_samples": 8}]

    with pytest.raises(ResultAtChance) as caught:
        compressed(model_file, data_file, tmp_path, steps=steps)

    assert caught.value.suggestions[0] == 'The number format loses most: use scheme "dynamic".'


def test_labels_in_another_order_are_asked_about_before_training(
    model_file: Path, arrays: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """Class folders are numbered by the alphabet; training would teach the wrong names."""
    order = np.array([1, 2, 0, 3])
    moved = {key: order[value] if key.startswith("y") else value for key, value in arrays.items()}
    np.savez(tmp_path / "moved.npz", **moved)

    with pytest.raises(ClassOrderMismatch) as caught:
        compressed(model_file, tmp_path / "moved.npz", tmp_path, steps=[ONE_SHOT])

    assert caught.value.suggestions[0].endswith("0 to 2, 1 to 0, 2 to 1.")
