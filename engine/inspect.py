"""What is this file? The checks behind an upload, and ``python -m engine inspect``."""

from pathlib import Path

from engine.data.formats import read
from engine.data.summary import summarise
from jobspec.spec import Scale
from jobspec.summaries import DatasetSummary, ModelSummary


def inspect_model(path: Path) -> ModelSummary:
    """Load a model and tell what it is.

    Raises:
        UploadRefused: one of its kinds, when the file cannot be used.
    """
    from engine import model  # Keras takes seconds to import, and a data set does not need it

    return model.summarise(model.load_model(path))


def inspect_dataset(path: Path, *, scale: Scale) -> DatasetSummary:
    """Read a data set and tell what it holds. Does not import TensorFlow.

    Raises:
        UploadRefused: one of its kinds, when the file cannot be used.
    """
    return summarise(read(path), scale=scale)
