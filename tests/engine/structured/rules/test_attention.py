"""Heads of attention, and the features that it takes and gives."""

from typing import Any

import keras
import numpy as np
import pytest

from engine.structured.groups import channels_of
from tests.engine.structured.masked import assert_exact, group_of

L = keras.layers


def attending(layer: Any, **arguments: Any) -> Any:
    """Queries of four steps attend to values of five, both made by dense layers."""
    queries, values = keras.Input((4, 3)), keras.Input((5, 3))
    query, value = L.Dense(8, name="query")(queries), L.Dense(6, name="value")(values)
    made = layer(query, value, **arguments)
    return keras.Model([queries, values], L.Dense(2, name="out")(made))


@pytest.mark.parametrize(
    "options",
    [{}, {"use_bias": False, "value_dim": 5}, {"use_gate": True}, {"output_shape": 10}],
    ids=["plain", "no-bias", "gate", "output-shape"],
)
def test_a_head_goes_with_its_slice_of_every_projection(options: dict[str, Any]) -> None:
    channels, kept, small = assert_exact(attending(L.MultiHeadAttention(4, 3, name="attention", **options)))

    heads = next(group for group in channels.groups if group.unit == "heads")
    assert (heads.name, len(heads.channels), heads.frozen) == ("attention", 4, ())
    assert small.get_layer("attention").num_heads == 2 == kept[heads.channels].sum()
    assert small.get_layer("attention").key_dim == 3


def test_what_attention_gives_has_the_features_of_the_query() -> None:
    channels = channels_of(attending(L.MultiHeadAttention(4, 3, name="attention")))

    group = group_of(channels, "query")
    assert (group.layers, group.unit) == (("query", "attention"), "channels")


def test_an_output_shape_of_its_own_is_a_group_of_its_own() -> None:
    channels = channels_of(attending(L.MultiHeadAttention(4, 3, output_shape=10, name="attention")))

    group = group_of(channels, "query")
    assert group.layers == ("query",)
    assert sorted(len(group.channels) for group in channels.groups if "attention" in group.layers) == [4, 10]


def test_a_transformer_block_keeps_its_width_in_step() -> None:
    tokens = keras.Input((5,), dtype="int32")
    x = L.Embedding(5, 8, name="words")(tokens)
    x = L.LayerNormalization()(L.Add()([x, L.MultiHeadAttention(4, 2, name="attention")(x, x, use_causal_mask=True)]))
    x = L.LayerNormalization()(L.Add()([x, L.Dense(8, name="down")(L.Dense(12, "gelu", name="up")(x))]))

    channels, _, _ = assert_exact(keras.Model(tokens, L.Dense(2)(L.GlobalAveragePooling1D()(x))))

    group = group_of(channels, "words")
    assert group.layers == ("words", "attention", "down")
    assert group.tags == ("shortcut", "normalized")


def test_heads_whose_scores_are_given_out_stay() -> None:
    queries = keras.Input((4, 3))
    made, scores = L.MultiHeadAttention(4, 3, name="held")(queries, queries, return_attention_scores=True)

    channels = channels_of(keras.Model(queries, [L.Dense(2)(made), L.Flatten()(scores)]))

    heads = next(group for group in channels.groups if group.unit == "heads")
    assert heads.frozen == ("held returns the scores of its heads",)


def test_heads_that_have_a_mask_each_stay() -> None:
    mask = np.ones((1, 4, 4, 5), bool)

    channels = channels_of(attending(L.MultiHeadAttention(4, 3, name="held"), attention_mask=mask))

    heads = next(group for group in channels.groups if group.unit == "heads")
    assert heads.frozen == ("held takes a mask for each of its heads",)


def test_steps_that_are_masked_stay_masked() -> None:
    tokens = keras.Input((5,), dtype="int32")
    words = L.Embedding(5, 8, mask_zero=True, name="words")(tokens)
    made = L.GlobalAveragePooling1D()(L.MultiHeadAttention(4, 2)(words, words))

    channels, _, _ = assert_exact(keras.Model(tokens, L.Dense(2)(made)))

    assert [group.frozen for group in channels.groups[:-1]] == [(), ()]


def test_attention_along_an_axis_of_channels_holds_them() -> None:
    """Attention weighs positions against each other; behind a Permute these are channels."""
    tokens = keras.Input((4, 3))
    turned = L.Permute((2, 1))(L.Dense(6, name="held")(tokens))
    model = keras.Model(tokens, L.Dense(2)(L.MultiHeadAttention(2, 3, name="attention")(turned, turned)))

    group = group_of(channels_of(model), "held")

    assert group.frozen == ("attention takes an axis of channels for one of positions",)
