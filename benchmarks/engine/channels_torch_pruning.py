"""The same trained ResNet-8, in PyTorch, with channels removed by Torch-Pruning: what `channels.py` is compared with.

PyTorch is no dependency of this project, so it gets an environment of its own, and the weights go over in a file:

    python benchmarks/engine/channels_torch_pruning.py --export --model resnet8.keras --data CIFAR10.npz \\
        --weights resnet8.npz
    python3.11 -m venv TORCH && TORCH/bin/pip install torch==2.13.0 torch-pruning==1.6.1 numpy
    OMP_NUM_THREADS=1 TORCH/bin/python benchmarks/engine/channels_torch_pruning.py --data CIFAR10.npz \\
        --weights resnet8.npz > benchmarks/results/channels_torch_pruning.json

One cut by group importance (L2 norms), the output layer ignored, with the smallest pruning ratio (in steps of 1/256)
that removes the wanted share of the MACs by Torch-Pruning's own count; ``kernel_macs`` counts products with kernels
alone, without biases, normalisation and pooling. Each cut is made twice: in all layers but the output, and with the
channels on the shortcuts spared, as our engine does by default. Accuracy is of the test split: ``plain`` at once,
``batchnorm`` with statistics re-estimated, ``finetuned`` after the budget that follows on that, and
``finetuned_batchnorm`` with statistics re-estimated once more. No augmentation anywhere.
"""

import argparse
import contextlib
import copy
import json
import os
import platform
import sys
import time
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

with contextlib.suppress(ImportError):  # the export runs where Keras is, and PyTorch is not
    import torch
    import torch_pruning
    from torch import nn
    from torch.nn import functional

Arrays = dict[str, np.ndarray]
BUDGET = {"statistics_batches": 60, "train_samples": 20_000, "epochs": 2, "batch_size": 128}
BUDGET |= {"learning_rate": 1e-4, "seed": 0}
"""Options, and what they are by default."""
STAGES = ((16, "conv2d_1", "conv2d_2", None), (32, "conv2d_3", "conv2d_4", "conv2d_5"))
STAGES += ((64, "conv2d_6", "conv2d_7", "conv2d_8"),)
"""Width, first and second convolution, and the convolution on the shortcut, named as in the Keras file."""
SHORTCUT = ("conv2d", "conv2d_2", "conv2d_4", "conv2d_5", "conv2d_7", "conv2d_8")
"""Convolutions whose channels are added to others."""
AGREE, MOMENTUM = 1e-4, 0.01
RATIOS = 256
"""Into how many steps pruning ratios are divided."""


def export(model: Path, weights: Path, x_test: np.ndarray) -> None:
    """Write all variables of the Keras model, and what it answers to a few images. Needs the project's environment."""
    import keras

    dense = keras.saving.load_model(model, compile=False)
    found = {
        f"{layer.name}/{variable.path.rpartition('/')[2]}": np.asarray(variable)
        for layer in dense.layers
        for variable in layer.weights
    }
    np.savez(weights, **found, answers=dense.predict(x_test[:256].astype("f4"), verbose=0))


