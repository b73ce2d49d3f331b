"""The rules of ``.keras`` models: which members the archive must have, and which Keras wrote it."""

import json
from typing import Any, Final

from jobspec.errors import ModelUnreadable, UnsupportedFormat
from screening import keras_config
from screening.archive import Archive

METADATA: Final = "metadata.json"
CONFIG: Final = "config.json"
WEIGHTS: Final = "model.weights.h5"
HDF5_MAGIC: Final = b"\x89HDF\r\n\x1a\n"

MAX_METADATA_BYTES: Final = 64 << 10
MAX_CONFIG_BYTES: Final = 16 << 20
MAX_CONFIG_VALUES: Final = 1_000_000
"""Bounds the memory that parsing takes: 16 MB of empty lists would become half a gigabyte of objects."""

_RESAVE: Final = 'Save the model with Keras 3: model.save("model.keras").'


def check(archive: Archive) -> None:
    """Check that an archive is a Keras 3 model made of built-in classes only.

    Raises:
        ModelUnreadable: a member is missing, or is not what it should be.
        UnsupportedFormat: Keras 2 wrote it. ModelClassRefused: it names a class that could run code.
    """
    missing = [name for name in (METADATA, CONFIG, WEIGHTS) if name not in archive.sizes]
    if missing:
        raise _unreadable(f"The archive lacks {', '.join(missing)}: it is no model that Keras saved in one file.")
    _check_version(_json(archive, METADATA, MAX_METADATA_BYTES))
    if archive.read_head(WEIGHTS, len(HDF5_MAGIC)) != HDF5_MAGIC:
        raise _unreadable(f"{WEIGHTS} does not begin like an HDF5 file.")
    config = _json(archive, CONFIG, MAX_CONFIG_BYTES)
    keras_config.check(config, num_weight_bytes=archive.sizes[WEIGHTS])


def _check_version(metadata: Any) -> None:
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    if not isinstance(version, str):
        raise _unreadable(f"{METADATA} does not say which Keras wrote the model.")
    if not version.startswith("3."):
        raise UnsupportedFormat(
            f"Keras {version[:20]} wrote this model; models of Keras 3 are accepted.",
            suggestions=[
                "Rebuild the model in Keras 3, take over the weights with model.set_weights(old.get_weights()), "
                'and save it: model.save("model.keras").'
            ],
        )


def _json(archive: Archive, name: str, limit: int) -> Any:
    if archive.sizes[name] > limit:
        raise _unreadable(f"{name} has {archive.sizes[name]} bytes; at most {limit} are accepted.")
    data = archive.read_head(name, limit)
    if data.count(b",") + data.count(b"[") + data.count(b"{") > MAX_CONFIG_VALUES:
        raise _unreadable(f"{name} holds more than {MAX_CONFIG_VALUES} values.")
    try:
        return json.loads(data.decode("utf-8"))
    except RecursionError as fault:
        raise _unreadable(f"{name} is nested too deeply.") from fault
    except ValueError as fault:
        raise _unreadable(f"{name} is no JSON text ({str(fault)[:80]}).") from fault


def _unreadable(detail: str) -> ModelUnreadable:
    return ModelUnreadable(detail, suggestions=[_RESAVE])
