"""Layers and features of Keras that few tests cover, each in a small model: inspected, pruned, quantised to int8.

    python benchmarks/engine/second_look.py [NAME ...]

Prints a line for each: the check of the upload, and the job's result or its error. Nothing of this is a test; a raw
error here is a defect.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import keras
import numpy as np

from engine.inspection.inspect import inspect_model
from engine.pipeline.compress import compress
from engine.quiet import stderr_to
from secateur.errors import SecateurError
from secateur.reports.report import Report
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe

L, ops = keras.layers, keras.ops
RNG = np.random.default_rng(0)
IMAGES = RNG.random((160, 8, 8, 2), np.float32)
STEPS = RNG.normal(size=(160, 6, 4)).astype("float32")
ROWS = RNG.normal(size=(160, 8)).astype("float32")
TOKENS = RNG.integers(1, 9, (160, 6)).astype("int32")
RECIPE = [
    {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}},
    {"kind": "quantize", "scheme": "int8", "calibration_samples": 64},
]


def chain(*layers: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
    return keras.Sequential([L.Input(shape, dtype=dtype), *layers, L.Dense(16, "relu"), L.Dense(2, "softmax")])


def image(*layers: Any) -> tuple[Any, Any]:
    return chain(*layers, L.GlobalAveragePooling2D(), shape=(8, 8, 2)), IMAGES


def steps(*layers: Any) -> tuple[Any, Any]:
    return chain(*layers, L.Flatten(), shape=(6, 4)), STEPS


def attention() -> tuple[Any, Any]:
    tokens = keras.Input((6,), dtype="int32")
    x = L.Embedding(9, 8, mask_zero=True)(tokens)
    x = L.MultiHeadAttention(2, 4)(x, x)
    return keras.Model(tokens, L.Dense(2, "softmax")(L.GlobalAveragePooling1D()(x))), TOKENS


def einsum() -> tuple[Any, Any]:
    inputs = keras.Input((6, 4))
    x = ops.einsum("btc,bsc->bts", inputs, L.Dense(4)(inputs))
    return keras.Model(inputs, L.Dense(2, "softmax")(L.Flatten()(x))), STEPS


def spectral() -> tuple[Any, Any]:
    return image(L.SpectralNormalization(L.Conv2D(8, 3)))


def two_losses() -> tuple[Any, Any]:
    model = chain(shape=(8,))
    model.compile("adam", {model.output_names[0]: "sparse_categorical_crossentropy"}, metrics=[["accuracy"]])
    return model, ROWS


CASES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "GroupNormalization": lambda: image(L.Conv2D(8, 3), L.GroupNormalization(4)),
    "UnitNormalization": lambda: image(L.Conv2D(8, 3), L.UnitNormalization()),
    "RMSNormalization": lambda: image(L.Conv2D(8, 3), L.RMSNormalization()),
    "SpectralNormalization": spectral,
    "PReLU, shared axes": lambda: image(L.Conv2D(8, 3), L.PReLU(shared_axes=[1, 2])),
    "causal Conv1D": lambda: steps(L.Conv1D(8, 3, padding="causal", dilation_rate=2)),
    "output_padding": lambda: image(L.Conv2DTranspose(8, 3, strides=2, padding="same", output_padding=1)),
    "SeparableConv1D": lambda: steps(L.SeparableConv1D(8, 3)),
    "Conv3D": lambda: (
        chain(L.Reshape((4, 2, 8, 2)), L.Conv3D(8, 2), L.GlobalAveragePooling3D(), shape=(8, 8, 2)),
        IMAGES,
    ),
    "DepthwiseConv1D": lambda: steps(L.DepthwiseConv1D(3, depth_multiplier=2)),
    "ConvLSTM1D": lambda: steps(L.Reshape((3, 4, 2)), L.ConvLSTM1D(4, 2)),
    "Masking and GRU": lambda: steps(L.Masking(), L.GRU(8)),
    "Bidirectional, summed": lambda: steps(L.Bidirectional(L.LSTM(8), merge_mode="sum")),
    "RepeatVector": lambda: (chain(L.Dense(8), L.RepeatVector(3), L.LSTM(4), shape=(8,)), ROWS),
    "TimeDistributed": lambda: steps(L.TimeDistributed(L.Dense(8, "relu"))),
    "MultiHeadAttention, masked": attention,
    "GroupQueryAttention": lambda: (
        (lambda i: keras.Model(i, L.Dense(2, "softmax")(L.Flatten()(L.GroupQueryAttention(4, 2, 1)(i, i)))))(
            keras.Input((6, 4))
        ),
        STEPS,
    ),
    "ops.einsum": einsum,
    "Discretization": lambda: (
        chain(L.Discretization(bin_boundaries=[-1.0, 0.0, 1.0]), L.Embedding(4, 4), L.Flatten(), shape=(8,)),
        ROWS,
    ),
    "Hashing": lambda: (chain(L.Hashing(16), L.Embedding(16, 4), L.Flatten(), shape=(6,), dtype="int32"), TOKENS),
    "CategoryEncoding": lambda: (chain(L.CategoryEncoding(9, "multi_hot"), shape=(6,), dtype="int32"), TOKENS),
    "Cropping and ZeroPadding": lambda: image(L.Cropping2D(1), L.ZeroPadding2D(2), L.Conv2D(8, 3)),
    "Resizing": lambda: image(L.Resizing(4, 4), L.Conv2D(8, 3)),
    "Maxout by ops": lambda: image(L.Conv2D(8, 3), L.Reshape((6, 6, 4, 2)), L.Lambda(lambda x: x)),
    "a dict of losses": two_losses,
}


def tried(name: str, folder: Path) -> str:
    """What becomes of one model, in a line."""
    keras.utils.set_random_seed(0)
    model, x = CASES[name]()
    y = (np.asarray(x, "float32").reshape(len(x), -1).mean(axis=1) > np.median(x.reshape(len(x), -1).mean(axis=1))) * 1
    if not model.compiled:
        model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, epochs=15, verbose=0)
    model.save(folder / "m.keras")
    np.savez(folder / "d.npz", x_train=x[:120], y_train=y[:120], x_test=x[120:], y_test=y[120:])
    summary = inspect_model(folder / "m.keras")
    checked = (
        f"{len(summary.operations)} operations" if summary.operations else f"not converted {summary.not_convertible}"
    )
    recipe = Recipe.model_validate({"steps": RECIPE, "on_chance_baseline": "continue", "on_chance_result": "continue"})
    files = {"model": folder / "m.keras", "dataset": folder / "d.npz", "out": folder}
    compress(recipe, **files, reading=Reading(), emit=lambda event: None)
    report = Report.model_validate_json((folder / "report.json").read_text())
    scores = [each.quality.score.value for each in (report.baseline, report.result)]
    zeros = "-" if report.delivered_sparsity is None else f"{report.delivered_sparsity:.0%}"
    agreement = report.result.quality.agreement
    return f"{checked}; accuracy {scores[0]:.2f} to {scores[1]:.2f}, agreement {agreement:.2f}, zeros {zeros}"


def main() -> None:
    for name in sys.argv[1:] or CASES:
        with tempfile.TemporaryDirectory() as folder, stderr_to(Path(folder) / "log"):
            try:
                found = tried(name, Path(folder))
            except SecateurError as error:
                found = f"{error.code}: {error.detail[:160]}"
            except Exception as fault:  # noqa: BLE001 - what this looks for
                found = f"RAW {type(fault).__name__}: {' '.join(str(fault).split())[:160]}"
        print(f"{name:28} {found}", flush=True)


if __name__ == "__main__":
    main()
