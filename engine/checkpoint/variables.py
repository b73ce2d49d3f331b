"""Values of variables as a section of a checkpoint, and back."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from engine.checkpoint.sections import Section


def variables_told(variables: Sequence[Any], name: str = "variable") -> Section:
    """Values of variables, by their places."""
    return {
        f"{name}/{place}": np.array(keras.ops.convert_to_numpy(variable)) for place, variable in enumerate(variables)
    }


def take_up_variables(section: Section, variables: Sequence[Any], name: str = "variable") -> None:
    """Give variables the values that were told of others like them."""
    for place, variable in enumerate(variables):
        variable.assign(section[f"{name}/{place}"])
