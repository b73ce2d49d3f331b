"""Gradual pruning, 50 to 90 %: ours against TFMOT by hand, as its guide shows it. Prints JSON.

    python benchmarks/engine/against_tfmot.py --model MODEL.keras --data DATA.npz --scale 1/255 --epochs 2 \\
        --repetitions 3
    python benchmarks/engine/against_tfmot.py ... --train-samples 8192 --epochs 1     a training of 64 steps

Same weights to begin with, same training, held-out and test samples, epochs, batch size, and Adam with the same
learning rate. The ways take turns, and ratios are of medians of one run. "native" and "tfmot" are jobs of our engine,
judged by their reports; "native_finetuned" spends the last of the epochs on fine-tuning at a lower learning rate.
"by_hand" is ``prune_low_magnitude`` over the whole tf_keras model (made by our bridge, as TFMOT takes no Keras 3
model), ``PolynomialDecay`` over all steps with its default frequency, ``UpdatePruningStep``, and ``strip_pruning``;
nothing else. Epochs are timed from the end of the first, when everything is compiled; beside seconds there are CPU
seconds of all threads, which suffer less from what else the machine does.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from engine.bridge.twin import twin
from engine.data.feed import Feed
from engine.evaluation.host import host
from engine.pipeline.compress import compress
from secateur.protocol.progress import StepAdvanced
from secateur.reports.report import Report
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe

INITIAL, FINAL = 0.5, 0.9
Arrays = Mapping[str, np.ndarray]
Row = dict[str, Any]
Times = tuple[float, float]
"""Seconds on the clock, and of CPU."""
TIMES = ("seconds_per_epoch", "cpu_seconds_per_epoch")


def split(path: Path, train_samples: int | None, held_out: int) -> dict[str, np.ndarray]:
    """The data set with the last training samples held out, and as many of the first as wanted."""
    with np.load(path) as data:
        found = {name: data[name] for name in ("x_train", "y_train", "x_test", "y_test")}
    count = train_samples or len(found["x_train"]) - held_out
    for name in ("x", "y"):
        found[f"{name}_val"] = found[f"{name}_train"][-held_out:]
        found[f"{name}_train"] = found[f"{name}_train"][:count]
    return found


def engine(toolkit: str, options: argparse.Namespace, data: Path, seed: int, *, finetune_epochs: int = 0) -> Row:
    """A job of ours, as a user would post it; its last epochs may be fine-tuning."""
    rate, epochs = options.learning_rate, options.epochs - finetune_epochs
    schedule = {"kind": "polynomial", "epochs": epochs, "initial_sparsity": INITIAL, "learning_rate": rate}
    if toolkit == "native":
        schedule["ramp"] = options.ramp
    distribution = options.distribution if toolkit == "native" else "uniform"
    prune = {"kind": "prune", "toolkit": toolkit, "sparsity": FINAL, "schedule": schedule, "distribution": distribution}
    steps: list[Row] = [prune]
    if finetune_epochs:
        finetune_rate = options.finetune_learning_rate or rate / 10
        steps.append({"kind": "finetune", "epochs": finetune_epochs, "learning_rate": finetune_rate})
    training = {"batch_size": options.batch_size, "optimizer": "adam"}
    recipe = Recipe.model_validate({"steps": steps, "training": training, "seed": seed})
    ends: dict[int, Times] = {}

    def emit(event: Any) -> None:
        pruning = isinstance(event, StepAdvanced) and event.step == "prune"
        whole = event.progress * epochs if pruning else 0.5
        if abs(whole - round(whole)) < 1e-9:
            ends[round(whole)] = now()  # the last word on an epoch comes when it has been validated

    with tempfile.TemporaryDirectory() as out:
        compress(
            recipe, model=options.model, dataset=data, reading=Reading(scale=options.scale), out=Path(out), emit=emit
        )
        report = Report.model_validate_json((Path(out) / "report.json").read_text())
    return {
        "dense_accuracy": report.baseline.quality.score.value,
        "accuracy": report.result.quality.score.value,
        "sparsity": report.delivered_sparsity,
        "notes": list(report.notes),
    } | per_epoch([ends[epoch] for epoch in sorted(ends)])


def by_hand(options: argparse.Namespace, arrays: Arrays, seed: int) -> Row:
    """The script of TFMOT's guide."""
    import tf_keras
    from tensorflow_model_optimization.sparsity.keras import (
        PolynomialDecay,
        UpdatePruningStep,
        prune_low_magnitude,
        strip_pruning,
    )

    keras.utils.set_random_seed(seed)
    original = keras.saving.load_model(options.model, compile=False)
    feed = Feed(options.scale, original.inputs[0].shape[1:], original.inputs[0].dtype)
    x_train, x_val, x_test = (feed(arrays[f"x_{part}"]) for part in ("train", "val", "test"))
    end_step = -(-len(x_train) // options.batch_size) * options.epochs
    schedule = PolynomialDecay(initial_sparsity=INITIAL, final_sparsity=FINAL, begin_step=0, end_step=end_step)
    model = prune_low_magnitude(twin(original).model, pruning_schedule=schedule)
    model.compile(
        optimizer=tf_keras.optimizers.Adam(options.learning_rate),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    ends: list[Times] = []
    timer = tf_keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(now()))
    model.fit(
        x_train,
        arrays["y_train"],
        batch_size=options.batch_size,
        epochs=options.epochs,
        validation_data=(x_val, arrays["y_val"]),
        validation_batch_size=max(options.batch_size, 256),
        callbacks=[UpdatePruningStep(), timer],
        verbose=0,
    )
    stripped = strip_pruning(model)
    kernels = [layer.kernel.numpy() for layer in stripped.layers if hasattr(layer, "kernel")]
    zeros = sum(kernel.size - np.count_nonzero(kernel) for kernel in kernels)
    answers = stripped.predict(x_test, batch_size=500, verbose=0).argmax(axis=1)
    return {
        "accuracy": float((answers == arrays["y_test"]).mean()),
        "sparsity": float(zeros / sum(kernel.size for kernel in kernels)),
    } | per_epoch(ends)


def now() -> Times:
    return time.monotonic(), time.process_time()


def per_epoch(ends: list[Times]) -> Row:
    """What an epoch after the first took; nothing when there was no other."""
    if len(ends) < 2:
        return {}
    passed = [(last - first) / (len(ends) - 1) for first, last in zip(ends[0], ends[-1], strict=True)]
    return dict(zip(TIMES, passed, strict=True))


def summary(rows: list[Row]) -> Row:
    """Medians over repetitions, and all single values."""
    found: Row = {}
    for key in ("dense_accuracy", "accuracy", "sparsity", *TIMES):
        values = [row[key] for row in rows if row.get(key) is not None]
        if values:
            found[key] = {"median": round(statistics.median(values), 4), "all": [round(value, 4) for value in values]}
    if rows and "notes" in rows[0]:
        found["notes"] = rows[0]["notes"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scale", default="1/255")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--train-samples", type=int)
    parser.add_argument("--held-out", type=int, default=2000)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--distribution", default="uniform", help="of the native ways")
    parser.add_argument("--ramp", type=float, default=0.7, help="of the native ways")
    parser.add_argument("--finetune-epochs", type=int, default=1, help="of native_finetuned")
    parser.add_argument("--finetune-learning-rate", type=float, help="of native_finetuned; default: a tenth")
    parser.add_argument("--ways", default="native,by_hand,tfmot")
    options = parser.parse_args()
    arrays = split(options.data, options.train_samples, options.held_out)
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch) / "data.npz"
        np.savez(data, **arrays)
        every: dict[str, Callable[[int], Row]] = {
            "native": lambda seed: engine("native", options, data, seed),
            "by_hand": lambda seed: by_hand(options, arrays, seed),
            "tfmot": lambda seed: engine("tfmot", options, data, seed),
            "native_finetuned": lambda seed: engine(
                "native", options, data, seed, finetune_epochs=options.finetune_epochs
            ),
        }
        rows: dict[str, list[Row]] = {way: [] for way in options.ways.split(",")}
        for repetition in range(options.repetitions):
            for way, found in rows.items():
                found.append(every[way](repetition))
                print(way, found[-1], file=sys.stderr, flush=True)
    results = {way: summary(found) for way, found in rows.items()}
    speed = {
        key: {
            way: round(results["by_hand"][key]["median"] / row[key]["median"], 3)
            for way, row in results.items()
            if key in row
        }
        for key in TIMES
        if "by_hand" in results and key in results["by_hand"]
    }
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(options).items()}
    settings |= {"model": options.model.name, "data": options.data.name}
    settings["steps"] = -(-len(arrays["x_train"]) // options.batch_size) * options.epochs
    print(json.dumps({"settings": settings, "results": results, "speed": speed, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
