"""Arrays of a file put into a model, each exactly once: in the order of tf_keras, held against shapes and names."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import keras
import numpy as np

from engine.arrays import Array
from engine.importers.rebuild.graph import Built
from engine.importers.rebuild.translate import OLD_SLOPE
from engine.importers.refusals import unreadable
from engine.importers.saved import Named, Path

ROLES: Final = frozenset(
    ("kernel", "recurrent_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "pointwise_kernel")
)
"""Names that mean the same in every Keras; two of them that differ are never the same weight."""


def put(weights: Mapping[Path, Sequence[Named]], built: Built, *, old_slopes: bool) -> None:
    """Give every weight of the model its array.

    Args:
        old_slopes: Keras 1 or 2 trained the model, whose hard_sigmoid has another slope.

    Raises:
        ModelUnreadable: an array is left over, a weight gets none, or shapes differ; the layer is named.
    """
    done: set[int] = set()
    for path, arrays in placed(weights, built).items():
        for variable, array in _paired("/".join(path), built.layers[path], built, list(arrays)):
            if id(variable) in done:
                raise unreadable(f"The file has the weights of {'/'.join(path)[:80]!r} twice.")
            done.add(id(variable))
            variable.assign(array.astype(variable.dtype))
    missing = [variable.path for variable in built.model.weights if id(variable) not in done and not _is_free(variable)]
    if missing:
        raise unreadable(f"The file lacks weights of the model: {', '.join(missing)[:300]}.")
    if old_slopes:
        _steepen(built.model)
    for layer in built.model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization) and layer._non_trainable_variables:
            layer.finalize_state()  # it computes with copies of its weights


def placed(weights: Mapping[Path, Sequence[Named]], built: Built) -> dict[Path, Sequence[Named]]:
    """The arrays by the layers that the config has. Old files may call layers otherwise; then order decides."""
    if all(path in built.layers for path in weights):
        return dict(weights)
    owners = [path for path, layer in built.layers.items() if len(path) == 1 and layer.weights]
    if len(owners) != len(weights) or any(len(path) != 1 for path in weights):
        lost = next(path for path in weights if path not in built.layers)
        raise unreadable(f"The file has weights for a layer {'/'.join(lost)[:80]!r} that the model does not have.")
    return dict(zip(owners, weights.values(), strict=True))


def _is_free(variable: Any) -> bool:
    return variable.name in ("count", "seed_generator_state")


def _paired(name: str, layer: Any, built: Built, arrays: list[Named]) -> Iterable[tuple[Any, Array]]:
    if isinstance(layer, keras.layers.Normalization):
        arrays = [named for named in arrays if named.array.ndim or not named.name.endswith(("count:0", "count"))][:2]
    arrays = [named for named in arrays if not _is_random_state(named)]
    trained, fixed = _trained(layer, built), _fixed(layer, built)
    orders = (trained + fixed, _leaf_by_leaf(layer, built))
    for order in orders:
        order = [variable for variable in order if not _is_free(variable)]
        pairs = _fitting(order, arrays)
        if pairs is not None:
            return pairs
    wanted = [tuple(variable.shape) for variable in orders[0] if not _is_free(variable)]
    raise unreadable(
        f"The weights of layer {name[:80]!r} do not fit it: the file has {[n.array.shape for n in arrays]}, "
        f"the layer takes {wanted}."[:600]
    )


def _is_random_state(named: Named) -> bool:
    return named.array.dtype.kind in "iu" and named.array.shape == (3,) and "tate" in named.name


def _fitting(order: list[Any], arrays: list[Named]) -> list[tuple[Any, Array]] | None:
    if len(order) != len(arrays):
        return None
    shapes = [tuple(variable.shape) for variable in order]
    given = without_cudnn([_flat(named.array, shape) for named, shape in zip(arrays, shapes, strict=True)], shapes)
    for variable, named, array in zip(order, arrays, given, strict=True):
        role = _role(named.name)
        if tuple(variable.shape) != array.shape or (role in ROLES and variable.name in ROLES and role != variable.name):
            return None
    return list(zip(order, given, strict=True))


def _flat(array: Array, shape: tuple[int, ...]) -> Array:
    """Kernels of 1-D convolutions had an axis of one in Keras 1: (length, 1, inputs, outputs)."""
    return array[:, 0] if array.ndim == 4 and len(shape) == 3 and array.shape[1] == 1 else array


def _role(name: str) -> str:
    """What a weight is for, from its name.

    >>> _role("conv2d_1_1/kernel_2:0")
    'kernel'
    """
    last = re.split(r"[/\\]", name)[-1].partition(":")[0]
    plain = re.sub(r"_\d+\Z", "", last)
    return "kernel" if plain == "depthwise_kernel" else plain


def _children(layer: Any, built: Built) -> list[Any]:
    return built.children.get(id(layer)) or list(layer._layers)


def _trained(layer: Any, built: Built) -> list[Any]:
    if not layer.trainable:
        return []
    inner = [variable for child in _children(layer, built) for variable in _trained(child, built)]
    return _unique([*layer._trainable_variables, *inner])


def _fixed(layer: Any, built: Built) -> list[Any]:
    children = _children(layer, built)
    if layer.trainable:
        inner = [variable for child in children for variable in _fixed(child, built)]
        return _unique([*layer._non_trainable_variables, *inner])
    inner = [variable for child in children for variable in _trained(child, built) + _fixed(child, built)]
    return _unique([*layer._trainable_variables, *layer._non_trainable_variables, *inner])


def _leaf_by_leaf(layer: Any, built: Built) -> list[Any]:
    inner = [variable for child in _children(layer, built) for variable in _leaf_by_leaf(child, built)]
    return _unique([*layer._trainable_variables, *layer._non_trainable_variables, *inner])


def _unique(variables: list[Any]) -> list[Any]:
    return list({id(variable): variable for variable in variables}.values())


def without_cudnn(arrays: list[Array], shapes: list[tuple[int, ...]]) -> list[Array]:
    """Kernels of CuDNNLSTM and CuDNNGRU as plain layers have them: gates transposed, the two biases joined."""
    made = list(arrays)
    for place in range(2, len(made)):
        bias, shape = made[place], shapes[place]
        if bias.ndim != 1 or bias.shape == shape or bias.size != _cudnn_bias(shape):
            continue
        gates = 4 if len(shape) == 1 else 3
        kernel, recurrent = made[place - 2], made[place - 1]
        made[place - 2] = np.hstack([part.T.reshape(part.shape, order="F") for part in np.hsplit(kernel, gates)])
        made[place - 1] = np.hstack([part.T for part in np.hsplit(recurrent, gates)])
        made[place] = bias.reshape(2, -1).sum(axis=0) if gates == 4 else bias.reshape(2, -1)
    return made


def _cudnn_bias(shape: tuple[int, ...]) -> int:
    return 2 * shape[0] if len(shape) == 1 else 2 * shape[1] if len(shape) == 2 and shape[0] == 2 else -1


def _steepen(model: Any) -> None:
    """Make hard_sigmoid as steep as old Keras had it, by its inputs: old(x) = new(1.2 x), exactly.

    Keras 3 has no activation of the old slope, and a function of ours would not survive in a saved file.
    """
    for layer in model._flatten_layers():
        if _is_hard(layer, "recurrent_activation") and hasattr(layer, "recurrent_kernel"):
            gates = (0, 1, 3) if "LSTM" in type(layer).__name__ else (0, 1)
            _scale(layer, gates, 4 if 3 in gates else 3)
        if _is_hard(layer, "activation") and not isinstance(layer, keras.layers.Activation):
            if hasattr(layer, "recurrent_kernel"):
                raise unreadable(f"Layer {layer.name[:80]!r} is recurrent with hard_sigmoid for its outputs.")
            for variable in layer._trainable_variables or layer._non_trainable_variables:
                if variable.name in ("kernel", "bias", "pointwise_kernel"):
                    variable.assign(variable * OLD_SLOPE)


def _is_hard(layer: Any, which: str) -> bool:
    return getattr(getattr(layer, which, None), "__name__", "") == "hard_sigmoid" and bool(
        layer._trainable_variables or layer._non_trainable_variables
    )


def _scale(cell: Any, gates: tuple[int, ...], num_gates: int) -> None:
    for variable in cell._trainable_variables + cell._non_trainable_variables:
        value = np.array(variable)
        parts = np.split(value, num_gates, axis=-1)
        scaled = [part * OLD_SLOPE if gate in gates else part for gate, part in enumerate(parts)]
        variable.assign(np.concatenate(scaled, axis=-1))
