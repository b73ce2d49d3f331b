"""Files as strangers open them: a standard interpreter, nothing resized, one sample."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from engine.export import export_form, tflite_file
from engine.export.export import export
from secateur.errors import ConversionFailed

L = keras.layers
Array = Any


def opened(content: bytes, x: Array) -> Array:
    """What a file says of samples, one at a time, in an interpreter that knows nothing of us."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (given,), (made,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for sample in x:
        interpreter.set_tensor(given["index"], sample[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(made["index"])[0].copy())
    return np.array(found)


def sequence(*layers: Any, shape: tuple[int | None, ...] = (6, 3)) -> Any:
    return keras.Sequential([L.Input(shape), *layers, L.Dense(2, "softmax")])


RECURRENT: dict[str, Callable[[], Any]] = {
    "lstm": lambda: sequence(L.LSTM(5)),
    "gru": lambda: sequence(L.GRU(5)),
    "gru of keras 2": lambda: sequence(L.GRU(5, reset_after=False)),
    "bidirectional": lambda: sequence(L.Bidirectional(L.LSTM(4))),
    "stacked and masked": lambda: sequence(L.Masking(), L.LSTM(4, return_sequences=True), L.SimpleRNN(4)),
    "unknown length": lambda: sequence(L.LSTM(4), shape=(None, 3)),
    "convolutional": lambda: sequence(L.Reshape((6, 3, 1)), L.ConvLSTM1D(2, 2), L.Flatten()),
}


CASES = [
    pytest.param(
        build, scheme, id=f"{name}-{scheme}", marks=[pytest.mark.slow] if scheme == "none" and name != "lstm" else []
    )
    for name, build in RECURRENT.items()
    for scheme in (("none", "dynamic", "int8") if name == "lstm" else ("none", "int8"))
]
"""int8 takes another way than all other schemes, which are tried on one kind of layer."""


@pytest.mark.parametrize(("build", "scheme"), CASES)
def test_recurrent_models_export(build: Callable[[], Any], scheme: Any, tmp_path: Path) -> None:
    """They ended in MLIR text, and int8 of a loop ends the process that converts it."""
    model, x = build(), np.random.default_rng(0).normal(size=(16, 6, 3)).astype("float32")

    exported = export("result", model, scheme, tmp_path, x)

    expected = model.predict(x, verbose=0)
    assert np.abs(opened((tmp_path / "model.tflite").read_bytes(), x) - expected).max() < (
        0.05 if scheme == "int8" else 0.01
    )
    assert np.abs(exported.runner.predict([x]) - expected).max() < 0.05
    assert "one sample at a time" in exported.notes[-2 if scheme == "int8" else -1]


def test_a_long_sequence_is_not_unrolled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_form, "MAX_UNROLLED_STEPS", 5)

    with pytest.raises(ConversionFailed, match="at most 5") as failed:
        export("result", sequence(L.LSTM(4)), "int8", tmp_path, np.zeros((4, 6, 3), "float32"))

    assert '"dynamic"' in failed.value.suggestions[0]


def test_open_axes_get_the_size_of_the_samples(tmp_path: Path) -> None:
    """A file that keeps them open fails in ``allocate_tensors``: its shape begins as 1 x 1."""
    model = sequence(L.Conv2D(3, 3), L.GlobalMaxPooling2D(), shape=(None, None, 1))
    x = np.random.default_rng(0).random((4, 7, 9, 1), np.float32)

    exported = export("result", model, "int8", tmp_path, x)

    assert np.abs(opened(exported.runner.content, x) - model.predict(x, verbose=0)).max() < 0.05
    assert "7 x 9 x 1" in exported.notes[0]


def test_unlike_columns_of_inputs_and_outputs_survive_int8(tmp_path: Path) -> None:
    """One scale for columns from 1 to 98,021 made the file a constant; one over outputs in other units killed one."""
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(256, 3)) * [1, 100, 1e5] + [0, 50, 3e5]).astype("float32")
    norm = L.Normalization()
    norm.adapt(x)
    model = keras.Sequential([L.Input((3,)), norm, L.Dense(8, "tanh"), L.Dense(2), L.Rescaling([95.0, 0.05])])

    exported = export("result", model, "int8", tmp_path, x)

    expected = model.predict(x, verbose=0)
    errors = np.abs(opened(exported.runner.content, x) - expected).std(axis=0) / expected.std(axis=0)
    assert errors.max() < 0.1
    assert tflite_file.is_quantised(exported.runner.content)
    assert ["The normalisation at the input" in exported.notes[0], "The last operation" in exported.notes[1]] == [
        True
    ] * 2


def test_alike_columns_are_quantised_whole(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    model = keras.Sequential([L.Input((3,)), L.Rescaling(0.5), L.Dense(4)])

    exported = export("result", model, "int8", tmp_path, x)

    assert exported.notes == ()
    assert "float32" not in tflite_file.bytes_by_type(exported.runner.content)


def test_a_scheme_that_quantises_nothing_is_seen(tmp_path: Path) -> None:
    """Every tensor is below the limit of LiteRT, and the report said int8 weights."""
    model, x = keras.Sequential([L.Input((3,)), L.Dense(4), L.Dense(1)]), np.zeros((4, 3), "float32")

    assert not tflite_file.is_quantised(export("result", model, "dynamic", tmp_path, x).runner.content)
    assert tflite_file.bytes_by_type(export("result", model, "float16", tmp_path, x).runner.content)["float16"] > 0
