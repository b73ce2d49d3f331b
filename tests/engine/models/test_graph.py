import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import keras
import numpy as np
import pytest

from engine.models import graph as graphs
from engine.models.graph import State, Walk, graph_of

layers = keras.layers


def nested_network() -> Any:
    """A model in a model, a residual around it, and a layer that both branches share."""
    keras.utils.set_random_seed(1)
    inner_in = keras.Input((6,))
    inner = keras.Model(inner_in, layers.Dense(6, activation="relu", name="inside")(inner_in), name="encoder")
    inputs = keras.Input((6,))
    shared = layers.Dense(6, name="shared")
    x = layers.Add()([inner(inputs), shared(inputs)])
    x = layers.Concatenate()([shared(x), layers.Dropout(0.5)(x)])
    return keras.Model(inputs, keras.Sequential([layers.Dense(3, name="out")], name="head")(x))


def by_name(model: Any, name: str) -> list[int]:
    return [place for place, call in enumerate(graph_of(model).calls) if call.operation.name == name]


def batches(shape: tuple[int, ...] = (6,)) -> list[np.ndarray]:
    x = np.random.default_rng(0).normal(size=(7, *shape)).astype("f4")
    return [x[:4], x[4:]]


def walk_of(model: Any) -> Walk:
    return Walk(model, batches, count=7)


def states(walk: Walk) -> list[State]:
    assert walk._states is not None
    return walk._states


def same(found: Iterable[list[np.ndarray]], expected: list[list[np.ndarray]]) -> bool:
    """Whether what one layer reads is the same in every batch."""
    return all(np.allclose(ours[0], theirs[0]) for ours, theirs in zip(found, expected, strict=True))


def test_a_walk_through_nested_models_and_branches_ends_at_the_models_own_output() -> None:
    model = nested_network()
    graph, walk = graph_of(model), walk_of(model)

    walk.advance(len(graph.calls))

    for batch, (_, state) in zip(batches(), states(walk), strict=True):
        assert np.allclose(state[graph.outputs[0]], model(batch, training=False), atol=1e-6)


def test_what_a_layer_reads_is_found_inside_nested_models_and_at_every_call() -> None:
    model = nested_network()
    first, second = by_name(model, "shared")
    (inside,) = by_name(model, "inside")
    walk = walk_of(model)
    x = batches()[1]
    encoder, shared = model.get_layer("encoder"), model.get_layer("shared")

    _, read = walk.inputs([first, second, inside])

    assert np.allclose(read[0], x)
    assert np.allclose(read[1], encoder(x) + shared(x), atol=1e-6)
    assert np.allclose(read[2], x)


def test_moving_the_frontier_changes_nothing_and_forgets_what_is_not_needed() -> None:
    model = nested_network()
    (out,) = by_name(model, "out")
    expected = list(walk_of(model).inputs([out]))
    walk = walk_of(model)

    walk.advance(by_name(model, "shared")[1])
    walk.advance(out)

    assert same(walk.inputs([out]), expected)
    assert [(size, len(values)) for size, values in states(walk)] == [(4, 1), (3, 1)]
    anew = walk_of(model)
    assert [set(anew._run(values, out)) for _, values in anew._frontier()] == [walk.graph.live(out)] * 2


def test_without_room_the_frontier_stays_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Activations of large images are computed again for each layer rather than held for all samples."""
    model = nested_network()
    (out,) = by_name(model, "out")
    expected = list(walk_of(model).inputs([out]))
    monkeypatch.setattr(graphs, "MAX_FRONTIER_BYTES", 7 * 6 * 4)
    walk = walk_of(model)

    walk.advance(out)

    assert walk._states is None
    assert same(walk.inputs([out]), expected)


def test_at_the_models_inputs_batches_are_made_when_needed_and_not_held() -> None:
    """The inputs of all samples can be larger than all the memory there is."""
    model, made, alive, most = nested_network(), list[int](), set[int](), list[int]()

    def lazily() -> Iterator[np.ndarray]:
        for number in range(6):
            batch = np.full((4, 6), number, "f4")
            made.append(number)
            alive.add(number)
            most.append(len(alive))
            weakref.finalize(batch, alive.discard, number)
            yield batch

    walk = Walk(model, lazily, count=24)
    walk.advance(0)
    assert made == []
    next(walk.inputs(by_name(model, "shared")))
    assert made == [0]
    walk.advance(by_name(model, "out")[0])
    assert made == [0, *range(6)]
    assert max(most) <= 2


def test_layers_of_models_that_are_code_are_not_in_the_graph() -> None:
    class Coded(keras.Model):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.hidden = layers.Dense(2)

        def call(self, x: Any) -> Any:
            return self.hidden(x)

    coded, inputs = Coded(), keras.Input((6,))
    around = keras.Model(inputs, layers.Dense(1)(coded(inputs)))

    assert graph_of(coded).calls == ()
    assert [call.operation for call in graph_of(around).calls] == [coded, around.layers[-1]]
    assert graph_of(around).calls_of(coded.hidden) == []
