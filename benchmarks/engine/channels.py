"""Channels that our engine takes out of a trained network, against what else could be done with it. Prints JSON.

    python benchmarks/engine/channels.py --model resnet8.keras --data CIFAR10.npz \\
        > benchmarks/results/channels_resnet8.json
    python benchmarks/engine/channels.py --model mobilenetv2.keras --data CIFAR10.npz --scale=-1..1 > ...
    python benchmarks/engine/channels.py --lenet --data MNIST.npz --scale 1/255 --targets 0.25 0.5 > ...

For each share of the multiply-accumulates that goes: ``untrained``, the cut by itself, with each repair, with and
without BatchNorm statistics re-estimated; ``cut``, a whole job that only cuts; ``finetuned``, a whole job that then
trains. Beside them, with the same budget of training: ``random``, the same job with channels drawn by lot;
``scratch``, the small network with fresh weights; ``weights``, single weights pruned as far as this accuracy allows.
Accuracy is of the test split, for whole jobs that of the exported float32 ``.tflite`` file, as the report gives it.
All latencies are taken in one run, the files taking turns. Training sees the part of the training split that
``channels_torch_pruning.py`` trains on.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import keras
import numpy as np

from engine.arrays import Array
from engine.data.feed import Feed
from engine.evaluation.host import host
from engine.export.litert import Runner, convert
from engine.export.timing import time_files
from engine.importers.load_model import load_model
from engine.models.costs import num_macs
from engine.models.model import copy_of, save_model
from engine.models.prunable import prunable_kernels
from engine.pipeline.compress import compress
from engine.pruning.masking import Masks
from engine.reconstruction.batchnorm import reestimate
from engine.reconstruction.equations import Samples
from engine.structured.groups import channels_of
from engine.structured.obs import consumers_of, obs
from engine.structured.planning import plan, prunable_groups
from engine.structured.reconstruct import add_bias_corrections, bias_corrections, reconstruct_consumers
from engine.structured.savings import Costs, group_infos
from engine.structured.surgery import shrink
from secateur.reports.report import Report
from secateur.specs.channels import PruneChannels
from secateur.specs.spec import Recipe

Repair = Literal["none", "mean", "reconstruct"]
Row = dict[str, Any]
Step = Mapping[str, Any]

WEIGHT_SPARSITIES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)


def cut(dense: Any, step: PruneChannels, repair: Repair, inputs: Callable[[int], Iterator[Array]]) -> Any:
    """The cut alone: ranked, planned, made, repaired; no statistics, no training. The dense model stays as it is.

    The one place that calls what is inside the engine's prune step; a job always goes on to the statistics. Channels
    are chosen by ``obs`` whatever the criterion of the jobs.

    Args:
        inputs: batches of so many unlabelled model inputs, for the criterion and for the repair.
    """
    channels = channels_of(dense)
    costs, alive = Costs.of(channels), channels.all_kept()
    groups = prunable_groups(channels, group_infos(costs), step)
    samples = Samples(lambda: inputs(step.reconstruct_samples), step.reconstruct_samples, seed=0)
    scores = obs(
        consumers_of(channels, [each.group for each in groups], samples, lambda _: None),
        [each.group for each in groups],
        channels.num_channels,
        ceiling=step.ceiling,
    )
    kept = plan(groups, step, scores, alive, cost=costs.macs)
    missed = bias_corrections(channels, kept, samples) if repair == "mean" else {}
    small = shrink(channels, kept)
    if repair == "mean":
        add_bias_corrections(missed, channels, kept, small)
    elif repair == "reconstruct":
        reconstruct_consumers(channels, kept, small, Masks(prunable_kernels(small)), samples, lambda _: None)
    return small


@dataclass(frozen=True)
class Bench:
    """One network, its data, and the budget."""

    model: Path
    data: Path
    feed: Feed
    folder: Path
    """Where jobs leave their files, each in a folder of its own."""
    options: argparse.Namespace

    def split(self, name: str) -> tuple[Array, Array]:
        with np.load(self.data) as data:
            return data[f"x_{name}"], data[f"y_{name}"]

    def batches(self, num_samples: int) -> Iterator[Array]:
        """Inputs of the training split."""
        return self.feed.batches(self.split("train")[0][:num_samples], self.options.batch_size)

    def accuracy(self, model: Any) -> float:
        """Of a Keras model, in per cent."""
        x, y = self.split("test")
        said = [model.predict(batch, verbose=0).argmax(axis=1) for batch in self.feed.batches(x, 500)]
        return round(100 * float((np.concatenate(said) == y).mean()), 2)

    def job(self, name: str, steps: list[Step], model: Path | None = None) -> Row:
        """A whole job, and what its report says. Its files stay in ``folder / name``."""
        start, out = time.monotonic(), self.folder / name
        out.mkdir()
        training = {"optimizer": "adam", "batch_size": self.options.batch_size}
        wanted = {"steps": steps, "training": training, "seed": self.options.seed, "on_chance_baseline": "continue"}
        recipe = Recipe.model_validate(wanted)
        compress(
            recipe,
            model=model or self.model,
            dataset=self.data,
            scale=self.feed.scale,
            out=out,
            emit=lambda _: None,
        )
        report = Report.model_validate_json((out / "report.json").read_text())
        small = load_model(out / "model.keras")
        return {
            "accuracy": round(100 * report.result.quality.score.value, 2),
            "params": report.result.num_params,
            "nonzero_params": report.result.num_nonzero_params,
            "macs": num_macs(small),
            "macs_removed": round(1 - num_macs(small) / num_macs(load_model(self.model)), 4),
            **report.result.sizes.model_dump(),
            "steps": list(steps),
            "notes": list(report.notes),
            "seconds": round(time.monotonic() - start),
        }

    def finetune(self, learning_rate: float) -> Step:
        """The budget of training."""
        return {"kind": "finetune", "epochs": self.options.epochs, "learning_rate": learning_rate}


def untrained(bench: Bench, step: Step) -> Row:
    """Accuracies of the cut alone, by repair, before and after BatchNorm statistics are re-estimated."""
    dense, found, options = load_model(bench.model), Row(), bench.options
    for repair in get_args(Repair):
        asked = PruneChannels.model_validate({**step, "reconstruct": repair == "reconstruct"})
        start = time.monotonic()
        small = cut(dense, asked, repair, bench.batches)
        row = {"seconds": round(time.monotonic() - start, 1), "accuracy": bench.accuracy(small)}
        if reestimate(small, bench.batches(options.statistics_batches * options.batch_size)):
            row["batchnorm"] = bench.accuracy(small)
        found[repair] = row
    return found


def from_scratch(bench: Bench, name: str) -> Row:
    """The network that another job made, with fresh weights, trained with the same budget at a rate of its own."""
    keras.utils.set_random_seed(bench.options.seed)
    fresh = bench.folder / f"{name}_fresh.keras"
    save_model(keras.models.clone_model(load_model(bench.folder / name / "model.keras")), fresh)
    return bench.job(f"{name}_scratch", [bench.finetune(bench.options.scratch_learning_rate)], fresh)


def pruned_weights(bench: Bench) -> dict[str, Row]:
    """Jobs that prune single weights at once, repair them, and train for the same budget, by name."""
    step = {"kind": "prune", "structure": "weight", "schedule": {"kind": "one_shot"}, "reconstruct": True}
    tuned = bench.finetune(bench.options.learning_rate)
    return {
        f"weights_{sparsity}": bench.job(f"weights_{sparsity}", [step | {"sparsity": sparsity}, tuned])
        for sparsity in bench.options.weight_sparsities
    }


def as_accurate(rows: Mapping[str, Row], accuracy: float) -> str:
    """The one with the fewest weights of those that are at least so accurate; else the most accurate.

    >>> rows = {"a": {"accuracy": 90, "nonzero_params": 5}, "b": {"accuracy": 80, "nonzero_params": 2}}
    >>> as_accurate(rows, 75), as_accurate(rows, 85), as_accurate(rows, 95)
    ('b', 'a', 'a')
    """
    enough = [name for name, row in rows.items() if row["accuracy"] >= accuracy]
    if enough:
        return min(enough, key=lambda name: rows[name]["nonzero_params"])
    return max(rows, key=lambda name: rows[name]["accuracy"])


def at_target(bench: Bench, target: float, weights: Mapping[str, Row]) -> Row:
    """Everything about one share of multiply-accumulates removed."""
    options, name = bench.options, f"channels_{target}"
    step = {
        "kind": "prune",
        "structure": "channel",
        "macs": target,
        "criterion": options.criterion,
        "distribution": options.distribution,
        "channel_multiple": options.channel_multiple,
    }
    tuned = bench.finetune(options.learning_rate)
    found: Row = {"target": target, "untrained": untrained(bench, step), "cut": bench.job(f"{name}_cut", [step])}
    found["finetuned"] = bench.job(name, [step, tuned])
    found["random"] = bench.job(f"{name}_random", [step | {"criterion": "random"}, tuned])
    found["scratch"] = from_scratch(bench, name)
    match = as_accurate(weights, found["finetuned"]["accuracy"])
    return found | {"weights": weights[match], "files": [name, match]}


def speeds(bench: Bench, names: list[str]) -> dict[str, Row]:
    """Bytes and latency of the dense network and of what these jobs left, float32 and int8, all in turn."""
    calibration = next(bench.feed.batches(bench.split("train")[0], 256))
    paths = {"dense": bench.model} | {name: bench.folder / name / "model.keras" for name in names}
    models = {name: load_model(path) for name, path in paths.items()}
    files = {
        (name, scheme): convert(model, scheme, calibration=calibration)
        for name, model in models.items()
        for scheme in ("none", "int8")
    }
    runners = [Runner(content) for content in files.values()]
    measured = time_files(runners, calibration, max_seconds=300.0).latencies()
    median = dict(zip(files, (latency.p50_ms for latency in measured), strict=True))
    found: dict[str, Row] = {name: {} for name in models}
    for (name, scheme), latency in zip(files, measured, strict=True):
        found[name]["float32" if scheme == "none" else scheme] = {
            "tflite_bytes": len(files[name, scheme]),
            **latency.model_dump(),
            "times_faster": round(median["dense", scheme] / latency.p50_ms, 3),
        }
    return found


def lenet(data: Path, path: Path, *, epochs: int = 3) -> None:
    """Train a network like LeNet-5 on MNIST, pixels scaled to 0..1, and save it."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(20, 5, activation="relu", name="conv_1"),
            layers.MaxPooling2D(name="pool_1"),
            layers.Conv2D(50, 5, activation="relu", name="conv_2"),
            layers.MaxPooling2D(name="pool_2"),
            layers.Flatten(name="flatten"),
            layers.Dense(500, activation="relu", name="dense"),
            layers.Dense(10, activation="softmax", name="digits"),
        ],
        name="lenet_5",
    )
    model.compile(optimizer=keras.optimizers.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    with np.load(data) as arrays:
        x, y = arrays["x_train"].reshape(-1, 28, 28, 1).astype("f4") / 255, arrays["y_train"]
    model.fit(x, y, batch_size=128, epochs=epochs, verbose=0)
    model.save(path)


def part_of(data: Path, path: Path, *, train_samples: int, held_out: int, seed: int) -> None:
    """Write a data set: a seeded part of the training split, other samples of it to validate on, the test split."""
    with np.load(data) as arrays:
        order = np.random.default_rng(seed).permutation(len(arrays["x_train"]))
        parts = {"train": order[:-held_out][:train_samples], "val": order[-held_out:]}
        found = {f"{axis}_{name}": arrays[f"{axis}_train"][part] for name, part in parts.items() for axis in "xy"}
        found |= {name: arrays[name] for name in ("x_test", "y_test")}
    np.savez(path, **{name: value.ravel() if name[0] == "y" else value for name, value in found.items()})


def parsed() -> argparse.Namespace:
    """The options; the budget is that of ``channels_torch_pruning.py``."""
    parser = argparse.ArgumentParser()
    network = parser.add_mutually_exclusive_group(required=True)
    network.add_argument("--model", type=Path)
    network.add_argument("--lenet", action="store_true", help="train a LeNet-5 on the data first")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--scale", choices=("none", "1/255", "-1..1"), default="none")
    parser.add_argument("--targets", type=float, nargs="+", default=(0.25, 0.5, 0.7), help="shares of MACs to remove")
    parser.add_argument("--criterion", default="obs")
    parser.add_argument("--distribution", default="uniform")
    parser.add_argument("--channel-multiple", type=int, default=8)
    parser.add_argument("--weight-sparsities", type=float, nargs="+", default=WEIGHT_SPARSITIES)
    parser.add_argument("--statistics-batches", type=int, default=60)
    parser.add_argument("--train-samples", type=int, default=20_000)
    parser.add_argument("--held-out", type=int, default=2000)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--scratch-learning-rate", type=float, default=1e-3, help="where no trained weights are kept")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    options = parsed()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        model, data = options.model or folder / "lenet_5.keras", folder / "data.npz"
        if options.lenet:
            lenet(options.data, model)
        part_of(options.data, data, train_samples=options.train_samples, held_out=options.held_out, seed=options.seed)
        dense = load_model(model)
        bench = Bench(model, data, Feed(options.scale, dense.inputs[0].shape[1:], "float32"), folder, options)
        again = copy_of(dense)
        first: Row = {"params": dense.count_params(), "macs": num_macs(dense), "accuracy": bench.accuracy(dense)}
        if reestimate(again, bench.batches(options.statistics_batches * options.batch_size)):
            first["batchnorm"] = bench.accuracy(again)
        weights, results = pruned_weights(bench), list[Row]()
        for target in options.targets:
            results.append(at_target(bench, target, weights))
            print(results[-1], file=sys.stderr, flush=True)
        latency = speeds(bench, sorted({name for row in results for name in row["files"]}))
    settings = {name: value for name, value in vars(options).items() if name not in ("model", "data")}
    settings |= {"model": model.name, "data": options.data.name}
    found = {"settings": settings, "dense": first, "results": results, "weights": weights, "latency": latency}
    print(json.dumps(found | {"host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
