"""Sequential models read in one go.

Keras 3.15 rebuilds the whole graph after each layer that ``Sequential.from_config`` adds: 400 layers take a minute. Its
constructor builds once. ``install`` lets configs be read by the constructor.
"""

from collections.abc import Mapping
from typing import Any, Final

import keras
from keras.src.legacy.saving.saving_utils import model_from_config

_INSTALLED: Final = "secateur_reads_once"


def install() -> None:
    """Let Keras read Sequential models in this process with the function below. Calling it again changes nothing."""
    if not hasattr(keras.Sequential, _INSTALLED):
        keras.Sequential.from_config = classmethod(_from_config)
        setattr(keras.Sequential, _INSTALLED, True)


def _from_config(cls: Any, config: Mapping[str, Any], custom_objects: Any = None) -> Any:
    if "name" not in config or "layers" not in config:
        raise ValueError(f"The config of a Sequential model needs name and layers; it has {', '.join(config)}.")
    listed = []
    for layer in config["layers"]:
        if "module" in layer:
            listed.append(keras.saving.deserialize_keras_object(layer, custom_objects=custom_objects))
        else:  # as HDF5 files and SavedModels have it
            listed.append(model_from_config(layer, custom_objects=custom_objects))
    model = cls(listed, name=config["name"])
    shape = config.get("build_input_shape")
    if not model._functional and shape and isinstance(shape, tuple | list):
        model.build(shape)
    return model
