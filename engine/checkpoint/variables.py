"""Values of variables as a section of a checkpoint, and back."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from engine.checkpoint.sections import Section


def variables_state(variables: Sequence[Any], name: str = "variable") -> Section:
    """The values of variables, by their position."""
    return {
        f"{name}/{place}": np.array(keras.ops.convert_to_numpy(variable)) for place, variable in enumerate(variables)
    }


def load_variables(section: Section, variables: Sequence[Any], name: str = "variable") -> None:
    """Assign saved values to variables of the same shapes."""
    for place, variable in enumerate(variables):
        variable.assign(section[f"{name}/{place}"])
