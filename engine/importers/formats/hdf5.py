"""``.h5`` and ``.hdf5``: one file with the config in an attribute and a group of arrays for each layer."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import h5py
import numpy as np

from engine.importers.formats import hdf5_limits, keras1, probe
from engine.importers.refusals import RESAVE, unreadable
from engine.importers.saved import Named, Path, Saved
from engine.importers.tfmot_weights import unwrapped_weights
from screening import json_text
from screening.models import keras_config
from screening.models.keras_file import MAX_CONFIG_BYTES
from screening.models.keras_modules import with_public_modules
from screening.models.tfmot_wrappers import unwrapped
from secateur.errors import ArchiveUnreadable, SecateurError


@contextmanager
def opened(path: pathlib.Path) -> Iterator[Any]:
    """The file, once everything in it was held against the rules.

    Raises:
        ArchiveUnreadable: the library cannot read it. ArchiveUnsafe, ModelUnreadable: see ``hdf5_limits``.
    """
    probe.check(path)
    try:
        with h5py.File(path, "r", locking=False) as file:
            hdf5_limits.check(file, num_bytes=path.stat().st_size)
            yield file
    except SecateurError:
        raise
    except Exception as fault:  # h5py raises every kind for damaged files
        raise ArchiveUnreadable(
            f"The HDF5 file is damaged ({str(fault).strip()[:200] or type(fault).__name__}).",
            suggestions=["Upload it again; if that fails too, the file on your side is damaged.", RESAVE],
        ) from fault


def read(path: pathlib.Path) -> Saved:
    """A whole model of Keras 1, 2 or 3 in HDF5.

    Raises:
        UploadRefused: it is damaged or unsafe, has weights only, or names classes that are not loaded.
    """
    num_bytes = path.stat().st_size
    with opened(path) as file:
        groups = file.get("model_weights", file)
        if "model_config" not in file.attrs:
            raise _without_config(file, groups)
        config = _json(file.attrs["model_config"], "model_config")
        version = _text(file.attrs.get("keras_version", groups.attrs.get("keras_version", "1")))
        if isinstance(config, dict) and "class_name" not in config and isinstance(config.get("config"), dict):
            config = config["config"]
        old = not version.startswith("3.")
        config, wrapped = unwrapped(config) if old else (with_public_modules(with_modules(config)), {})
        keras_config.check(config, num_weight_bytes=num_bytes, old=old)
        compiled = _json(file.attrs["training_config"], "training_config") if "training_config" in file.attrs else None
        if compiled is not None and not isinstance(compiled, dict):
            compiled = None
        weights = _weights(groups)
        if wrapped:
            weights = unwrapped_weights(weights, wrapped)
        if version[:1] in ("0", "1"):
            theano = _text(file.attrs.get("backend", groups.attrs.get("backend", ""))) == "theano"
            config, weights = keras1.modern(config), keras1.joined(weights, theano=theano)
        return Saved(version, config, weights, compiled, wrapped=tuple(wrapped.values()))


def _without_config(file: Any, groups: Any) -> Exception:
    if "layer_names" in groups.attrs or "layers" in file or "_layer_checkpoint_dependencies" in file:
        return unreadable(
            "The HDF5 file holds weights only, without the architecture of the model.",
            "Build the model as you did for training, model.load_weights(...) this file, "
            'and save both together: model.save("model.keras").',
        )
    return unreadable("The HDF5 file holds no Keras model: it has no attribute model_config.")


def _weights(groups: Any) -> dict[Path, tuple[Named, ...]]:
    found: dict[Path, tuple[Named, ...]] = {}
    for name in _names(groups, "layer_names"):
        group = groups[name] if name in groups else groups[name.replace("/", "\\")]
        arrays = tuple(Named(weight, _array(group, weight)) for weight in _names(group, "weight_names"))
        if arrays:
            found[(name,)] = arrays
    return found


def _names(group: Any, attribute: str) -> list[str]:
    """A list of names; HDF5 bounds attributes at 64 kB, so Keras cuts long ones into ``name0``, ``name1``, ..."""
    if attribute in group.attrs:
        return [_text(name) for name in group.attrs[attribute]]
    parts: list[str] = []
    while f"{attribute}{(number := len(parts))}" in group.attrs:
        parts.append(f"{attribute}{number}")
    return [_text(name) for part in parts for name in group.attrs[part]]


def _array(group: Any, name: str) -> Any:
    """The array of that name; on Windows the path within the group was written with backslashes."""
    for spelled in (name, name.replace("/", "\\"), name.replace("\\", "/")):
        if spelled in group:
            return numbers(group[spelled])
    raise unreadable(f"The HDF5 file lists {name[:80]!r} among the weights of {group.name[:80]!r}, but lacks it.")


def numbers(dataset: Any) -> Any:
    """The numbers of an array. Raises: ModelUnreadable: it holds something else."""
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind not in "biuf":
        raise unreadable(f"{dataset.name[:80]!r} is no array of numbers.")
    return np.asarray(dataset[()])


def num_values(file: Any) -> int:
    """How many numbers all arrays of an open file have together."""
    sizes: list[int] = []
    file.visititems(lambda _, item: sizes.append(item.size) if isinstance(item, h5py.Dataset) else None)
    return sum(sizes)


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _json(value: Any, name: str) -> Any:
    data = value if isinstance(value, bytes) else str(value).encode()
    return json_text.parse(bytes(data), name=name, limit=MAX_CONFIG_BYTES)


OPERATION_MODULES = ("numpy", "nn", "math", "core", "image", "linalg", "einops")


def with_modules(config: Any) -> Any:
    """The config of a Keras 3 model from HDF5 with the modules that Keras 3 itself leaves out there.

    Layers say whether they are trainable, operations of ``keras.ops`` do not: both may be called ``Multiply``.
    """
    from screening.models.keras_builtins import builtins

    def module_of(name: str, inner: dict[str, Any]) -> str | None:
        if name in ("Functional", "Sequential", "Model"):
            return {"Functional": "keras.src.models.functional", "Sequential": "keras", "Model": "keras"}[name]
        if "dtype" in inner or "batch_shape" in inner:
            own = (module for module in builtins().classes if module.startswith("keras.src.applications."))
            return next((module for module in ("keras.layers", *own) if builtins().has_class(module, name)), None)
        modules = (f"keras.src.ops.{module}" for module in OPERATION_MODULES)
        return next((module for module in modules if builtins().has_class(module, name)), None)

    def walk(value: Any, depth: int) -> Any:
        if depth > keras_config.MAX_DEPTH:
            raise unreadable(f"model_config is nested more than {keras_config.MAX_DEPTH} levels deep.")
        if isinstance(value, list):
            return [walk(item, depth + 1) for item in value]
        if not isinstance(value, dict):
            return value
        made = {key: walk(item, depth + 1) for key, item in value.items()}
        name, inner = made.get("class_name"), made.get("config")
        if isinstance(name, str) and isinstance(inner, dict) and "module" not in made and not name.startswith("__"):
            made |= {"module": module_of(name, inner), "registered_name": None}
        return made

    return walk(config, 0)
