"""Run a Keras model on inputs that are in memory."""

from typing import Any

from engine.faults import samples_blamed
from engine.parts import Inputs, Outputs, given, said_by

BATCH = 256
"""Samples that are computed at a time."""


def predict(model: Any, inputs: Inputs) -> Outputs:
    """Outputs of a Keras model."""
    with samples_blamed():
        return said_by(model, model.predict(given(inputs), batch_size=BATCH, verbose=0))
