"""An old config of a model as a Keras 3 model without weights: layers are made, and called as their nodes say."""

from dataclasses import dataclass, field
from typing import Any, Final

import keras

from engine.importers.rebuild.nodes import Node, Reference, nodes_of, references, resolved, structure_of
from engine.importers.rebuild.operations import operation
from engine.importers.rebuild.translate import Untranslatable, dtype_of, plain, translated
from engine.importers.refusals import unreadable, untranslated
from engine.importers.saved import Path
from secateur.errors import SecateurError

MODELS: Final = frozenset(("Functional", "Model", "Sequential"))
RECURRENT: Final = ("LSTM", "GRU", "SimpleRNN", "RNN", "ConvLSTM2D", "Bidirectional", "CuDNNLSTM", "CuDNNGRU")


@dataclass
class Built:
    """A model, and what its weights are put into."""

    model: Any = None
    layers: dict[Path, Any] = field(default_factory=dict)
    """Layers and nested models by where they stand in the old config."""
    children: dict[int, list[Any]] = field(default_factory=dict)
    """Layers of each model in the order of the config, by the model's ``id``."""


def build(config: Any) -> Built:
    """Make the model of a config of Keras 2.

    Raises:
        ModelClassRefused: a layer or setting has no counterpart; it is named.
        ModelUnreadable: the config contradicts itself.
    """
    built = Built()
    built.model = _Builder(built).model(config, ())
    return built


class _Builder:
    """One walk through a config."""

    def __init__(self, built: Built) -> None:
        self._built = built

    def model(self, node: Any, path: Path) -> Any:
        """A model, and a place for each of its layers; ``path`` is where the model itself stands."""
        class_name, config = parts(node)
        if class_name == "Sequential" or isinstance(config, list):
            return self._sequential(config, path)
        return self._functional(config, path)

    def _sequential(self, config: Any, path: Path) -> Any:
        settings = {"layers": config} if isinstance(config, list) else config
        nodes = _listed(settings.get("layers"))
        chain: list[Any] = []
        own: list[Any] = []
        shape = _first_shape(nodes, settings)
        for node in nodes:
            class_name, _ = parts(node)
            if class_name == "InputLayer":
                continue
            made = self._layer(node, path)
            own.append(made[-1])
            chain += made
        name = _clean(settings.get("name"))
        if shape is not None:
            chain.insert(0, _guarded(keras.Input, batch_shape=shape[0], dtype=shape[1], name=_input_name(nodes[0])))
        elif not path:
            raise unreadable(
                "The Sequential model does not say what shape its inputs have.",
                "Build it with an Input, or call it once on data, and save it again.",
            )
        model = _guarded(keras.Sequential, chain, name=name)
        self._built.children[id(model)] = own
        return model

    def _functional(self, config: Any, path: Path) -> Any:
        graph = _Graph(self, config, path)
        model = graph.run()
        self._built.children[id(model)] = graph.own
        return model

    def _layer(self, node: Any, path: Path) -> list[Any]:
        """The layers that stand for one layer of the config, and their place."""
        class_name, config = parts(node)
        name = name_of(node)
        here = (*path, name)
        made = [self.model(node, here)] if class_name in MODELS else self._translated(class_name, config, here)
        if here in self._built.layers:
            raise unreadable(f"The model has two layers called {name[:80]!r} in one place.")
        self._built.layers[here] = made[-1]
        return made

    def _translated(self, class_name: str, config: Any, here: Path) -> list[Any]:
        def inner(node: Any) -> Any:
            kind, settings = parts(node)
            if kind in MODELS:
                return self.model(node, (*here, "layer"))
            made = translated(kind, settings, inner)
            if len(made) > 1:
                raise Untranslatable(f"there is {kind} with an old hard_sigmoid in it")
            return made[0]

        try:
            return translated(class_name, config, inner)
        except Untranslatable as why:
            raise untranslated("/".join(here), class_name, str(why)) from why


