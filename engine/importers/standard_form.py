"""Brings loaded models into the form that all jobs work on.

Jobs feed batches of any size, change kernels in place and convert to LiteRT. A model of a fixed batch size is rebuilt
with a free one, and a model with LoRA adapters without them. A model that Keras has quantised is refused: it does not
compute what its float weights alone say.
"""

from typing import Any

import keras
import numpy as np

from engine.arrays import Array
from engine.models.model import finalized
from engine.models.rebuild import Config, compiled_like, copy_weights, edited, rebuild, remade
from secateur.errors import FieldError, ModelUnreadable

TOLERANCE = 1e-4
"""Largest difference, relative to the largest output, between a model and its rebuilt form."""


def standard_form(model: Any) -> tuple[Any, tuple[str, ...]]:
    """The model with a free batch size and without adapters; the model itself when it is in that form.

    Returns:
        The model, and a sentence for each thing that was changed.

    Raises:
        ModelUnreadable: Keras has quantised the model, or it computes something else without its fixed batch size.
    """
    _refuse_quantised(model)
    adapted = [layer for layer in _layers(model) if getattr(layer, "lora_enabled", False)]
    sizes = sorted({tensor.shape[0] for tensor in model.inputs if tensor.shape[0] is not None})
    if not adapted and not sizes:
        return model, ()
    notes = []
    if sizes:
        notes.append(f"The batch size of {sizes[0]} was replaced by a free one.")
    if adapted:
        names = ", ".join(layer.name for layer in adapted)
        notes.append(f"LoRA adapters were merged into the kernels, which training may change again: {names}.")
    return _with_free_batch(model, sizes[0]) if sizes else _rebuilt(model), tuple(notes)


def _layers(model: Any) -> list[Any]:
    """Every layer of a model, those inside nested models and wrappers included."""
    return list(model._flatten_layers(include_self=False, recursive=True))


def _refuse_quantised(model: Any) -> None:
    found = {layer.name: mode for layer in _layers(model) if (mode := getattr(layer, "quantization_mode", None))}
    if found:
        name, mode = next(iter(found.items()))
        raise ModelUnreadable(
            f"Keras has quantised this model already: {len(found)} layers are stored as {mode}, such as {name!r}. "
            "Pruning, training and LiteRT's own quantisation need the float weights.",
            errors=[FieldError(field=name[:256], messages=(f"is stored as {mode}",))],
            suggestions=["Upload the float model, saved before model.quantize(...) was called."],
        )


def _rebuilt(model: Any) -> Any:
    """The model with a free batch size and with its adapters merged into the kernels, compiled as it was."""
    rebuilt = rebuild(
        model,
        make=lambda operation: remade(operation, lambda config: edited(config, _plain_config)),
        input_shape=lambda tensor: (None, *tensor.shape[1:]),
    )
    for old, new in rebuilt.layers():
        _copy_weights(old, new)
    return compiled_like(model, finalized(rebuilt.model))


def _plain_config(config: Config) -> Config:
    """A config without adapters and without a fixed batch size."""
    kept = {key: value for key, value in config.items() if key not in ("lora_rank", "lora_alpha")}
    shape = kept.get("batch_shape")
    return kept | {"batch_shape": (None, *shape[1:])} if shape else kept


def _copy_weights(old: Any, new: Any) -> None:
    """Copy the weights of a layer, and merge what its adapters add to a kernel."""
    inner = list(zip(_own(old), _own(new), strict=True))
    if not any(getattr(each, "lora_enabled", False) for each, _ in inner):
        copy_weights([(old, new)])
        return
    for each, other in inner:
        if not getattr(each, "lora_enabled", False):
            for variable, counterpart in zip(each._trainable_variables, other._trainable_variables, strict=True):
                counterpart.assign(variable)
            continue
        attribute = "_embeddings" if isinstance(each, keras.layers.Embedding) else "_kernel"
        getattr(other, attribute).assign(getattr(each, attribute.removeprefix("_")))
        if getattr(each, "bias", None) is not None:
            other.bias.assign(each.bias)


def _own(layer: Any) -> list[Any]:
    return list(layer._flatten_layers(include_self=True, recursive=True))


def _with_free_batch(model: Any, size: int) -> Any:
    """The model with a free batch size, once one sample and two batches were seen to give what the batch gives."""
    inputs = [_random(tensor, place) for place, tensor in enumerate(model.inputs)]
    expected = _outputs(model, inputs)
    try:
        free = _rebuilt(model)
        alone = _outputs(free, [array[:1] for array in inputs])
        twice = _outputs(free, [np.concatenate([array, array]) for array in inputs])
    except Exception as fault:  # Keras raises every kind
        raise _fixed(size, " ".join(str(fault).split())[:200]) from fault
    same = all(
        _same(whole[:1], one) and _same(np.concatenate([whole, whole]), both)
        for whole, one, both in zip(expected, alone, twice, strict=True)
    )
    if not same:
        raise _fixed(size, "what it computes for a sample depends on the batch")
    return free


def _same(ours: Array, theirs: Array) -> bool:
    return ours.shape == theirs.shape and bool(np.abs(ours - theirs).max() <= TOLERANCE * max(1.0, np.abs(ours).max()))


def _random(tensor: Any, seed: int) -> Array:
    shape = [16 if size is None else size for size in tensor.shape]
    if not str(tensor.dtype).startswith(("float", "bfloat")):
        return np.zeros(shape, str(tensor.dtype))
    return np.random.default_rng(seed).random(shape, np.float32)


def _outputs(model: Any, inputs: list[Array]) -> list[Array]:
    found = keras.tree.flatten(model(inputs[0] if len(inputs) == 1 else inputs, training=False))
    return [np.asarray(keras.ops.convert_to_numpy(each), np.float64) for each in found]


def _fixed(size: int, reason: str) -> ModelUnreadable:
    return ModelUnreadable(
        f"The model takes batches of exactly {size} samples, and cannot be rebuilt for any other size: {reason}.",
        suggestions=[
            "Build the model with keras.Input(shape=...) without batch_shape, and reshape with -1 for the batch axis."
        ],
    )
