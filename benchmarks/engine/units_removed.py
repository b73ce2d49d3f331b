"""Units of an MLP really removed, without labels or training, one recipe each as a user writes it. Prints JSON.

    python benchmarks/engine/units_removed.py --model MODEL.keras --data MNIST.npz \\
        > benchmarks/results/units_removed.json

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

SPARSITIES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.97)
CRITERIA = ("obs", "wanda", "magnitude", "l2_norm", "random")


def run(model: Path, data: Path, step: dict[str, Any], seed: int) -> tuple[Report, float]:
    """The report of a job, and the seconds that its prune step took."""
    recipe = Recipe.model_validate({"steps": [{"kind": "prune", "structure": "channel"} | step], "seed": seed})
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        start = time.monotonic()
        compress(recipe, model=model, dataset=data, reading=Reading(scale="1/255"), out=out, emit=lambda _: None)
        report = Report.model_validate_json((out / "report.json").read_text())
        return report, report.seconds.get("prune", time.monotonic() - start)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    results = []
    for criterion in CRITERIA:
        for sparsity in SPARSITIES:
            step = {"sparsity": sparsity, "criterion": criterion, "channel_multiple": 1}
            runs = [run(options.model, options.data, step, seed) for seed in range(options.seeds)]
            reports = [report for report, _ in runs]
            row = {
                "criterion": criterion,
                "sparsity": sparsity,
                "accuracy": [round(100 * report.result.quality.score.value, 2) for report in reports],
                "params": reports[0].result.num_params,
                "times_faster": round(reports[0].baseline.latency.p50_ms / reports[0].result.latency.p50_ms, 2),
                "seconds": [round(seconds, 1) for _, seconds in runs],
            }
            results.append(row)
    dense = round(100 * reports[0].baseline.quality.score.value, 2)
    print(json.dumps({"dense": dense, "results": results, "host": host().model_dump()}, indent=2))


if __name__ == "__main__":
    main()