class _Graph:
    """A functional model under way: which layers were called, and what came out."""

    def __init__(self, builder: _Builder, config: Any, path: Path) -> None:
        self._builder, self._config, self._path = builder, config, path
        self._nodes = _listed(config.get("layers"))
        self._calls: dict[str, list[Node]] = {name_of(node): nodes_of(node) for node in self._nodes}
        self._made: dict[str, Any] = {}
        self._results: dict[str, list[list[Any]]] = {name: [] for name in self._calls}
        self._first = self._first_numbers()
        self.own: list[Any] = []

    def _first_numbers(self) -> dict[str, int]:
        """The number of each nested model's first call: 1 where making the model itself counted as call 0."""
        models = {name_of(node) for node in self._nodes if parts(node)[0] in MODELS}
        first = dict.fromkeys(self._calls, 0)
        used = [reference for calls in self._calls.values() for call in calls for reference in references(call)]
        used += references(structure_of(self._config.get("output_layers"), set(self._calls)))
        for name in models:
            numbers = [reference.node for reference in used if reference.layer == name]
            first[name] = min(numbers, default=0)
        return first

    def run(self) -> Any:
        """Make and call every layer; what feeds a layer is called before it."""
        names = set(self._calls)
        for node in self._nodes:
            self._make(node)
        waiting = [(name, number, call) for name, calls in self._calls.items() for number, call in enumerate(calls)]
        while waiting:
            left = []
            for name, number, call in waiting:
                if len(self._results[name]) == number and all(map(self._is_there, references(call))):
                    self._call(name, call)
                else:
                    left.append((name, number, call))
            if len(left) == len(waiting):
                raise unreadable(f"Layer {left[0][0][:80]!r} is fed by something that is not in the model.")
            waiting = left
        inputs = resolved(structure_of(self._config.get("input_layers"), names), self._tensor)
        outputs = resolved(structure_of(self._config.get("output_layers"), names), self._tensor)
        _name_apart(keras.tree.flatten(outputs))
        return _guarded(keras.Model, inputs, outputs, name=_clean(self._config.get("name")))

    def _make(self, node: Any) -> None:
        class_name, config = parts(node)
        name = name_of(node)
        if class_name == "InputLayer":
            self._results[name].append([_input(config, name)])
            self._calls[name] = []
        elif class_name in ("TFOpLambda", "SlicingOpLambda"):
            try:
                self._made[name] = [operation(config.get("function"))]
            except Untranslatable as why:
                raise untranslated(name, class_name, str(why)) from why
        else:
            self._made[name] = self._builder._layer(node, self._path)
            self.own.append(self._made[name][-1])

    def _call(self, name: str, call: Node) -> None:
        args, kwargs = resolved(call.args, self._tensor), resolved(call.kwargs, self._tensor)
        kwargs = {key: value for key, value in kwargs.items() if value is not None and key != "name"}
        chain = self._made[name]
        if type(chain[0]).__name__ in RECURRENT and isinstance(args, list) and len(args) > 1:
            args, kwargs = args[0], kwargs | {"initial_state": args[1:]}
            # Keras 3 hands on a mask by itself only where there is one tensor to take it from.
            kwargs.setdefault("mask", getattr(args, "_keras_mask", None))
        try:
            result = chain[0](args, **kwargs)
            for layer in chain[1:]:
                result = layer(result)
        except SecateurError:
            raise
        except Exception as fault:  # whatever Keras makes of a config that contradicts itself
            raise untranslated(name, type(chain[0]).__name__, f"it cannot be called: {str(fault).strip()}") from fault
        self._results[name].append(keras.tree.flatten(result))

    def _is_there(self, reference: Reference) -> bool:
        return reference.node - self._first.get(reference.layer, 0) < len(self._results.get(reference.layer, ()))

    def _tensor(self, reference: Reference) -> Any:
        calls = self._results.get(reference.layer, [])
        number = reference.node - self._first.get(reference.layer, 0)
        if not 0 <= number < len(calls) or not 0 <= reference.tensor < len(calls[number]):
            raise unreadable(f"The model reads an output of {reference.layer[:80]!r} that there is not.")
        return calls[number][reference.tensor]


