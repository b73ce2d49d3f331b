"""Run a Keras model on inputs that are in memory."""

from typing import Any

from engine.faults import attribute_errors_to_samples
from engine.parts import Inputs, Outputs, as_model_input, named_outputs

BATCH = 256
"""Samples that are computed at a time."""


def predict(model: Any, inputs: Inputs) -> Outputs:
    """Outputs of a Keras model."""
    with attribute_errors_to_samples():
        return named_outputs(model, model.predict(as_model_input(inputs), batch_size=BATCH, verbose=0))
