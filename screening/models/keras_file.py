"""The rules of ``.keras`` models: which members the archive must have, and which Keras wrote it."""

from typing import Any, Final

from screening import json_text
from screening.archive import Archive
from screening.models import keras_config
from screening.models.keras_modules import with_public_modules
from secateur.errors import ModelUnreadable, UnsupportedFormat

METADATA: Final = "metadata.json"
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.weights.h5"
HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"

MAX_METADATA_BYTES: Final = 64 << 10
MAX_CONFIG_BYTES: Final = 16 << 20

_RESAVE: Final = 'Save the model with Keras 3: model.save("model.keras").'


def check(archive: Archive) -> None:
    """Check that an archive is a model of Keras 3 or of tf_keras, made of built-in classes only.

    Raises:
        ModelUnreadable: a member is missing, or is not what it should be.
        UnsupportedFormat: another Keras wrote it. ModelClassRefused: it names a class that could run code.
    """
    missing = [name for name in (METADATA, CONFIG, WEIGHTS) if name not in archive.sizes]
    if missing:
        raise _unreadable(f"The archive lacks {', '.join(missing)}: it is no model that Keras saved in one file.")
    version = version_of(archive)
    if archive.read_head(WEIGHTS, len(HDF5_MAGIC)) != HDF5_MAGIC:
        raise _unreadable(f"{WEIGHTS} does not begin like an HDF5 file.")
    config = config_of(archive)
    keras_config.check(config, num_weight_bytes=archive.sizes[WEIGHTS], old=version.startswith("2."))


def config_of(archive: Archive) -> Any:
    """The config in the archive, parsed within bounds, with classes under their public modules.

    Raises:
        ModelUnreadable: it is no JSON, or too large.
    """
    return with_public_modules(_json(archive, CONFIG, MAX_CONFIG_BYTES))


def has_private_modules(archive: Archive) -> bool:
    """Whether Keras would have to import classes by their private modules to load the archive as it is."""
    return version_of(archive).startswith("3.") and config_of(archive) != _json(archive, CONFIG, MAX_CONFIG_BYTES)


def version_of(archive: Archive) -> str:
    """Which Keras wrote the archive, such as ``2.15.0``.

    Raises:
        ModelUnreadable: it does not say. UnsupportedFormat: one that wrote no such files, or is not known yet.
    """
    metadata = _json(archive, METADATA, MAX_METADATA_BYTES)
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if not isinstance(version, str):
        raise _unreadable(f"{METADATA} does not say which Keras wrote the model.")
    if not version.startswith(("2.", "3.")):
        raise UnsupportedFormat(
            f"Keras {version[:20]} wrote this model; .keras files of Keras 3 and Keras 2 (tf_keras) are accepted.",
            suggestions=[
                "Rebuild the model in Keras 3, take over the weights with model.set_weights(old.get_weights()), "
                'and save it: model.save("model.keras").'
            ],
        )
    return version


def _json(archive: Archive, name: str, limit: int) -> Any:
    if archive.sizes[name] > limit:
        raise _unreadable(f"{name} has {archive.sizes[name]} bytes; at most {limit} are accepted.")
    return json_text.parse(archive.read_head(name, limit), name=name, limit=limit)


def _unreadable(detail: str) -> ModelUnreadable:
    return ModelUnreadable(detail, suggestions=[_RESAVE])
