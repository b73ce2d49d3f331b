"""An MLP pruned and retrained in at most 6 epochs, weights and whole units, one recipe each as a user writes it.

    python benchmarks/engine/retrained.py --model MODEL.keras --data MNIST.npz > benchmarks/results/retrained.json

Accuracy is that of the exported float32 ``.tflite`` file on the test split, as the report gives it.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from engine.evaluation.host import host
from engine.pipeline.compress import compress
from secateur.reports.report import Report
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe

SPARSITIES = (0.25, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97, 0.99)


def recipe(structure: str, sparsity: float) -> dict[str, Any]:
    """Five epochs of cutting, three of them on the ramp, and one at a tenth of the rate."""
    schedule = {"kind": "polynomial", "epochs": 5, "ramp": 0.6}
    criterion = "l2_norm" if structure == "unit" else "magnitude"
    prune = {"kind": "prune", "structure": structure, "criterion": criterion, "sparsity": sparsity}
    return {
        "steps": [prune | {"schedule": schedule}, {"kind": "finetune", "epochs": 1}],
        "training": {"optimizer": "adam"},
    }


def run(model: Path, data: Path, wanted: dict[str, Any]) -> tuple[Report, float]:
    """The report of a job, and its seconds."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        compress(
            Recipe.model_validate(wanted),
            model=model,
            dataset=data,
            reading=Reading(scale="1/255"),
            out=out,
            emit=lambda _: None,
        )
        return Report.model_validate_json((out / "report.json").read_text()), time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    results = []
    for structure in ("weight", "unit"):
        for sparsity in SPARSITIES:
            report, seconds = run(options.model, options.data, recipe(structure, sparsity))
            results.append(
                {
                    "structure": structure,
                    "sparsity": sparsity,
                    "delivered": report.delivered_sparsity,
                    "accuracy": round(100 * report.result.quality.score.value, 2),
                    "dense": round(100 * report.baseline.quality.score.value, 2),
                    "seconds": round(seconds),
                }
            )
    print(json.dumps({"recipe": recipe("weight", 0.9), "results": results, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
