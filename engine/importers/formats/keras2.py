"""``.keras`` files of Keras 2 (tf_keras): a config of its time, and weights by the class and number of each layer."""

import pathlib
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import h5py

from engine.arrays import Array
from engine.importers.formats.hdf5 import numbers, opened
from engine.importers.rebuild.graph import MODELS, name_of, parts
from engine.importers.refusals import unreadable
from engine.importers.saved import Named, Path, Saved
from screening.archive import Archive
from screening.models.keras_file import WEIGHTS, config_of, version_of

CONTAINERS: Final = ("layers", "_layer_checkpoint_dependencies")
"""Under which names the layers of a model stand; the second is that of TensorFlow 2.12 and 2.13."""

ATTRIBUTES: Final[tuple[str, ...]] = (
    "cell",
    "cells",
    "forward_layer",
    "backward_layer",
    "_query_dense",
    "_key_dense",
    "_value_dense",
    "_output_dense",
)
"""Layers inside layers, in the order in which tf_keras lists their weights."""


@dataclass
class _Tree:
    """The groups of the file. Windows wrote paths with backslashes into single names, so these are split too."""

    arrays: dict[int, Array] = field(default_factory=dict)
    inside: dict[str, "_Tree"] = field(default_factory=dict)

    def at(self, path: list[str]) -> "_Tree":
        return self if not path else self.inside.setdefault(path[0], _Tree()).at(path[1:])


def read(path: pathlib.Path) -> Saved:
    """A ``.keras`` file of tf_keras that passed the static checks.

    Raises:
        UploadRefused: its weights are damaged, unsafe, or not those of its layers.
    """
    with path.open("rb") as file, Archive(file) as archive, tempfile.NamedTemporaryFile(suffix=".h5") as weights:
        config, version = config_of(archive), version_of(archive)
        archive.copy(WEIGHTS, weights)
        weights.flush()
        with opened(pathlib.Path(weights.name)) as content:
            found = dict(_weights_of(config, _tree(content), ()))
    compiled = config.get("compile_config")
    return Saved(version, config, found, compiled if isinstance(compiled, dict) else None)


def _tree(file: Any) -> _Tree:
    root = _Tree()

    def take(name: str, item: Any) -> None:
        path = [part for part in re.split(r"[/\\]", name) if part]
        if path[0] in ("optimizer", "metrics") or "optimizer" in path[0]:
            return
        if isinstance(item, h5py.Dataset):
            if len(path) < 2 or path[-2] != "vars" or not path[-1].isdigit():
                raise unreadable(f"The file of weights has {name[:80]!r} where only numbered arrays were expected.")
            root.at(path[:-2]).arrays[int(path[-1])] = numbers(item)
        else:
            root.at([part for part in path if part != "vars"])

    file.visititems(take)
    return root


def _weights_of(model: Any, tree: _Tree, path: Path) -> Iterator[tuple[Path, tuple[Named, ...]]]:
    """The arrays of each layer of a model, models inside it too."""
    held = next((tree.inside[name] for name in CONTAINERS if name in tree.inside), _Tree())
    for layer, group in _matched(model, held):
        class_name, config = parts(layer)
        here = (*path, name_of(layer))
        inner = config.get("layer") if isinstance(config, dict) else None
        if class_name in MODELS:
            yield from _weights_of(layer, group, here)
        elif isinstance(inner, dict) and inner.get("class_name") in MODELS and "layer" in group.inside:
            yield from _weights_of(inner, group.inside["layer"], (*here, "layer"))
        elif arrays := tuple(_arrays(group)):
            yield here, arrays


def _matched(model: Any, held: _Tree) -> Iterator[tuple[Any, _Tree]]:
    """Layers with their groups: the n-th of a class has the n-th group of that class's name."""
    config = parts(model)[1]
    by_class: dict[str, list[Any]] = {}
    for layer in config if isinstance(config, list) else config.get("layers", ()):
        by_class.setdefault(snake_case(parts(layer)[0]), []).append(layer)
    for name, layers in by_class.items():
        groups = {int(found[1] or 0): held.inside[key] for key in held.inside if (found := _numbered(name, key))}
        if name == "input_layer" or not groups:
            continue  # a Sequential model does not count its input; layers without weights may have no group
        if len(groups) != len(layers):
            raise unreadable(f"The file has weights of {len(groups)} layers called {name}, not of {len(layers)}.")
        yield from zip(layers, (groups[number] for number in sorted(groups)), strict=True)


def _numbered(name: str, key: str) -> re.Match[str] | None:
    return re.fullmatch(rf"{re.escape(name)}(?:_(\d+))?", key)


def _arrays(tree: _Tree) -> Iterator[Named]:
    for number in sorted(tree.arrays):
        yield Named("", tree.arrays[number])
    known = [name for name in ATTRIBUTES if name in tree.inside]
    for name in known or ["layer"] * ("layer" in tree.inside):
        yield from _arrays(tree.inside[name])
    if "cells" in tree.inside:
        for group in sorted(tree.inside["cells"].inside):
            yield from _arrays(tree.inside["cells"].inside[group])


def snake_case(name: str) -> str:
    """How tf_keras makes a group's name of a class.

    >>> snake_case("DepthwiseConv2D"), snake_case("PReLU"), snake_case("LSTM")
    ('depthwise_conv2d', 'p_re_lu', 'lstm')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
