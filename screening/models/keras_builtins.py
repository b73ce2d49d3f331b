"""Which classes and functions a model may name: data in ``keras_builtins.json``, taken from Keras itself."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources


@dataclass(frozen=True)
class Builtins:
    """Names by the module under which Keras writes them into a config."""

    classes: Mapping[str, frozenset[str]]
    functions: Mapping[str, frozenset[str]]
    refused_layers: Mapping[str, str]

    def has_class(self, module: str | None, name: str) -> bool:
        """Whether this is a class to load. Without a module Keras looks the name up among its own."""
        if module is None:
            return False
        return name in self.classes.get(module, ())

    def has_function(self, module: str | None, name: str) -> bool:
        """Whether this is an activation, a loss or a metric. ``builtins`` is how Keras writes all of them."""
        if module == "builtins":
            return any(name in names for names in self.functions.values())
        return name in self.functions.get(module or "", ())


@cache
def builtins() -> Builtins:
    """The list, read once."""
    data = json.loads(resources.files("screening.models").joinpath("keras_builtins.json").read_text(encoding="utf-8"))
    return Builtins(
        classes={module: frozenset(names) for module, names in data["classes"].items()},
        functions={module: frozenset(names) for module, names in data["functions"].items()},
        refused_layers=data["refused_layers"],
    )
