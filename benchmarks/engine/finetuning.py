"""What a schedule and the best epoch are worth in fine-tuning, at equal epochs, and what mixed precision costs.

    pip install scikit-learn
    python benchmarks/engine/finetuning.py

Whole jobs on two problems: the digits of scikit-learn on a small convolutional network that is trained here, cut at
once without repair, so that fine-tuning has all to do, or little by little while training, as presets do; and the
MNIST network of the example, cut little by little. Accuracy of the exported float32 file on the test split, median
over seeds. The rest of a job is the same in every row.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

from engine.evaluation.host import host
from engine.pipeline.compress import compress
from secateur.reports.report import Report
from secateur.specs.reading import Reading
from secateur.specs.scale import Scale
from secateur.specs.spec import Recipe

ROOT: Final = Path(__file__).parents[2]
WAYS: Final[dict[str, dict[str, Any]]] = {
    "constant, last epoch (as before)": {"learning_rate_schedule": "constant", "best_epoch": False},
    "constant, best epoch": {"learning_rate_schedule": "constant"},
    "cosine, last epoch": {"best_epoch": False},
    "cosine, best epoch (default)": {},
    "exponential, best epoch": {"learning_rate_schedule": "exponential"},
}


def digits(folder: Path) -> tuple[Path, Path, Scale]:
    """A network of two convolutions, trained on two thirds of scikit-learn's 1,797 digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = x[order].reshape(-1, 8, 8, 1).astype(np.float32) / 16, y[order]
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(16, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x[:1200], y[:1200], epochs=25, batch_size=64, verbose=0)
    model.save(folder / "digits.keras")
    np.savez(folder / "digits.npz", x_train=x[:1200], y_train=y[:1200], x_test=x[1200:], y_test=y[1200:])
    return folder / "digits.keras", folder / "digits.npz", "none"


def run(problem: tuple[Path, Path, Scale], *, seed: int, cut: Any, training: Any, **finetune: Any) -> Any:
    """Accuracy in percent, before and after, and seconds of fine-tuning."""
    model, data, scale = problem
    recipe = {"steps": [cut, {"kind": "finetune", **finetune}], "seed": seed, "training": training}
    with tempfile.TemporaryDirectory() as out:
        compress(
            Recipe.model_validate(recipe),
            model=model,
            dataset=data,
            reading=Reading(scale=scale),
            out=Path(out),
            emit=lambda _: None,
        )
        report = Report.model_validate_json((Path(out) / "report.json").read_text())
    return (
        100 * report.baseline.quality.score.value,
        100 * report.result.quality.score.value,
        report.seconds["finetune"],
    )


def compare(problem: tuple[Path, Path, Scale], *, seeds: int, cut: Any, training: Any, epochs: int) -> dict[str, Any]:
    """Every way at equal epochs, and the default one in the precisions of which the machine should tell."""
    rows: dict[str, Any] = {}
    plans = {name: (way, training) for name, way in WAYS.items()}
    plans["default, mixed_bfloat16"] = ({}, training | {"precision": "mixed_bfloat16"})
    for name, (way, shared) in plans.items():
        found = [run(problem, seed=seed, cut=cut, training=shared, epochs=epochs, **way) for seed in range(seeds)]
        after = [round(accuracy, 2) for _, accuracy, _ in found]
        rows[name] = {
            "median": statistics.median(after),
            "seeds": after,
            "seconds": round(statistics.median(seconds for *_, seconds in found), 1),
        }
        print(f"  {name:36} {rows[name]['median']:6.2f}  {after}  {rows[name]['seconds']} s", flush=True)
    return {"cut": cut, "epochs": epochs, "training": training, "dense": round(found[0][0], 2), "rows": rows}


def main() -> None:
    """Measure both problems and keep the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "finetuning.json")
    given = parser.parse_args()
    example = ROOT / "examples" / "mnist"
    results: dict[str, Any] = {"host": host().model_dump(mode="json"), "seeds": given.seeds}
    began = time.monotonic()
    at_once = {"kind": "prune", "sparsity": 0.9, "schedule": {"kind": "one_shot"}, "reconstruct": False}
    gradual = {"kind": "prune", "sparsity": 0.95, "schedule": {"kind": "polynomial", "epochs": 3}}
    with tempfile.TemporaryDirectory() as folder:
        small, large = digits(Path(folder)), (example / "model.keras", example / "mnist.npz", "1/255")
        problems: dict[str, Any] = {
            "digits, cut at once": (small, at_once, {"batch_size": 32}, 10),
            "digits, cut gradually": (small, gradual, {"batch_size": 32}, 5),
            "mnist, cut gradually": (large, gradual, {}, 3),
        }
        for name, (problem, cut, training, epochs) in problems.items():
            print(f"{name}, {100 * cut['sparsity']:g} %, {epochs} epochs", flush=True)
            results[name] = compare(problem, seeds=given.seeds, cut=cut, training=training, epochs=epochs)
            given.out.write_text(json.dumps(results, indent=2) + "\n")
    print(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
