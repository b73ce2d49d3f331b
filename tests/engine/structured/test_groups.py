"""What users are told of groups: names, readers, tags, and why one stays."""

from itertools import pairwise
from typing import Any

import keras
import numpy as np

from engine.structured.coupling import CouplingBuilder
from engine.structured.groups import channels_of

L = keras.layers


def residual() -> Any:
    """A stem, a block with a shortcut, and a head."""
    inputs = keras.Input((8, 8, 3))
    stem = L.Conv2D(8, 3, padding="same", name="stem")(inputs)
    inside = L.BatchNormalization(name="norm")(L.Conv2D(16, 3, padding="same", name="wide")(stem))
    back = L.Conv2D(8, 1, name="back")(inside)
    pooled = L.GlobalAveragePooling2D()(L.Add(name="add")([stem, back]))
    return keras.Model(inputs, L.Dense(4, activation="softmax", name="classes")(pooled))


def test_groups_are_named_by_their_first_layers_in_the_order_of_the_graph() -> None:
    groups = channels_of(residual()).groups

    assert [(group.name, group.layers, group.consumers) for group in groups] == [
        ("stem", ("stem", "back"), ("wide", "classes")),
        ("wide", ("wide",), ("back",)),
        ("classes", ("classes",), ()),
    ]


def test_users_are_told_what_they_may_want_to_spare() -> None:
    assert [group.tags for group in channels_of(residual()).groups] == [("first", "shortcut"), (), ()]


def test_a_group_that_makes_an_output_says_only_that() -> None:
    """Its softmax and whatever else would hold it too are of no use to whoever reads."""
    *_, classes = channels_of(residual()).groups

    assert classes.frozen == ("it makes an output of the model",)


def test_every_layer_of_a_group_keeps_something() -> None:
    """Two layers side by side are added to a third: without parts, all of one might go."""
    inputs = keras.Input((3,))
    left, right = L.Dense(2, name="left")(inputs), L.Dense(4, name="right")(inputs)
    made = L.Add()([L.Concatenate()([left, right]), L.Dense(6, name="both")(inputs)])

    (group, _) = channels_of(keras.Model(inputs, L.Dense(1)(made))).groups

    assert group.layers == ("left", "right", "both")
    assert sorted(map(len, group.parts)) == [2, 4, 6]
    assert {channel for part in group.parts for channel in part} == set(group.channels)


def test_a_channel_is_everything_that_its_labels_are_joined_with() -> None:
    """Three axes of two; the first meets the second in order, and the third the other way round."""
    coupling = CouplingBuilder()
    one, two, three = (coupling.fresh(2) for _ in range(3))

    coupling.join(one, two)
    coupling.join(two, three[::-1])

    assert coupling.channels().tolist() == [0, 1, 0, 1, 1, 0]


def test_joins_are_followed_over_any_number_of_steps() -> None:
    coupling = CouplingBuilder()
    chain = [coupling.fresh(1) for _ in range(200)]
    for left, right in pairwise(chain):
        coupling.join(left, right)

    assert np.unique(coupling.channels()).tolist() == [0]


def test_axes_of_different_sizes_that_meet_are_held() -> None:
    coupling = CouplingBuilder()
    left, right = coupling.fresh(2), coupling.fresh(3)

    met = coupling.join(left, right)

    assert met == "axes of 2 and 3 meet"
    assert [labels.tolist() for labels, _ in coupling.frozen] == [[0, 1], [2, 3, 4]]
