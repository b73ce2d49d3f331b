"""The baseline: the uploaded model, exported and measured before any change; once for all trials of a sweep."""

import hashlib
import tempfile
from pathlib import Path
from typing import Final
from zipfile import BadZipFile

import numpy as np

from engine.checkpoint.sections import Section, as_array, from_array
from engine.evaluation import measure
from engine.export import saved_export
from engine.export.export import check_same, export
from engine.objectives.objectives import judged_name
from engine.parts import arrays_of, by_output, output_names
from engine.run.context import Run
from secateur.protocol.progress import ProducedFile
from secateur.reports.report import Quality, Variant

FILE: Final = ProducedFile(name="baseline.npz", media_type="application/octet-stream")


def measured(run: Run, folder: Path) -> measure.Baseline:
    """Export the model into a folder and measure the file on the test split.

    Raises:
        ConversionFailed, ExportDisagrees: see ``export`` and ``check_same``.
    """
    exported = export("baseline", run.model, "none", folder, run.calibration(1))
    check_same(exported, run.model, run.probe())
    test = run.context.data.test
    outputs = measure.outputs_of(run.model, run.context.feed, test.x)
    said = measure.outputs_of_file(exported, run.context.feed, test.x)
    found = measure.quality(run.context.objective, test.y, said, outputs)
    return measure.Baseline(exported, found, outputs, measure.qualities(run.context.objective, test.y, said, outputs))


def state_dict(run: Run, baseline: measure.Baseline) -> Section:
    """The state of a baseline, for other jobs on the same model and data, or for this job in another process."""
    qualities = {name: found.model_dump(mode="json") for name, found in baseline.by_output.items()}
    about = {"key": key(run), "quality": baseline.quality.model_dump(mode="json"), "by_output": qualities}
    outputs = {f"outputs_{place}": array for place, array in enumerate(arrays_of(baseline.outputs))}
    return {"about": as_array(about), **saved_export.state_dict(baseline.exported), **outputs}


def from_state_dict(run: Run, section: Section) -> measure.Baseline | None:
    """The saved baseline; None if it belongs to another test split, scaling or metric, or is damaged."""
    try:
        about, names = from_array(section["about"]), output_names(run.model)
        if about["key"] != key(run):
            return None
        return measure.Baseline(
            saved_export.from_state_dict(run.model, section),
            Quality.model_validate(about["quality"]),
            by_output(names, [section[f"outputs_{place}"] for place in range(len(names))]),
            {name: Quality.model_validate(each) for name, each in about["by_output"].items()},
        )
    except (KeyError, TypeError, ValueError):  # not a section that we wrote
        return None


def save(run: Run, baseline: measure.Baseline, path: Path) -> Variant:
    """Save a baseline for the trials of a sweep. Returns it with its latency, for the report of the sweep."""
    (variant,), _ = measure.variants([(baseline.exported, baseline.quality)], run.probe())
    seen = {"model_name": run.model.name, "variant": variant.model_dump(mode="json")}
    np.savez(path, allow_pickle=False, seen=as_array(seen), **state_dict(run, baseline))
    return variant


def read(path: Path) -> Section:
    """Read what ``save`` wrote; empty if the file cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            return {name: kept[name] for name in kept.files}
    except (TypeError, ValueError, BadZipFile, OSError):
        return {}


def seen(path: Path) -> tuple[str, Variant]:
    """The name of the model, and the baseline for the report of the sweep."""
    found = from_array(read(path)["seen"])
    return found["model_name"], Variant.model_validate(found["variant"])


def key(run: Run) -> str:
    """Digest of everything that the numbers depend on besides the files: equal keys, equal baselines."""
    digest = hashlib.sha256()
    for labels in arrays_of(run.context.data.test.y):
        digest.update(np.ascontiguousarray(labels).tobytes())
    wanted = [(each.metric, each.task) for each in run.context.objective.all]
    digest.update(
        repr((len(run.context.data.test), run.context.feed, wanted, judged_name(run.context.objective))).encode()
    )
    return digest.hexdigest()


def original(run: Run, known: Path | None, kept: Section | None) -> measure.Baseline:
    """The baseline of this job: restored, or measured for its sweep, if one fits; else measured now."""
    for section in (kept, None if known is None else read(known)):
        if section is not None and (found := from_state_dict(run, section)) is not None:
            return found
    with tempfile.TemporaryDirectory() as scratch:
        return measured(run, Path(scratch))
