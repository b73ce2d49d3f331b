"""The original, exported and measured before anything is changed; once for all trials of a sweep."""

import hashlib
import json
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np

from engine.job import Job
from engine.measuring import litert, measure
from engine.objectives import judged_name
from engine.parts import arrays_of, output_names, side_by_side
from jobspec.progress import ProducedFile
from jobspec.report import Quality, Sizes, Variant

FILE: Final = ProducedFile(name="baseline.npz", media_type="application/octet-stream")


def measured(job: Job, folder: Path) -> measure.Baseline:
    """Export the model into a folder and measure the file on the test split.

    Raises:
        ConversionFailed, ExportDisagrees: see ``measure.export`` and ``measure.check_same``.
    """
    exported = measure.export("baseline", job.model, "none", folder, job.calibration(1))
    measure.check_same(exported, job.model, job.probe())
    test = job.data.test
    outputs = measure.outputs_of(job.model, job.feed, test.x)
    said = measure.said(exported, job.feed, test.x)
    found = measure.quality(job.objective, test.y, said, outputs)
    return measure.Baseline(exported, found, outputs, measure.qualities(job.objective, test.y, said, outputs))


def save(job: Job, baseline: measure.Baseline, tflite: Path, path: Path) -> Variant:
    """Keep a baseline for the trials of a sweep. Returns it with its latency, for the sweep's own report."""
    (variant,) = measure.variants([(baseline.exported, baseline.quality)], job.probe())
    told = {
        "key": key(job),
        "model_name": job.model.name,
        "variant": variant.model_dump(mode="json"),
        "by_output": {name: found.model_dump(mode="json") for name, found in baseline.by_output.items()},
    }
    arrays: dict[str, Any] = {
        "told": np.frombuffer(json.dumps(told).encode(), np.uint8),
        "tflite": np.frombuffer(tflite.read_bytes(), np.uint8),
    }
    arrays |= {f"outputs_{place}": array for place, array in enumerate(arrays_of(baseline.outputs))}
    np.savez(path, **arrays)
    return variant


def told(path: Path) -> tuple[str, Variant]:
    """Name of the model, and the baseline as the sweep's report shows it."""
    with np.load(path, allow_pickle=False) as kept:
        found = json.loads(kept["told"].tobytes())
    return found["model_name"], Variant.model_validate(found["variant"])


def taken_up(job: Job, path: Path) -> measure.Baseline | None:
    """The baseline that a sweep measured; None when it was of another test split, scaling or metric."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            found, names = json.loads(kept["told"].tobytes()), output_names(job.model)
            outputs = side_by_side(names, [kept[f"outputs_{place}"] for place in range(len(names))])
            by_output = {name: Quality.model_validate(each) for name, each in found["by_output"].items()}
            content, variant = kept["tflite"].tobytes(), Variant.model_validate(found["variant"])
        if found["key"] != key(job):
            return None
    except (KeyError, TypeError, ValueError, BadZipFile, OSError):  # not what we wrote
        return None
    exported = measure.Export(
        "baseline",
        variant.scheme,
        litert.runner_of(job.model, content),
        Sizes.model_validate(variant.sizes),
        variant.num_params,
        variant.num_nonzero_params,
        variant.num_macs or 0,
    )
    return measure.Baseline(exported, Quality.model_validate(variant.quality), outputs, by_output)


def key(job: Job) -> str:
    """Digest of what the numbers depend on beside the files themselves: equal keys, equal baselines."""
    digest = hashlib.sha256()
    for labels in arrays_of(job.data.test.y):
        digest.update(np.ascontiguousarray(labels).tobytes())
    wanted = [(each.metric, each.task) for each in job.objective.all]
    digest.update(repr((len(job.data.test), job.feed, wanted, judged_name(job.objective))).encode())
    return digest.hexdigest()
