"""How often a model calls its layers, counted in its config before Keras builds it.

Keras makes a node for every call, and calls all layers of a nested model anew wherever that is called. So six models
in one another, each called thirty times, are 729 million calls in a file of 3 kB.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from screening.costs import bounds, few, too_costly
from secateur.errors import ModelUnreadable

MODELS: Final = frozenset({"Functional", "Model", "Sequential"})
MAX_ROUNDS_PER_CALL: Final = 20
"""Keras tries calls in the order of the file, again and again until their inputs are there."""


def check(config: Mapping[str, Any]) -> None:
    """Hold the calls of a whole model against the bounds.

    Args:
        config: class name and config of a model, of any Keras, nested at most ``keras_config.MAX_DEPTH`` deep.

    Raises:
        UploadTooCostly: there are too many calls, or they stand in an order that takes too many rounds.
    """
    limit = bounds().layer_calls
    num_calls = _built(config)
    if num_calls > limit:
        raise too_costly(
            f"The model calls its layers {few(num_calls)} times, with those of nested models counted at each call; "
            f"at most {limit} calls are accepted.",
            "SECATEUR_MAX_LAYER_CALLS",
            "Build the model from fewer calls: a layer or nested model that is shared counts each time it is called.",
        )
    for model in _models(config):
        _check_inputs(_layers(model))
        rounds = _rounds(_layers(model))
        if rounds > limit * MAX_ROUNDS_PER_CALL:
            raise too_costly(
                f"The model {str(_settings(model).get('name'))[:80]!r} lists its layers in an order that takes "
                f"{rounds} tries to build; at most {limit * MAX_ROUNDS_PER_CALL} are accepted.",
                "SECATEUR_MAX_LAYER_CALLS",
                'Let Keras write the file again: model.save("model.keras").',
            )


def _check_inputs(layers: list[Mapping[str, Any]]) -> None:
    """Every call of Keras 3 takes a tensor of the model: one that takes none is computed while the file is read."""
    for layer in layers:
        nodes = layer.get("inbound_nodes")
        for node in nodes if isinstance(nodes, list) else ():
            if isinstance(node, dict) and not any(_references(node)):
                raise ModelUnreadable(
                    f"Layer {_name(layer)[:80]!r} is called on no output of another layer.",
                    suggestions=['Let Keras write the file again: model.save("model.keras").'],
                )


def _built(config: Mapping[str, Any]) -> int:
    """Calls until a model and all models in it are built: each is built by itself before it is called."""
    return sum(_run(model) for model in _models(config))


def _run(node: Mapping[str, Any]) -> int:
    """Calls of layers in one call of a layer or model."""
    if node.get("class_name") in MODELS:
        return sum(_num_nodes(layer) * _run(layer) for layer in _layers(node))
    inner = sum(_run(found) for found in _inside(_settings(node)))
    return 1 + inner * (2 if node.get("class_name") == "Bidirectional" else 1)


def _models(node: Any) -> Iterator[Mapping[str, Any]]:
    """All models of a config, from the outermost to those in wrappers and other models."""
    if isinstance(node, list):
        for item in node:
            yield from _models(item)
    elif isinstance(node, dict):
        if node.get("class_name") in MODELS and _layers(node):
            yield node
        for key, value in node.items():
            if key not in ("inbound_nodes", "compile_config", "training_config") and isinstance(value, dict | list):
                yield from _models(value)


def _inside(settings: Any) -> Iterator[Mapping[str, Any]]:
    """Layers among the settings of a layer: those of wrappers, the cells of recurrent layers."""
    for value in settings.values() if isinstance(settings, dict) else ():
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict) and isinstance(item.get("config"), dict | list) and _is_layer(item):
                yield item


def _is_layer(node: Mapping[str, Any]) -> bool:
    settings = node["config"]
    return node.get("class_name") in MODELS or (isinstance(settings, dict) and "name" in settings)


def _settings(node: Mapping[str, Any]) -> Mapping[str, Any]:
    settings = node.get("config")
    return settings if isinstance(settings, dict) else {"layers": settings}


def _layers(model: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    listed = _settings(model).get("layers")
    return [layer for layer in listed if isinstance(layer, dict)] if isinstance(listed, list) else []


def _num_nodes(layer: Mapping[str, Any]) -> int:
    """How often a layer is called: as many nodes as it has; those of Sequential models have none written down."""
    nodes = layer.get("inbound_nodes")
    return max(1, len(nodes)) if isinstance(nodes, list) else 1


def _rounds(layers: list[Mapping[str, Any]]) -> int:
    """How often Keras tries to call layers until all have been called.

    Each round goes through the layers in the order of the file, and calls what has its inputs. A node waits for the
    round of each node that it reads; one more if that stands behind it.
    """
    places = {_name(layer): place for place, layer in enumerate(layers)}
    done: dict[tuple[int, int], int] = {}
    nodes = [(place, number) for place, layer in enumerate(layers) for number in range(_num_nodes(layer))]
    needs = {node: _needs(layers[node[0]], node, places) for node in nodes}
    readers: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for node, read in needs.items():
        for source in read:
            readers.setdefault(source, []).append(node)
    missing = {node: sum(source in needs for source in read) for node, read in needs.items()}
    ready = [node for node, count in missing.items() if count == 0]
    while ready:
        node = ready.pop()
        waits = [done[source] + (source[0] > node[0]) for source in needs[node] if source in done]
        done[node] = max(waits, default=1)
        for reader in readers.get(node, ()):
            missing[reader] -= 1
            if missing[reader] == 0:
                ready.append(reader)
    end = max(done.values(), default=1)
    last: dict[int, int] = {}
    for node in nodes:  # what never has its inputs is tried until the end
        last[node[0]] = max(last.get(node[0], 0), done.get(node, end))
    return sum(last.values())


def _name(layer: Mapping[str, Any]) -> str:
    return str(layer.get("name") or _settings(layer).get("name"))


def _needs(layer: Mapping[str, Any], node: tuple[int, int], places: Mapping[str, int]) -> frozenset[tuple[int, int]]:
    """The nodes that one reads, and the one before it of the same layer."""
    nodes = layer.get("inbound_nodes")
    given = nodes[node[1]] if isinstance(nodes, list) and node[1] < len(nodes) else []
    found = {(places[name], number) for name, number in _references(given) if name in places}
    if node[1]:
        found.add((node[0], node[1] - 1))
    return frozenset(found - {node})


def _references(value: Any) -> Iterator[tuple[str, int]]:
    """Layers and numbers of their calls, as all versions of Keras write them: ``[name, number, output, ...]``."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list):
            if len(item) >= 3 and isinstance(item[0], str) and isinstance(item[1], int):
                yield item[0], item[1]
            waiting.extend(each for each in item if isinstance(each, dict | list))
