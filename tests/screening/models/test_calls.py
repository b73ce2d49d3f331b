"""How often a model calls its layers, counted before it is built, and held against a bound that can be moved."""

from typing import Any

import pytest

from screening.costs import limited_to
from screening.models.keras_config import check
from secateur.errors import UploadTooCostly
from secateur.protocol.cost_bounds import CostBounds
from tests.badfiles import layer, sequential
from tests.hostile.costly import chain, functional, nested, old_nodes, reversed_chain


def wrapped(wrapper: str) -> dict[str, Any]:
    """A wrapper around a model of two calls, in a model of one."""
    inner = nested(1, 2)
    return sequential(layer(wrapper, name="w", layer=inner))


@pytest.mark.parametrize(
    ("config", "calls", "old"),
    [
        pytest.param(functional("f", chain(layer("ReLU", name="r"), 3), output=("r", 2)), 4, False, id="one layer"),
        # l1 is built (1 + 2), then l2: its input and two runs of l1
        pytest.param(nested(2, 2), 3 + 1 + 2 * 3, False, id="a model in a model"),
        # the inner model is built (3) and run in the wrapper, behind an input
        pytest.param(wrapped("TimeDistributed"), 3 + 1 + (1 + 3), False, id="a model in a wrapper"),
        pytest.param(wrapped("Bidirectional"), 3 + 1 + (1 + 2 * 3), False, id="a model in both directions"),
        pytest.param(old_nodes(5), 6, True, id="nodes of Keras 2"),
    ],
)
def test_calls_are_counted_to_the_last(config: dict[str, Any], calls: int, old: bool) -> None:
    """Worked out by hand: one call more than the bound is one too many."""
    with limited_to(CostBounds(layer_calls=calls)):
        check(config, num_weight_bytes=1_000, old=old)

    with limited_to(CostBounds(layer_calls=calls - 1)), pytest.raises(UploadTooCostly, match=f" {calls} times"):
        check(config, num_weight_bytes=1_000, old=old)


def test_a_file_in_the_order_of_its_calls_takes_one_try_a_layer() -> None:
    """Keras itself writes files so, however deep they are; the reverse takes the square."""
    length = 300
    backward = reversed_chain(length)
    forward = backward | {"config": backward["config"] | {"layers": list(reversed(backward["config"]["layers"]))}}
    forward["config"]["layers"] = [forward["config"]["layers"][-1], *forward["config"]["layers"][:-1]]

    with limited_to(CostBounds(layer_calls=length + 1)):
        check(forward, num_weight_bytes=1_000)
        with pytest.raises(UploadTooCostly, match="order"):
            check(backward, num_weight_bytes=1_000)


def test_the_error_names_the_setting_that_the_operator_can_raise() -> None:
    with limited_to(CostBounds(layer_calls=1)), pytest.raises(UploadTooCostly) as refusal:
        check(nested(1, 2), num_weight_bytes=1_000)

    assert "SECATEUR_MAX_LAYER_CALLS" in refusal.value.suggestions[-1]
