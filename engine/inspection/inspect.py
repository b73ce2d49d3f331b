"""What is this file? The checks behind an upload, and ``python -m engine inspect``."""

from pathlib import Path

from engine.data.read import read
from engine.data.summary import summarise
from screening import screen
from secateur.reports.summaries import DatasetSummary, ModelSummary
from secateur.specs.reading import Reading


def inspect_model(path: Path) -> ModelSummary:
    """Load a model and tell what it is; one of an old Keras is compared with what that Keras computes.

    Raises:
        UploadRefused: one of its kinds, when the file cannot be used.
        TranslationDisagrees: it computes something else than its file did.
    """
    with path.open("rb") as file:
        screen("model", path.name, file)  # what it refuses need not wait for Keras
    from engine.importers import load_model
    from engine.inspection import summary  # Keras takes seconds to import, and a data set does not need it
    from engine.inspection.compare import compared

    loaded = load_model.load(path)
    found = {"format": loaded.format, "source": f"Keras {loaded.version}", "compared": compared(loaded, path)}
    return summary.summarise(loaded.model).model_copy(update=found)


def inspect_dataset(path: Path, reading: Reading) -> DatasetSummary:
    """Read a data set and tell what it holds. Imports TensorFlow only for records.

    Raises:
        UploadRefused: one of its kinds, when the file cannot be used.
    """
    return summarise(read(path, reading), reading)
