"""Fourteen families of keras.applications: what our masks, the bridge, and TFMOT do with each. Prints JSON.

    python benchmarks/engine/families.py > benchmarks/results/families.json

Random weights, the smallest input that the family takes, one family at a time in a fresh process. Natively 80 % of
every prunable kernel is cut at once; TFMOT gets the tf_keras twin, first whole, then layer by layer through our
toolkit.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from typing import Any

import keras
import numpy as np

from engine.bridge.twin import largest_difference, twin
from engine.evaluation.host import host
from engine.models.prunable import prunable_kernels
from engine.pruning.mask import keep_largest
from engine.pruning.masking import Masks
from engine.tfmot import gradual
from secateur.errors import RequestError
from secateur.specs.pruning import Prune

SIZES = {
    "MobileNet": 32,
    "MobileNetV2": 32,
    "MobileNetV3Small": 32,
    "EfficientNetB0": 32,
    "EfficientNetV2B0": 32,
    "ResNet50": 32,
    "ResNet50V2": 32,
    "DenseNet121": 32,
    "NASNetMobile": 32,
    "InceptionV3": 75,
    "InceptionResNetV2": 75,
    "Xception": 71,
    "VGG16": 32,
    "ConvNeXtTiny": 32,
}
SPARSITY = 0.8


def natively(model: Any) -> dict[str, Any]:
    """Cut every prunable kernel at once and count."""
    masks = Masks(prunable_kernels(model))
    for name in masks.names:
        weights = masks.weights(name)
        masks.set(name, weights * keep_largest(np.abs(weights), SPARSITY, within=masks.mask(name)))
    zeros = [1 - np.count_nonzero(masks.weights(name)) / masks.weights(name).size for name in masks.names]
    pixels = np.random.default_rng(0).uniform(0, 1, (2, *model.inputs[0].shape[1:])).astype(np.float32)
    return {
        "kernels": len(masks.names),
        "sparsity": round(masks.sparsity(), 4),
        "least": round(min(zeros), 4),
        "finite": bool(np.isfinite(np.asarray(model(pixels, training=False))).all()),
    }


def by_hand(twin_model: Any) -> str:
    """``prune_low_magnitude`` over the whole model, as TFMOT's guide shows it: "works", or how it fails."""
    import tensorflow_model_optimization

    try:
        tensorflow_model_optimization.sparsity.keras.prune_low_magnitude(twin_model)
    except Exception as fault:  # noqa: BLE001 - how it fails is the result
        text = " ".join(str(fault).split())
        return f"{type(fault).__name__}: {text.partition('You passed: ')[2] or text[:200]}"
    return "works"


def shake(model: Any) -> None:
    """Give biases and BatchNorm values of their own, so that two models which agree do so for a reason."""
    rng = np.random.default_rng(0)
    for variable in model.weights:
        if len(variable.shape) == 1:
            value = np.asarray(variable) * rng.uniform(0.8, 1.2, variable.shape)
            noise = 0.0 if "variance" in variable.name else 0.1
            variable.assign(value + noise * rng.standard_normal(variable.shape))


def one(family: str) -> dict[str, Any]:
    """Everything about one family."""
    size, start = SIZES[family], time.monotonic()
    model = getattr(keras.applications, family)(
        weights=None, input_shape=(size, size, 3), classes=10, classifier_activation=None
    )
    shake(model)
    found: dict[str, Any] = {"family": family, "input": size, "params": model.count_params()}
    try:
        made = twin(model)
        found["difference"] = largest_difference(model, made)
        found["tfmot_by_hand"] = by_hand(made.model)
        pruned, dense = gradual.plan(model, Prune(toolkit="tfmot", sparsity=SPARSITY))
        found["toolkit_tfmot"] = {"pruned": len(pruned), "dense": dense}
    except RequestError as refusal:
        found["refused"] = refusal.detail
    found["native"] = natively(model)
    return found | {"seconds": round(time.monotonic() - start, 1)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=SIZES)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    families = []
    for family in SIZES:
        ran = subprocess.run([sys.executable, __file__, "--one", family], check=False, capture_output=True, text=True)
        if ran.returncode:
            families.append({"family": family, "crashed": ran.stderr.strip().splitlines()[-1:]})
        else:
            families.append(json.loads(ran.stdout.strip().splitlines()[-1]))
        print(families[-1], file=sys.stderr)
    works = Counter(family.get("tfmot_by_hand") == "works" for family in families)
    summary = {"families": len(families), "tfmot_by_hand_works": works[True]}
    print(
        json.dumps(
            {"sparsity": SPARSITY, "summary": summary, "results": families, "host": host().model_dump()}, indent=2
        )
    )


if __name__ == "__main__":
    main()
