"""Models with several inputs, small enough to train in seconds: two of the inputs have one shape, one counts words."""

from pathlib import Path
from typing import Any

import numpy as np

INPUTS = ("right", "words", "left")
"""In an order that is not that of the alphabet, which LiteRT's is not either."""


def arrays_of(count: int, seed: int) -> dict[str, np.ndarray]:
    """Two noisy rows of 8 pixels, each with its first or last half lit, and three words of ten.

    The class is twice which half of the right one is lit, plus that of the left one, which word 7 exchanges. Who takes
    left for right is wrong for half of the samples.
    """
    rng = np.random.default_rng(seed)
    lit = rng.integers(0, 2, (2, count))
    pixels = rng.integers(0, 120, (2, count, 8))
    pixels[np.repeat(lit[..., None], 8, -1) == (np.arange(8) // 4)] += 90
    words = rng.integers(0, 7, (count, 3))
    swapped = rng.integers(0, 2, count)
    words[swapped == 1, 1] = 7
    y = 2 * lit[1] + (lit[0] ^ swapped)
    return {
        "left": pixels[0].astype(np.uint8),
        "right": pixels[1].astype(np.uint8),
        "words": words.astype(np.int32),
        "y": y.astype(np.int64),
    }


def stored(count: int = 800, num_test: int = 300) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` for a model with these inputs, in the order of the alphabet."""
    found: dict[str, np.ndarray] = {}
    for split, size, seed in (("train", count, 1), ("test", num_test, 2)):
        arrays = arrays_of(size, seed)
        found[f"y_{split}"] = arrays.pop("y")
        found |= {f"x_{split}.{name}": array for name, array in arrays.items()}
    return found


def given(arrays: dict[str, np.ndarray], split: str) -> list[np.ndarray]:
    """What the model takes, in the order of its inputs."""
    return [
        array if name == "words" else array / np.float32(255)
        for name, array in ((name, arrays[f"x_{split}.{name}"]) for name in INPUTS)
    ]


def make_model() -> Any:
    """Untrained, with a part of its own for each input."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = {
        "right": keras.Input((8,), name="right"),
        "words": keras.Input((3,), name="words", dtype="int32"),
        "left": keras.Input((8,), name="left"),
    }
    parts = [keras.layers.Dense(16, activation="relu", name=f"see_{side}")(inputs[side]) for side in ("left", "right")]
    read = keras.layers.Flatten(name="flat")(keras.layers.Embedding(8, 4, name="meaning")(inputs["words"]))
    both = keras.layers.Concatenate(name="both")([*parts, read])
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")(both)
    classes = keras.layers.Dense(4, activation="softmax", name="classes")(hidden)
    model = keras.Model([inputs[name] for name in INPUTS], classes, name="sides")
    model.compile(optimizer=keras.optimizers.Adam(5e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def trained(arrays: dict[str, np.ndarray], folder: Path) -> Path:
    """The model after some epochs, as a file."""
    model = make_model()
    model.fit(given(arrays, "train"), arrays["y_train"], epochs=12, batch_size=32, verbose=0)
    path = folder / "sides.keras"
    model.save(path)
    return path
