"""The config of a Keras model, held against a list of built-in classes before Keras sees it.

Loading a model means calling whatever its config names. Keras' own ``safe_mode`` has been bypassed again and
again (CVE-2025-1550, CVE-2025-8747, CVE-2025-9906, CVE-2025-12058), so here nothing passes that is not known.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from screening.models import calls, keras_legacy, sizes, tfmot_wrappers
from screening.models.keras_builtins import builtins
from secateur.errors import FieldError, ModelClassRefused, ModelUnreadable

MAX_DEPTH: Final = 64
MAX_LAYERS: Final = 5_000

PLAIN_VALUES: Final = frozenset(
    {"__keras_tensor__", "__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__"}
)
LAYER_MODULES: Final = frozenset({"keras", "keras.layers", "keras.models"})
PATH_FIELDS: Final = frozenset(
    {"vocabulary", "idf_weights", "filepath", "file_path", "filename", "file", "path", "url", "uri", "origin"}
)
WIDTH_FIELDS: Final = frozenset(
    {"units", "filters", "input_dim", "output_dim", "num_heads", "key_dim", "value_dim", "intermediate_dim"}
)
_PATH: Final = re.compile(r"://|^[/~]|^[A-Za-z]:\\|^\\\\|(^|[/\\])\.\.([/\\]|$)")


class _Place(NamedTuple):
    """A value of the config: where it stands, under which key, and in which layer."""

    value: Any
    key: str
    layer: str
    depth: int
    old: bool


def check(config: Any, *, num_weight_bytes: int, old: bool = False) -> None:
    """Walk the whole config: nested models, wrapped layers, compile options, everything that names a class.

    Args:
        num_weight_bytes: size of the file of weights; no layer can be wider than that.
        old: Keras 1 or 2 wrote it: classes may stand there without their modules, and under old names.

    Raises:
        ModelClassRefused: it names a class that is not built into Keras, or one that can run code or read files.
        ModelUnreadable: it is no config of a model, or promises a model that the weights cannot fill.
        UploadTooCostly: it calls its layers too often, or declares tensors that are too large.
    """
    if not isinstance(config, dict) or not isinstance(config.get("class_name"), str):
        raise _unreadable("The config describes no model.")
    num_layers = num_values = 0
    for place in _walk(config, old):
        if isinstance(place.value, str):
            _check_text(place)
        elif place.key == "stateful" and place.value is True:
            raise _stateful(place)
        elif place.key in WIDTH_FIELDS:
            _check_width(place, num_weight_bytes)
        elif isinstance(place.value, dict) and "class_name" in place.value:
            _check_class(place)
            num_layers += _is_layer(place.value, old)
            if num_layers > MAX_LAYERS:
                raise _unreadable(f"The model has more than {MAX_LAYERS} layers.")
            inner = place.value.get("config")
            num_values += sizes.num_values(place.value["class_name"], inner) if isinstance(inner, dict) else 0
        elif place.key in sizes.METRICS:
            sizes.check_metric(place.key, place.value)
        elif place.key in sizes.SHAPES:
            sizes.check_shape(place.key, place.value, _shown(place.layer))
    sizes.check_weights(num_values, num_weight_bytes=num_weight_bytes)
    calls.check(config)


def _walk(config: Any, old: bool) -> Iterator[_Place]:
    """Every value, each after the one that holds it. A loop, because recursion would end at Python's own limit."""
    waiting = [_Place(config, key="", layer="model", depth=0, old=old)]
    while waiting:
        place = waiting.pop()
        yield place
        if place.depth >= MAX_DEPTH and isinstance(place.value, dict | list):
            raise _unreadable(f"The config is nested more than {MAX_DEPTH} levels deep, in {_shown(place.layer)}.")
        if isinstance(place.value, dict):
            layer = _layer_name(place.value, old) or place.layer
            waiting.extend(_Place(value, key, layer, place.depth + 1, old) for key, value in place.value.items())
        elif isinstance(place.value, list):
            # The words of a vocabulary are data; only a vocabulary that is itself a text would be read as a path.
            key = "words" if place.key in ("vocabulary", "words") else ""
            waiting.extend(_Place(value, key, place.layer, place.depth + 1, old) for value in place.value)


def _layer_name(node: Mapping[str, Any], old: bool) -> str | None:
    inner = node.get("config")
    if not _is_layer(node, old) or not isinstance(inner, dict):
        return None
    name = inner.get("name")
    return name if isinstance(name, str) else None


def _is_layer(node: Mapping[str, Any], old: bool) -> bool:
    module = node.get("module")
    if old:
        inner = node.get("config")
        return "class_name" in node and isinstance(inner, dict) and ("name" in inner or "layers" in inner)
    if module == "keras" and node.get("class_name") not in ("Sequential", "Model"):
        return False
    return isinstance(module, str) and (
        module in LAYER_MODULES or module.startswith(("keras.src.models", "keras.src.ops"))
    )


