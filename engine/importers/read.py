"""One door for every model file: what its name promises and who wrote it decide how it is read."""

import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import keras

from engine.importers import declared
from engine.importers.compiled import compile_as
from engine.importers.formats import hdf5, keras2, savedmodel
from engine.importers.rebuild.graph import Built, build
from engine.importers.rebuild.weights import put
from engine.importers.saved import Saved
from engine.models import portable, sequential
from screening import screen
from screening.archive import Archive
from screening.models import sizes
from screening.models.keras_file import CONFIG, METADATA, WEIGHTS, config_of, has_private_modules, version_of

READERS: Final[Mapping[str, Callable[[Path], Saved]]] = {
    "hdf5": hdf5.read,
    "keras": keras2.read,
    "savedmodel": savedmodel.read,
}
"""By format. ``.keras`` files of Keras 3 are loaded by Keras itself."""


@dataclass(frozen=True)
class Loaded:
    """A model in Keras 3, and where it comes from: the format of the file and the Keras that wrote it."""

    model: Any
    format: str
    version: str
    notes: tuple[str, ...] = ()
    """What was changed to bring the model into the form that jobs work on."""


def load(path: Path) -> Loaded:
    """Screen a file and read the model in it, which every machine can compute from then on (``portable``).

    Raises:
        UploadRefused: one of its kinds, when the file cannot be used.
    """
    portable.install()
    sequential.install()
    with path.open("rb") as file:
        form = screen("model", path.name, file, inflate=True)
        version = _version(file) if form == "keras" else ""
    if version.startswith("3."):
        _check_declared(path)
        with _readable(path) as file:
            return Loaded(keras.saving.load_model(file, safe_mode=True), form, version)
    saved = READERS[form](path)
    notes = (f"Pruning wrappers were removed and their masks applied: {', '.join(saved.wrapped)}.",)
    return Loaded(model_of(saved), form, saved.version, notes if saved.wrapped else ())


def _check_declared(path: Path) -> None:
    """Hold the weights in an archive against the rules, read them where that may fail, and hold the config against
    them, before Keras makes arrays."""
    with path.open("rb") as file, Archive(file) as archive, tempfile.NamedTemporaryFile(suffix=".h5") as weights:
        archive.copy(WEIGHTS, weights)
        weights.flush()
        with hdf5.opened(Path(weights.name)) as content:
            num_values = hdf5.num_values(content)
        config = declared.without_compiling(config_of(archive))
    declared.check(lambda: keras.saving.deserialize_keras_object(config, safe_mode=True), num_values=num_values)


@contextmanager
def _readable(path: Path) -> Iterator[Path]:
    """The file itself, or a copy whose config names classes by their public modules."""
    with path.open("rb") as file, Archive(file) as archive:
        if not has_private_modules(archive):
            yield path
            return
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "model.keras"
            with zipfile.ZipFile(copy, "w") as zipped:
                zipped.writestr(METADATA, archive.read_head(METADATA, archive.sizes[METADATA]))
                zipped.writestr(CONFIG, json.dumps(config_of(archive)))
                with zipped.open(WEIGHTS, "w", force_zip64=True) as weights:
                    archive.copy(WEIGHTS, weights)
            yield copy


def _version(file: Any) -> str:
    with Archive(file) as archive:
        return version_of(archive)


def model_of(saved: Saved) -> Any:
    """The model that a file holds, in Keras 3, with its weights and, where they translate, its compile options.

    Raises:
        ModelClassRefused: a layer has no counterpart in Keras 3. ModelUnreadable: config and weights do not fit.
        UploadTooCostly: see ``declared``.
    """
    num_values = sum(named.array.size for arrays in saved.weights.values() for named in arrays)
    declared.check(lambda: _built(saved).model, num_values=num_values)
    built = _built(saved)
    put(saved.weights, built, old_slopes=saved.major < 3)
    if saved.compiled:
        sizes.check_metrics(saved.compiled)
        compile_as(built.model, saved.compiled)
    return built.model


def _built(saved: Saved) -> Built:
    return build(saved.config) if saved.major < 3 else _as_keras_3(declared.without_compiling(saved.config))


def _as_keras_3(config: Any) -> Built:
    model = keras.saving.deserialize_keras_object(config, safe_mode=True)
    return Built(model, {(layer.name,): layer for layer in model.layers})
