"""Public modules of Keras classes. Keras 3.0.0 and 3.0.1 recorded each class under its private module instead."""

from typing import Any, Final

from screening.models.keras_builtins import builtins

PRIVATE: Final = "keras.src."


def with_public_modules(config: Any) -> Any:
    """A parsed config, changed in place: classes named by a private module get their public one.

    Only the list of built-in classes decides, so that no module is imported for the sake of its name. A name that the
    list does not have under the public module stays as it is, and is refused later.

    >>> with_public_modules({"module": "keras.src.layers.core.dense", "class_name": "Dense", "config": {}})["module"]
    'keras.layers'
    """
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
            module, name = value.get("module"), value.get("class_name")
            if isinstance(module, str) and isinstance(name, str) and module.startswith(PRIVATE):
                value["module"] = _public(module, name, value.get("config"))
        elif isinstance(value, list):
            waiting += value
    return config


def _public(module: str, name: str, config: Any) -> str:
    known = builtins()
    if known.has_class(module, name):  # operations, and functional models, are recorded like this to this day
        return module
    packages = module.removeprefix(PRIVATE).split(".")
    for length in range(len(packages), -1, -1):
        public = ".".join(("keras", *packages[:length]))
        function = name == "function" and isinstance(config, str) and known.has_function(public, config)
        if function or known.has_class(public, name):
            return public
    return module
