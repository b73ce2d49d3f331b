"""A model and its masks as a section of a checkpoint, and back."""

from typing import Any

from engine.checkpoint.sections import Section
from engine.checkpoint.variables import load_variables, variables_state
from engine.models.model import finalized
from engine.pruning.masking import Masks


def model_state(model: Any, masks: Masks) -> Section:
    """Every variable of a model, the states of its random generators among them, and the masks on it."""
    return {**variables_state(model.variables), **masks.state_dict()}


def load_model_state(section: Section, model: Any, masks: Masks) -> None:
    """Load both into a model with the same layers."""
    load_variables(section, model.variables)
    finalized(model)
    masks.load_state_dict(section)