def network() -> Any:
    """ResNet-8 of MLPerf Tiny, with Keras' epsilon, momentum and padding."""

    class ResNet8(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            norms = iter(f"batch_normalization{suffix}" for suffix in ("", "_1", "_2", "_3", "_4", "_5", "_6"))
            self.conv2d, width = same(3, 16), 16
            self.add_module(next(norms), norm(16))
            for units, first, second, shortcut in STAGES:
                strided = {"stride": 2} if shortcut else {"padding": 1}
                for name, layer in ((first, nn.Conv2d(width, units, 3, **strided)), (second, same(units, units))):
                    self.add_module(name, layer)
                    self.add_module(next(norms), norm(units))
                if shortcut:
                    self.add_module(shortcut, nn.Conv2d(width, units, 1, stride=2))
                width = units
            self.pool, self.dense = nn.AvgPool2d(8), nn.Linear(64, 10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            norms = (module for module in self.children() if isinstance(module, nn.BatchNorm2d))
            x = functional.relu(next(norms)(self.conv2d(images)))
            for _, first, second, shortcut in STAGES:
                # Keras pads a strided 'same' convolution on an even size behind the image only
                y = functional.pad(x, (0, 1, 0, 1)) if shortcut else x
                y = functional.relu(next(norms)(self.get_submodule(first)(y)))
                y = next(norms)(self.get_submodule(second)(y))
                x = functional.relu((self.get_submodule(shortcut)(x) if shortcut else x) + y)
            return self.dense(torch.flatten(self.pool(x), 1))

    def same(inputs: int, units: int) -> Any:
        return nn.Conv2d(inputs, units, 3, padding=1)

    def norm(units: int) -> Any:
        return nn.BatchNorm2d(units, eps=1e-3, momentum=MOMENTUM)

    return ResNet8()


def loaded(weights: Arrays) -> Any:
    """The network with the variables of the Keras model."""
    names = {"kernel": "weight", "gamma": "weight", "beta": "bias", "bias": "bias"}
    names |= {"moving_mean": "running_mean", "moving_variance": "running_var"}
    axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}
    model = network()
    state = {key: value for key, value in model.state_dict().items() if key.endswith("num_batches_tracked")}
    for key, value in weights.items():
        layer, slash, variable = key.partition("/")
        if slash:
            turned = np.ascontiguousarray(value.transpose(axes[value.ndim]))
            state[f"{layer}.{names[variable]}"] = torch.from_numpy(turned)
    model.load_state_dict(state, strict=True)
    return model.to(memory_format=torch.channels_last).eval()


def tensor(images: np.ndarray) -> Any:
    """Raw 0..255, channels first in name and last in memory."""
    return torch.from_numpy(images.astype("f4")).permute(0, 3, 1, 2)


def accuracy(model: Any, data: Arrays) -> float:
    """Per cent of the test split."""
    with torch.no_grad():
        parts = [model(tensor(part)).argmax(1).numpy() for part in np.array_split(data["x_test"], 20)]
    return round(100 * float((np.concatenate(parts) == data["y_test"].ravel()).mean()), 2)


def check_same(model: Any, weights: Arrays, data: Arrays) -> float:
    """Largest difference to what Keras answered, on probabilities; ends the program when it is above ``AGREE``."""
    with torch.no_grad():
        answers = torch.softmax(model(tensor(data["x_test"][:256])), 1).numpy()
    worst = float(np.abs(answers - weights["answers"]).max())
    if not worst <= AGREE:
        raise SystemExit(f"The PyTorch network differs from the Keras one by up to {worst:.2g}.")
    return worst


def kernel_macs(model: Any) -> int:
    """Products with kernels for one image."""
    found = []

    def count(module: Any, _: Any, output: Any) -> None:
        found.append(module.weight.numel() * output[0, 0].numel())

    watched = copy.deepcopy(model)
    for module in watched.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(count)
    with torch.no_grad():
        watched(torch.zeros(1, 3, 32, 32))
    return sum(found)


def pruned(dense: Any, ratio: float, ranking: str, multiple: int, spared: str) -> Any:
    """A copy with this share of channels removed."""
    model = copy.deepcopy(dense)
    ignored = ("dense", *SHORTCUT) if spared == "shortcuts" else ("dense",)
    torch_pruning.pruner.BasePruner(
        model,
        torch.zeros(1, 3, 32, 32),
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        global_pruning=ranking == "global",
        pruning_ratio=ratio,
        ignored_layers=[model.get_submodule(name) for name in ignored],
        round_to=multiple if multiple > 1 else None,
    ).step()
    return model


def costs(model: Any) -> tuple[int, int]:
    """MACs and parameters, as Torch-Pruning counts them."""
    return tuple(map(int, torch_pruning.utils.count_ops_and_params(model, torch.zeros(1, 3, 32, 32))))


def cut(dense: Any, target: float, *how: Any) -> tuple[Any, float] | None:
    """The model for the smallest pruning ratio that removes at least this share of the MACs, and the ratio, if any.

    Not by bisection: a larger ratio may remove less, because layers that would be emptied are left whole.
    """
    most = costs(dense)[0] * (1 - target)
    every = ((pruned(dense, ratio, *how), ratio) for ratio in (np.arange(1, RATIOS) / RATIOS).tolist())
    return next(((model, ratio) for model, ratio in every if costs(model)[0] <= most), None)


def reestimate(model: Any, x: np.ndarray, options: argparse.Namespace) -> None:
    """BatchNorm statistics as exact means over batches of training images."""
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    model.train()
    with torch.no_grad():
        for batch in range(options.statistics_batches):
            model(tensor(x[batch * options.batch_size : (batch + 1) * options.batch_size]))
    for norm in norms:
        norm.momentum = MOMENTUM
    model.eval()


def finetune(model: Any, x: np.ndarray, y: np.ndarray, options: argparse.Namespace) -> None:
    """Adam on cross-entropy, with Keras' epsilon."""
    rng = np.random.default_rng(options.seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=options.learning_rate, eps=1e-7)
    model.train()
    for _ in range(options.epochs):
        order = rng.permutation(len(x))
        for start in range(0, len(x), options.batch_size):
            part = order[start : start + options.batch_size]
            loss = functional.cross_entropy(model(tensor(x[part])), torch.from_numpy(y[part]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()


def measure(dense: Any, target: float, how: Any, data: Arrays, options: argparse.Namespace) -> dict[str, Any]:
    """One row: the cut, its size, and its accuracies."""
    start, row = time.monotonic(), dict(zip(("ranking", "channel_multiple", "spared"), how, strict=True))
    found, row["target"] = cut(dense, target, *how), target
    if found is None:
        return row | {"refused": "No pruning ratio removes as much."}
    (model, ratio), before = found, costs(dense)
    macs, params = costs(model)
    widths = {name: module.out_channels for name, module in model.named_modules() if hasattr(module, "out_channels")}
    row |= {"ratio": round(ratio, 4), "params": params, "macs": macs}
    row |= {"macs_removed": round(1 - macs / before[0], 4), "kernel_macs": kernel_macs(model)}
    row |= {"kernel_macs_removed": round(1 - kernel_macs(model) / kernel_macs(dense), 4), "widths": widths}
    row |= {"cutting_seconds": round(time.monotonic() - start, 1), "plain": accuracy(model, data)}
    reestimate(model, data["x_train"], options)
    row["batchnorm"] = accuracy(model, data)
    trained = time.monotonic()
    finetune(model, data["x_train"], data["y_train"], options)
    row |= {"finetune_seconds": round(time.monotonic() - trained, 1), "finetuned": accuracy(model, data)}
    reestimate(model, data["x_train"], options)
    return row | {"finetuned_batchnorm": accuracy(model, data), "seconds": round(time.monotonic() - start, 1)}


def host() -> dict[str, Any]:
    """This machine, and the versions at work."""
    cpu = Path("/proc/cpuinfo").read_text().partition("model name\t: ")[2].partition("\n")[0]
    return {
        "cpu": cpu or platform.machine(),
        "num_cpus": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "versions": {package: version(package) for package in ("torch", "torch-pruning", "numpy")},
    }


def read(path: Path, options: argparse.Namespace) -> Arrays:
    """The data set, of the training split a seeded part in an order of its own."""
    with np.load(path) as data:
        picked = np.random.default_rng(options.seed).permutation(len(data["x_train"]))[: options.train_samples]
        found = {"x_train": data["x_train"][picked], "y_train": data["y_train"].ravel()[picked].astype("i8")}
        return found | {"x_test": data["x_test"], "y_test": data["y_test"]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--export", action="store_true", help="write --weights from --model, and nothing else")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--targets", type=float, nargs="+", default=(0.25, 0.5, 0.7), help="shares of MACs to remove")
    parser.add_argument("--rankings", choices=("local", "global"), nargs="+", default=("local",))
    parser.add_argument("--channel-multiples", type=int, nargs="+", default=(1,))
    parser.add_argument("--spared", choices=("none", "shortcuts"), nargs="+", default=("none", "shortcuts"))
    for name, default in BUDGET.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    options = parser.parse_args()
    data = read(options.data, options)
    if options.export:
        export(options.model, options.weights, data["x_test"])
        return
    weights = dict(np.load(options.weights))
    dense = loaded(weights)
    macs, params = costs(dense)
    found: dict[str, Any] = {"macs": macs, "kernel_macs": kernel_macs(dense), "params": params}
    found |= {"difference_to_keras": check_same(dense, weights, data), "accuracy": accuracy(dense, data)}
    again = copy.deepcopy(dense)
    reestimate(again, data["x_train"], options)
    found["batchnorm"] = accuracy(again, data)
    results = []
    for *how, target in product(options.rankings, options.channel_multiples, options.spared, options.targets):
        results.append(measure(dense, target, how, data, options))
        print(results[-1], file=sys.stderr, flush=True)
    settings = {name: getattr(options, name) for name in BUDGET}
    settings |= {"weights": options.weights.name, "data": options.data.name}
    print(json.dumps({"settings": settings, "dense": found, "results": results, "host": host()}, indent=2))


if __name__ == "__main__":
    main()
