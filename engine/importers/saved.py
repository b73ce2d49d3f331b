"""What every kind of model file comes down to: a config, arrays by layer, and how it was compiled."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.arrays import Array

Path = tuple[str, ...]
"""Where a layer stands: its name in the config, behind the names of the models around it."""


class Named(NamedTuple):
    """One array under the name that the file gives it, which may be empty."""

    name: str
    array: Array


@dataclass(frozen=True)
class Saved:
    """A model as its file has it.

    Attributes:
        version: of the Keras that wrote it, such as ``2.4.0``.
        config: class name and config of the model, in that Keras' own words.
        weights: arrays in the order of tf_keras: what is trained first, then the rest. A nested model stands here as a
            whole or layer by layer, as the file has it.
        compiled: ``loss``, ``metrics`` and ``optimizer`` as the file has them; None when it was not compiled.
        wrapped: names of the layers that stood in pruning wrappers.
    """

    version: str
    config: Mapping[str, Any]
    weights: Mapping[Path, tuple[Named, ...]]
    compiled: Mapping[str, Any] | None = None
    wrapped: tuple[str, ...] = ()

    @property
    def major(self) -> int:
        """The first number of the version; files of the first Keras do not always say it."""
        return int(self.version[0]) if self.version[:1].isdigit() else 1
