"""Sequential models are read in one go, and are the same."""

import keras
import pytest

from engine.models import sequential


@pytest.mark.parametrize("built_by", ["input", "shape"])
def test_a_config_gives_the_same_model_and_calls_each_layer_once(built_by: str) -> None:
    """Keras calls layer n as often as there are layers behind it."""
    sequential.install()
    first = [keras.Input((4,))] if built_by == "input" else []
    model = keras.Sequential([*first, *(keras.layers.Dense(3, name=f"d{number}") for number in range(5))], name="s")
    model.build((None, 4))

    read = keras.Sequential.from_config(model.get_config())

    assert read.get_config() == model.get_config()
    assert read.count_params() == model.count_params()
    assert [len(layer._inbound_nodes) for layer in read.layers] == [1] * 5


def test_a_config_without_layers_is_told() -> None:
    with pytest.raises(ValueError, match="needs name and layers"):
        keras.Sequential.from_config({"name": "s"})
