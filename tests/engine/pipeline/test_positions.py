"""Models with an output for each pixel or time step, from upload to int8."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from engine.objectives import metrics
from secateur.errors import LabelsMismatch
from tests.engine.pipeline.test_compress import compressed

L = keras.layers
RNG = np.random.default_rng(0)
GRADUAL = {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "polynomial", "epochs": 1}}
CHANNELS = {"kind": "prune", "structure": "channel", "macs": 0.6}
INT8 = {"kind": "quantize", "scheme": "int8"}
Made = tuple[Any, Any, Any, str]


def segmentation() -> Made:
    """A small U-Net that tells three brightnesses apart, pixel by pixel."""
    x = RNG.random((240, 8, 8, 1), np.float32)
    y = np.digitize(x[..., 0], [0.33, 0.66]).astype("uint8")
    inputs = keras.Input((8, 8, 1))
    top = L.Conv2D(32, 3, padding="same", activation="relu")(inputs)
    low = L.Conv2D(32, 3, padding="same", activation="relu")(L.MaxPool2D()(top))
    both = L.Concatenate()([top, L.Conv2DTranspose(32, 2, strides=2, activation="relu")(low)])
    return keras.Model(inputs, L.Conv2D(3, 1, activation="softmax")(both)), x, y, "sparse_categorical_crossentropy"


def tagging() -> Made:
    """Is the sum of the last two steps positive? One answer for each step."""
    x = RNG.normal(size=(240, 6, 2)).astype("float32")
    y = (x[..., 0] + np.roll(x[..., 0], 1, axis=1) > 0).astype("int64")
    inputs = keras.Input((6, 2))
    return (
        keras.Model(inputs, L.Dense(2)(L.LSTM(8, return_sequences=True)(inputs))),
        x,
        y,
        "sparse_categorical_crossentropy",
    )


def super_resolution() -> Made:
    y = np.clip(RNG.random((240, 4, 4, 1)).repeat(2, 1).repeat(2, 2), 0, 1).astype("float32")
    x = y[:, ::2, ::2]
    inputs = keras.Input((4, 4, 1))
    wide = L.Conv2D(8, 3, padding="same", activation="relu")(L.UpSampling2D()(inputs))
    return keras.Model(inputs, L.Conv2D(1, 3, padding="same")(wide)), x, y, "mean_squared_error"


def saved(build: Callable[[], Made], folder: Path) -> tuple[Path, Path, Made]:
    keras.utils.set_random_seed(1)
    model, x, y, loss = made = build()
    logits = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if build is tagging else loss
    model.compile(keras.optimizers.Adam(0.02), logits)
    model.fit(x, y, epochs=25, batch_size=32, verbose=0)
    model.save(folder / "m.keras")
    np.savez(folder / "d.npz", x_train=x[:180], y_train=y[:180], x_test=x[180:], y_test=y[180:])
    return folder / "m.keras", folder / "d.npz", made


def outputs(content: bytes, x: Any) -> Any:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (found,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for sample in x:
        interpreter.set_tensor(given["index"], sample[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(found["index"])[0].copy())
    return np.array(rows)


CASES = [
    pytest.param(
        segmentation, [{"kind": "prune", "structure": "channel", "sparsity": 0.25}, INT8], "mean_iou", id="pixels"
    ),
    pytest.param(tagging, [{"kind": "finetune", "epochs": 1}], "accuracy", id="time steps"),
    pytest.param(super_resolution, [GRADUAL, INT8], "psnr", id="values of pixels"),
]


@pytest.mark.parametrize(("build", "steps", "metric"), CASES)
def test_every_position_is_trained_evaluated_and_quantised(
    build: Callable[[], Made], steps: list[Any], metric: Any, tmp_path: Path
) -> None:
    """Labels of pixels were refused with advice that was wrong; the score is computed here again, from the file."""
    model, data, (_, x, y, _) = saved(build, tmp_path)
    objective = {"metric": "psnr"} if metric == "psnr" else {}

    report, _ = compressed(model, data, tmp_path, scale="none", steps=steps, objective=objective)

    found, truth = outputs((tmp_path / "model.tflite").read_bytes(), x[180:]), y[180:]
    if metric == "psnr":
        errors = np.square(found - truth).reshape(60, -1).mean(axis=1)
        expected = (10 * np.log10(1 / errors)).mean()
    else:
        hits, classes = found.argmax(axis=-1) == truth, range(found.shape[-1])
        unions = [((found.argmax(-1) == c) | (truth == c)).sum() for c in classes]
        shared = [((found.argmax(-1) == c) & (truth == c)).sum() for c in classes]
        expected = hits.mean() if metric == "accuracy" else np.mean(np.array(shared) / unions)
    assert report.result.quality.metric == metric
    assert report.result.quality.score.value == pytest.approx(expected, rel=1e-3)
    assert report.baseline.quality.score.value > (10 if metric == "psnr" else 0.8)


def test_labels_of_another_size_are_refused_with_the_shapes_that_fit(tmp_path: Path) -> None:
    model, data, (_, x, y, _) = saved(segmentation, tmp_path)
    np.savez(data, x_train=x[:180], y_train=y[:180, :4], x_test=x[180:], y_test=y[180:, :4])

    with pytest.raises(LabelsMismatch) as refused:
        compressed(model, data, tmp_path, scale="none", steps=[INT8])

    assert "(8, 8)" in refused.value.suggestions[0]


def test_mean_iou_and_psnr_by_hand() -> None:
    truths, decided = np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])

    assert metrics.value("mean_iou", truths, decided, decided) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert metrics.value("psnr", np.array([[0.0, 1.0]]), decided, np.array([[0.1, 0.9]])) == pytest.approx(20)
