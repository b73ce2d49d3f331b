"""What is this file? The checks behind an upload, and ``python -m engine inspect``."""

from pathlib import Path

from engine.data.read import read
from engine.data.summary import summarise
from screening import screen
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.reading import Reading


def inspect_model(path: Path) -> ModelSummary:
    """Load a model, run and convert it once, and say what it is; a translated one is compared with its old Keras.

    Raises:
        UploadRefused: one of its kinds, when the file cannot be used or the model cannot be run.
        TranslationDisagrees: it computes something else than its file did.
    """
    with path.open("rb") as file:
        screen("model", path.name, file)  # what it refuses need not wait for Keras
    from engine.importers import load_model
    from engine.inspection import summary  # Keras takes seconds to import, and a data set does not need it
    from engine.inspection.compare import compared
    from engine.inspection.trial_run import trial_run

    loaded = load_model.load(path)
    tried = trial_run(loaded.model)
    found = {
        "format": loaded.format,
        "source": f"Keras {loaded.version}",
        "compared": compared(loaded, path),
        "notes": (*loaded.notes, *tried.notes),
        "operations": tried.operations,
        "not_convertible": tried.not_convertible,
    }
    return summary.summarise(loaded.model).model_copy(update=found)


def inspect_dataset(path: Path, reading: Reading) -> DatasetSummary:
    """Read a data set and tell what it holds. Imports TensorFlow only for records.

    Raises:
        UploadRefused: one of its kinds, when the file cannot be used.
    """
    return summarise(read(path, reading), reading)
