"""A problem small enough to train in a second and real enough to be lost: which of four bars is lit?"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest


def bars(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Noisy 8x8 images, uint8, with one of four horizontal bars lit; labels 0 to 3."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, count)
    x = rng.integers(0, 120, (count, 8, 8))
    for row in range(2):
        x[np.arange(count), 2 * y + row] += 90
    return x.clip(0, 255).astype(np.uint8), y.astype(np.int64)


@pytest.fixture(autouse=True)
def _no_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave report pages out of the jobs of single tests: they take a second, and tests/reporting looks at them.

    Jobs of fixtures that several tests share, such as ``finished``, render theirs.
    """
    if "engine.pipeline.compress" in sys.modules:
        monkeypatch.setattr("engine.pipeline.compress.html", lambda report: "")


@pytest.fixture(scope="session", autouse=True)
def _portable() -> None:
    """Layers compute as they do in a job, where a model is read first."""
    from engine.models import portable

    portable.install()


@pytest.fixture(scope="session")
def arrays() -> dict[str, np.ndarray]:
    x_train, y_train = bars(640, seed=1)
    x_test, y_test = bars(300, seed=2)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


@pytest.fixture(scope="session")
def data_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "bars.npz"
    np.savez_compressed(path, **arrays)
    return path


def make_model() -> Any:
    """A small network with a convolution, a dense layer and an output layer; untrained."""
    import keras

    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Conv2D(8, 3, padding="same", activation="relu", name="conv"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(32, activation="relu", name="hidden"),
            keras.layers.Dense(4, activation="softmax", name="classes"),
        ],
        name="bars",
    )
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def cut(masks: Any, sparsity: float | None = None, **choices: Any) -> Any:
    """Cut at once, as a prune step with these choices does; for criteria that look at nothing but weights."""
    from engine.pruning.pruner import Pruner, scorer
    from secateur.specs.pruning import OneShot, Prune

    step = Prune(sparsity=sparsity, schedule=OneShot(), **choices)
    pruner = Pruner(masks, step, scorer(step, None, seed=0))  # type: ignore[arg-type]
    pruner.to(pruner.final)
    return pruner


@pytest.fixture(scope="session")
def model_file(arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network, trained on pixels scaled by 1/255."""
    model = make_model()
    model.fit(arrays["x_train"][..., None] / 255.0, arrays["y_train"], epochs=12, batch_size=64, verbose=0)
    path = tmp_path_factory.mktemp("model") / "bars.keras"
    model.save(path)
    return path
