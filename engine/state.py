"""A model and its masks as a section of a trail, and back."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from engine.model import finalized
from engine.pruning.masking import Masks
from engine.trail import Section


def variables_told(variables: Sequence[Any], name: str = "variable") -> Section:
    """Values of variables, by their places."""
    return {
        f"{name}/{place}": np.array(keras.ops.convert_to_numpy(variable)) for place, variable in enumerate(variables)
    }


def take_up_variables(section: Section, variables: Sequence[Any], name: str = "variable") -> None:
    """Give variables the values that were told of others like them."""
    for place, variable in enumerate(variables):
        variable.assign(section[f"{name}/{place}"])


def model_told(model: Any, masks: Masks) -> Section:
    """Every variable of a model, the states of its random generators among them, and the masks on it."""
    return {**variables_told(model.variables), **masks.told()}


def take_up_model(section: Section, model: Any, masks: Masks) -> None:
    """Put them into a model of the same layers."""
    take_up_variables(section, model.variables)
    finalized(model)
    masks.take_up(section)
