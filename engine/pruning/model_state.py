"""A model and its masks as a section of a trail, and back."""

from typing import Any

from engine.checkpoint.sections import Section
from engine.checkpoint.variables import take_up_variables, variables_told
from engine.models.model import finalized
from engine.pruning.masking import Masks


def model_told(model: Any, masks: Masks) -> Section:
    """Every variable of a model, the states of its random generators among them, and the masks on it."""
    return {**variables_told(model.variables), **masks.told()}


def take_up_model(section: Section, model: Any, masks: Masks) -> None:
    """Put them into a model of the same layers."""
    take_up_variables(section, model.variables)
    finalized(model)
    masks.take_up(section)
