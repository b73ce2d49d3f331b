"""Wrappers of the TensorFlow Model Optimization Toolkit in configs of Keras 2: removed, or refused by name.

A pruning wrapper computes what its layer computes with the masked kernel, so that the layer can stand alone. A
quantisation wrapper changes what its layer computes, in training and in use.
"""

from collections.abc import Mapping
from typing import Any, Final

from secateur.errors import FieldError, ModelClassRefused

PRUNING: Final = "PruneLowMagnitude"
_BEFORE: Final = (
    "Upload the model from before quantize_model or quantize_apply was called; a quantize step quantises it."
)
SUGGESTIONS: Final[Mapping[str, str]] = {
    PRUNING: "Call tfmot.sparsity.keras.strip_pruning(model), and save the result; or save the model as .h5.",
    "ClusterWeights": "Call tfmot.clustering.keras.strip_clustering(model), and save the result.",
    "QuantizeAnnotate": _BEFORE,
    "QuantizeLayer": _BEFORE,
    "QuantizeWrapper": _BEFORE,
    "QuantizeWrapperV2": _BEFORE,
}
"""What to do about each wrapper."""


def unwrapped(config: Any) -> tuple[Any, dict[str, str]]:
    """A config without pruning wrappers.

    Args:
        config: parsed, of Keras 2; it is not changed.

    Returns:
        The config, and the names of the wrapped layers by the names of their wrappers.

    Raises:
        ModelClassRefused: another wrapper of the toolkit stands in it.

    >>> layer = {"class_name": "Dense", "config": {"name": "dense", "units": 2}}
    >>> wrapper = {"class_name": "PruneLowMagnitude", "config": {"name": "prune_low_magnitude_dense", "layer": layer}}
    >>> unwrapped([wrapper, {"inbound_nodes": [[["prune_low_magnitude_dense", 0, 0, {}]]]}])
    ([{'class_name': 'Dense', 'config': {'name': 'dense', 'units': 2}, 'name': 'dense'}, \
{'inbound_nodes': [[['dense', 0, 0, {}]]]}], {'prune_low_magnitude_dense': 'dense'})
    """
    names: dict[str, str] = {}
    found = _without_wrappers(config, names)
    return (_renamed(found, names), names) if names else (config, {})


def _without_wrappers(value: Any, names: dict[str, str], depth: int = 0) -> Any:
    if depth > 100:  # deeper than the check of configs accepts, which follows
        return value
    if isinstance(value, list):
        return [_without_wrappers(each, names, depth + 1) for each in value]
    if not isinstance(value, dict):
        return value
    kind, settings = value.get("class_name"), value.get("config")
    if kind in SUGGESTIONS and kind != PRUNING:
        raise refused(str(kind), settings)
    if kind == PRUNING and isinstance(settings, Mapping) and isinstance(layer := settings.get("layer"), Mapping):
        inner = layer.get("config")
        name = inner.get("name") if isinstance(inner, Mapping) else None
        wrapper = value.get("name") or settings.get("name")
        if isinstance(name, str) and isinstance(wrapper, str):
            names[wrapper] = name
            value = {key: each for key, each in value.items() if key not in ("module", "registered_name")} | {
                **layer,
                "name": name,
            }
    return {key: _without_wrappers(each, names, depth + 1) for key, each in value.items()}


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    """References to wrappers become references to their layers."""
    if isinstance(value, list):
        return [_renamed(each, names) for each in value]
    if isinstance(value, dict):
        return {key: _renamed(each, names) for key, each in value.items()}
    return names.get(value, value) if isinstance(value, str) else value


def refused(kind: str, settings: Any) -> ModelClassRefused:
    """The error for a wrapper that cannot be removed.

    Args:
        kind: a class of ``SUGGESTIONS``.
        settings: the wrapper's config.
    """
    name = str(settings.get("name", "")) if isinstance(settings, Mapping) else ""
    return ModelClassRefused(
        f"Layer {name[:80]!r} is a wrapper of the TensorFlow Model Optimization Toolkit ({kind}).",
        errors=[FieldError(field=(name or kind)[:256], messages=(f"uses {kind}",))],
        suggestions=[SUGGESTIONS[kind]],
    )