def _check_class(place: _Place) -> None:
    node = place.value
    name, module, registered = node["class_name"], node.get("module"), node.get("registered_name")
    if not isinstance(name, str) or not isinstance(module, str | None) or not isinstance(registered, str | None):
        raise _unreadable(f"The config names a class by something that is no text, in {_shown(place.layer)}.")
    layer = _layer_name(node, place.old) or place.layer
    if name in PLAIN_VALUES:
        return
    if name in builtins().refused_layers:
        raise _refused(layer, name, builtins().refused_layers[name])
    if name == "__lambda__":
        raise _refused(layer, "a lambda", "it carries Python code")
    if name == "function":
        _check_function(node, layer)
        return
    if place.old:
        _check_old_class(node, layer)
        return
    if registered is not None and registered != name:
        raise _refused(layer, registered, "it is a custom class, whose code is not here")
    if not builtins().has_class(module, name):
        shown = f"{module}.{name}" if module else name
        raise _refused(layer, shown, "it is not a class built into Keras that is known to be safe to load")


def _check_old_class(node: dict[str, Any], layer: str) -> None:
    name = node["class_name"]
    if name in keras_legacy.PLAIN_VALUES:
        return
    if name in tfmot_wrappers.SUGGESTIONS:
        raise tfmot_wrappers.refused(name, node.get("config"))
    if not keras_legacy.is_known_class(node.get("module"), name, node.get("registered_name")):
        raise _refused(layer, name, "it is a custom class, or one that is not known to be safe to load")
    if name in ("TFOpLambda", "SlicingOpLambda") and not keras_legacy.is_known_operation(node):
        function = node["config"].get("function") if isinstance(node.get("config"), dict) else None
        raise _refused(layer, f"the TensorFlow function {function}", "it has no translation to keras.ops")


def _check_function(node: Mapping[str, Any], layer: str) -> None:
    name, module, registered = node.get("config"), node.get("module"), node.get("registered_name")
    if (
        not isinstance(name, str)
        or registered not in (None, "function", name)
        or not builtins().has_function(module, name)
    ):
        raise _refused(layer, f"function {name}", "only Keras' own activations, losses and metrics are called by name")


def _check_text(place: _Place) -> None:
    if place.key == "name" and not place.value.isprintable():
        raise _unreadable(f"The model names a layer {place.value[:80]!r}; names must be printable text.")
    if place.key in PATH_FIELDS or (place.key != "words" and _PATH.search(place.value)):
        raise ModelClassRefused(
            f"{_shown(place.layer)} names a file or an address, {place.value[:80]!r}, in the field "
            f"{place.key or 'of a list'!r}; loading it would read from there.",
            errors=[FieldError(field=place.layer[:256], messages=("names a file or an address",))],
            suggestions=[
                "Put the values themselves into the layer (a vocabulary as a list), and save the model again."
            ],
        )


def _check_width(place: _Place, num_weight_bytes: int) -> None:
    # Each of a layer's units needs one byte of weights at least, so a model that needs more cannot be in this file.
    if isinstance(place.value, int | float) and not place.value <= num_weight_bytes:
        raise _unreadable(
            f"{_shown(place.layer)} declares {place.key}={str(place.value)[:20]}, "
            f"but the file of weights has only {num_weight_bytes} bytes."
        )


def _stateful(place: _Place) -> ModelUnreadable:
    return ModelUnreadable(
        f"{_shown(place.layer)} is stateful: what it computes depends on the batches before, so that neither scores "
        "nor an exported file would be the same twice.",
        errors=[FieldError(field=place.layer[:256], messages=("stateful=True",))],
        suggestions=["Rebuild the model with stateful=False, copy the weights, and save it again."],
    )


def _refused(layer: str, what: str, why: str) -> ModelClassRefused:
    return ModelClassRefused(
        f"{_shown(layer)} uses {what[:120]}, which is not loaded here: {why}.",
        errors=[FieldError(field=layer[:256], messages=(f"uses {what[:120]}",))],
        suggestions=[
            "Rebuild that part from built-in Keras layers (Rescaling, Normalization, keras.ops, ...), "
            "or cut it off and apply it outside the model; then save the model again."
        ],
    )


def _unreadable(detail: str) -> ModelUnreadable:
    return ModelUnreadable(detail, suggestions=['Save the model with Keras 3: model.save("model.keras").'])


def _shown(layer: str) -> str:
    return "The model" if layer == "model" else f"Layer {layer[:80]!r}"
