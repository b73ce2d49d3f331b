"""Keras model files, read with suspicion."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from engine.importers import read
from engine.importers.read import Loaded
from engine.importers.standard_form import standard_form
from engine.models.model import float32_model
from secateur.errors import ModelUnreadable, SecateurError


def load_model(path: Path) -> Any:
    """Load a model file of any accepted format. Only ever called in a process that may be lost.

    Raises:
        UploadRefused: what the checks of the file found.
        ModelUnreadable: Keras cannot load the file, or its weights are not finite.
    """
    return load(path).model


def load(path: Path) -> Loaded:
    """The same, with the format of the file and the Keras that wrote it. Raises: as ``load_model``."""
    try:
        loaded = read.load(path)
    except SecateurError:
        raise
    except Exception as fault:  # Keras raises every kind for a damaged file
        reason = str(fault).strip().splitlines()[0][:300] if str(fault).strip() else type(fault).__name__
        raise ModelUnreadable(
            f"Keras {keras.__version__} cannot load the model: {reason}",
            suggestions=["Save it again with model.save('model.keras') and check that load_model takes it."],
        ) from fault
    model = loaded.model
    if not getattr(model, "outputs", None) or not getattr(model, "inputs", None):
        raise ModelUnreadable(
            "The model has no graph of layers from inputs to outputs.",
            suggestions=["Build it with keras.Sequential and an Input, or with the functional API, and save it again."],
        )
    for variable in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(variable)).all():
            raise ModelUnreadable(
                f"Weight {variable.path!r} holds NaN or infinity.", suggestions=["Train the model again; it diverged."]
            )
    model, notes = standard_form(model)
    return replace(loaded, model=float32_model(model), notes=(*loaded.notes, *notes))
