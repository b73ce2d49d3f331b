"""Fourteen families of keras.applications with half of their channels taken away. Prints JSON.

    PYTHONPATH=. python benchmarks/engine/channel_families.py > benchmarks/results/channel_families.json

Random weights and BatchNorm statistics, a random half of the channels of every group that can be cut, one family at a
time in a fresh process. Measured: the largest difference between the smaller model and the whole one with zeros in
place of what goes, as a share of the largest output; and the same between the smaller model and its LiteRT files, of
which int8 rounds. The files are run on inputs that they were not calibrated with.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import keras
import numpy as np
from families import SIZES

from engine.arrays import Array
from engine.evaluation.host import host
from engine.export.litert import Runner, convert
from engine.structured.groups import channels_of
from engine.structured.surgery import shrink
from secateur.specs.spec import Scheme
from tests.engine.structured.masked import chosen, error, masked_outputs, outputs_of, randomized

SCHEMES: tuple[Scheme, ...] = ("none", "int8")
CALIBRATION = 32


def one(family: str) -> dict[str, Any]:
    """Everything about one family."""
    size, start = SIZES[family], time.monotonic()
    shape = (size, size, 3)
    model = randomized(
        getattr(keras.applications, family)(weights=None, input_shape=shape, classes=10, classifier_activation=None)
    )
    pixels = np.random.default_rng(0).uniform(0, 1, (CALIBRATION + 4, *shape)).astype(np.float32)
    if family.startswith(("EfficientNet", "MobileNetV3", "ConvNeXt")):
        pixels *= 255  # these scale their inputs themselves
    calibration, seen = pixels[:CALIBRATION], pixels[CALIBRATION:]
    channels = channels_of(model)
    kept = chosen(channels)
    small = shrink(channels, kept)
    expected = outputs_of(small, [seen])
    frozen = {group.name: list(group.frozen) for group in channels.groups if group.frozen}
    return {
        "family": family,
        "input": size,
        "groups": len(channels.groups),
        "frozen": frozen,
        "tags": sorted({tag for group in channels.groups for tag in group.tags}),
        "params": model.count_params(),
        "small_params": small.count_params(),
        "error": error(masked_outputs(channels, kept, [seen]), expected),
        "changed": error(outputs_of(model, [seen]), expected),
        "litert": {scheme: _litert(small, scheme, calibration, seen, expected[0]) for scheme in SCHEMES},
        "seconds": round(time.monotonic() - start, 1),
    }


def _litert(small: Any, scheme: Scheme, calibration: Array, seen: Array, expected: Array) -> dict[str, Any]:
    content = convert(small, scheme, calibration=calibration)
    found = Runner(content).predict([seen])
    return {
        "bytes": len(content),
        "difference": error([expected], [found]),
        "correlation": float(np.corrcoef(expected.ravel(), found.ravel())[0, 1]),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--one", choices=SIZES)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one)))
        return
    families = []
    for family in SIZES:
        command = [sys.executable, __file__, "--one", family]
        ran = subprocess.run(command, check=False, capture_output=True, text=True)
        if ran.returncode:
            families.append({"family": family, "crashed": ran.stderr.strip().splitlines()[-1:]})
        else:
            families.append(json.loads(ran.stdout.strip().splitlines()[-1]))
        print(families[-1], file=sys.stderr)
    summary = {
        "families": len(families),
        "exact": sum(family.get("error", 1.0) < 1e-5 for family in families),
        "largest_error": max(family.get("error", 1.0) for family in families),
    }
    print(json.dumps({"share": 0.5, "summary": summary, "results": families, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
