"""Loss, metrics and optimiser of an old model in Keras 3. What does not translate is left out: a job asks for it."""

import inspect
from collections.abc import Mapping
from typing import Any, Final

import keras

from screening.models.keras_builtins import builtins

OPTIMIZERS: Final[Mapping[str, str]] = {"lr": "learning_rate"}
FUNCTIONS: Final[Mapping[str, str]] = {
    "acc": "accuracy",
    "kullback_leibler_divergence": "kl_divergence",
    "cosine_proximity": "cosine_similarity",
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "logcosh": "log_cosh",
    "KLDivergence": "kl_divergence",
}
"""Names of losses and metrics that Keras 3 spells otherwise."""


def compile_as(model: Any, given: Mapping[str, Any]) -> None:
    """Compile a model as its file says, as far as Keras 3 has the same."""
    optimizer = _optimizer(given.get("optimizer_config", given.get("optimizer")))
    loss = _loss(given.get("loss"))
    if optimizer is None or loss is None:
        return
    metrics = [metric for metric in map(_metric, _flat(given.get("metrics"))) if metric is not None]
    try:
        model.compile(optimizer=optimizer, loss=loss, metrics=metrics if len(model.outputs) == 1 else None)
    except Exception:  # noqa: BLE001 - options that no longer fit are options that the user gives anew
        return


def _optimizer(given: Any) -> Any:
    name = given if isinstance(given, str) else given.get("class_name") if isinstance(given, dict) else None
    settings = given.get("config") if isinstance(given, dict) else {}
    if not isinstance(name, str) or not isinstance(settings, dict):
        return None
    name = name.removeprefix("Custom>")
    known = {found.lower(): found for found in builtins().classes["keras.optimizers"]}
    kind = getattr(keras.optimizers, known.get(name.lower(), ""), None)
    if kind is None:
        return None
    accepted = inspect.signature(kind.__init__).parameters
    made = {OPTIMIZERS.get(key, key): value for key, value in settings.items()}
    plain = {key: value for key, value in made.items() if key in accepted and isinstance(value, int | float | bool)}
    return kind(**plain)


def _loss(given: Any) -> Any:
    if isinstance(given, dict) and "class_name" in given:
        return _instance(given, "keras.losses", keras.losses)
    if isinstance(given, dict):
        made = {key: _loss(item) for key, item in given.items()}
        return made if all(made.values()) else None
    if isinstance(given, list):
        listed = [_loss(item) for item in given]
        return (listed[0] if len(listed) == 1 else listed) if listed and all(listed) else None
    name = FUNCTIONS.get(given, given) if isinstance(given, str) else ""
    return name if builtins().has_function("keras.losses", name) else None


def _metric(given: Any) -> Any:
    if isinstance(given, dict):
        settings = given.get("config")
        if given.get("class_name") == "MeanMetricWrapper" and isinstance(settings, dict):
            return _metric(settings.get("fn")) if settings.get("name") not in ("accuracy", "acc") else "accuracy"
        return _instance(given, "keras.metrics", keras.metrics)
    name = FUNCTIONS.get(given, given) if isinstance(given, str) else ""
    if name == "accuracy" or builtins().has_function("keras.metrics", name):
        return name
    return None


def _instance(given: dict[str, Any], module: str, where: Any) -> Any:
    name, settings = given.get("class_name"), given.get("config")
    if name == "function":
        return _loss(settings) if module == "keras.losses" else _metric(settings)
    if not isinstance(name, str) or not isinstance(settings, dict) or not builtins().has_class(module, name):
        return None
    kind = getattr(where, name)
    accepted = inspect.signature(kind.__init__).parameters
    plain = {
        key: value
        for key, value in settings.items()
        if key in accepted and isinstance(value, int | float | bool | list) and key not in ("dtype", "reduction")
    }
    try:
        return kind(**plain)
    except (TypeError, ValueError):
        return None


def _flat(given: Any) -> list[Any]:
    if isinstance(given, list):
        return [found for item in given for found in _flat(item)]
    return [] if given is None else [given]
