"""The quantize step: export the model in its number format."""

from pathlib import Path

from engine.export.export import check_same, export
from engine.pruning.delivery import drop_signs_of_zeros
from engine.run.context import Run
from secateur.specs.spec import Quantize


def quantize(run: Run, step: Quantize, folder: Path) -> str:
    """Export the current model; the files are measured at the end of the run.

    Raises:
        ConversionFailed: LiteRT cannot express the model.
        ExportDisagrees: the float32 file does not compute what the model computes.
    """
    calibration = run.calibration(step.calibration_samples)
    drop_signs_of_zeros(run.model)
    run.result = export("result", run.model, step.scheme, folder, calibration)
    if step.scheme == "none":
        check_same(run.result, run.model, run.probe())
    return f"{step.scheme}, {run.result.sizes.tflite_bytes:,} bytes"