def _name_apart(outputs: list[Any]) -> None:
    """Give operations names that no layer has: Keras names them by their kind, such as ``add``."""
    found: dict[int, Any] = {}
    waiting = list(outputs)
    while waiting:
        operation = waiting.pop()._keras_history.operation
        if id(operation) not in found:
            found[id(operation)] = operation
            waiting += [tensor for node in operation._inbound_nodes for tensor in node.input_tensors]
    used = {operation.name for operation in found.values() if isinstance(operation, keras.layers.Layer)}
    for operation in found.values():
        if isinstance(operation, keras.layers.Layer):
            continue
        name, number = operation.name, 1
        while operation.name in used:
            operation.name = f"{name}_{number}"
            number += 1
        used.add(operation.name)


def parts(node: Any) -> tuple[str, Any]:
    """Class name and config of a layer or model. Raises: ModelUnreadable: it is none."""
    if not isinstance(node, dict) or not isinstance(node.get("class_name"), str):
        raise unreadable("The config has something among its layers that is no layer.")
    config = node.get("config")
    if not isinstance(config, dict) and not (node["class_name"] in MODELS and isinstance(config, list)):
        raise unreadable(f"The config of a {node['class_name'][:60]} holds no settings.")
    return node["class_name"], config


def name_of(node: Any) -> str:
    """The name by which nodes and weights know a layer of a config."""
    class_name, config = parts(node)
    name = node.get("name") or (config.get("name") if isinstance(config, dict) else None)
    if not isinstance(name, str):
        name = class_name.lower()
    return name


def _listed(value: Any) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise unreadable("The config lists no layers.")
    return value


def _input_name(first: Any) -> str | None:
    """What Keras 2 called the input of a Sequential model."""
    return _clean(name_of(first) if parts(first)[0] == "InputLayer" else f"{name_of(first)}_input")


def _clean(name: Any) -> str | None:
    return name.replace("/", "_") if isinstance(name, str) and name else None


def _input(config: Any, name: str) -> Any:
    if config.get("sparse") or config.get("ragged"):
        raise untranslated(name, "InputLayer", "sparse and ragged inputs are not taken")
    shape = plain(config.get("batch_input_shape", config.get("batch_shape")))
    return _guarded(
        keras.Input, batch_shape=_shape(shape), dtype=dtype_of(config.get("dtype")) or "float32", name=_clean(name)
    )


def _shape(value: Any) -> tuple[int | None, ...]:
    if not isinstance(value, list) or not all(size is None or type(size) is int for size in value):
        raise unreadable(f"The config has {str(value)[:60]} where the shape of an input was expected.")
    return tuple(value)


def _first_shape(nodes: list[Any], settings: Any) -> tuple[tuple[int | None, ...], str] | None:
    """Batch shape and dtype of what a Sequential model takes: its first layer says it, or the model does."""
    class_name, config = parts(nodes[0])
    if class_name == "InputLayer" or "batch_input_shape" in config:
        shape = plain(config.get("batch_input_shape", config.get("batch_shape")))
        kept = class_name == "InputLayer" or class_name not in ("Embedding", "StringLookup")
        dtype = dtype_of(config.get("dtype")) if kept else None
        return _shape(shape), _plain_dtype(dtype)
    if class_name in MODELS:
        inner = config if isinstance(config, list) else config.get("layers")
        return _first_shape(_listed(inner), config if isinstance(config, dict) else {})
    shape = plain(settings.get("build_input_shape"))
    return None if shape is None else (_shape(shape), "float32")


def _plain_dtype(dtype: str | None) -> str:
    return dtype if dtype is not None and "int" in dtype else "float32"


def _guarded(make: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return make(*args, **kwargs)
    except SecateurError:
        raise
    except Exception as fault:  # Keras raises every kind for what does not fit together
        reason = str(fault).strip().splitlines()[0][:300] if str(fault).strip() else type(fault).__name__
        raise unreadable(f"Keras {keras.__version__} cannot build the model: {reason}") from fault
