"""What a config may name, class by class, as Keras 3 writes it and as older ones did."""

from typing import Any

import pytest

from screening.models.keras_config import MAX_LAYERS, check
from secateur.errors import ModelClassRefused, ModelUnreadable
from tests.badfiles import layer, sequential


def old_model(*layers: dict[str, Any]) -> dict[str, Any]:
    """A network as Keras 2 tells of it: classes without their modules."""
    return {"class_name": "Sequential", "config": {"name": "old", "layers": list(layers)}}


@pytest.mark.parametrize("config", [None, [], {}, {"class_name": 7}, {"class_name": ["Sequential"], "config": {}}])
def test_what_names_no_class_is_no_model(config: Any) -> None:
    with pytest.raises(ModelUnreadable, match="describes no model"):
        check(config, num_weight_bytes=1_000)


@pytest.mark.parametrize("field", ["class_name", "module", "registered_name"])
@pytest.mark.parametrize("value", [7, ["Dense"], {"a": "Dense"}, True])
def test_a_class_that_is_named_by_no_text_is_refused(field: str, value: Any) -> None:
    """It could be no key of a table, and would fail the screening itself."""
    config = sequential(layer("Dense", units=1) | {field: value})

    with pytest.raises(ModelUnreadable, match="no text"):
        check(config, num_weight_bytes=1_000)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        pytest.param({"class_name": "Stranger", "config": {"name": "a"}}, "Stranger", id="a custom class"),
        pytest.param(
            {"class_name": "Dense", "module": "os", "config": {"name": "a"}}, "Dense", id="a class of another module"
        ),
        pytest.param(
            {"class_name": "TFOpLambda", "config": {"name": "a", "function": "io.read_file"}},
            "io.read_file",
            id="a function of TensorFlow",
        ),
        pytest.param(
            {"class_name": "__lambda__", "config": {"name": "a", "code": "4wEAAA=="}}, "a lambda", id="a lambda"
        ),
    ],
)
def test_of_old_classes_only_known_ones_pass(node: dict[str, Any], told: str) -> None:
    check(old_model({"class_name": "Dense", "config": {"name": "a", "units": 1}}), num_weight_bytes=1_000, old=True)
    with pytest.raises(ModelClassRefused, match=told):
        check(old_model(node), num_weight_bytes=1_000, old=True)


@pytest.mark.parametrize("old", [False, True])
def test_the_bound_on_layers_holds_for_every_keras(old: bool) -> None:
    one = {"class_name": "Dropout", "config": {"name": "a", "rate": 0.5}} if old else layer("Dropout", rate=0.5)
    make, others = (old_model, 1) if old else (sequential, 2)  # the network counts, and its InputLayer

    check(make(*[one] * (MAX_LAYERS - others)), num_weight_bytes=1_000, old=old)
    with pytest.raises(ModelUnreadable, match=f"more than {MAX_LAYERS} layers"):
        check(make(*[one] * (MAX_LAYERS - others + 1)), num_weight_bytes=1_000, old=old)
