"""Real architectures without half of their channels are what they are with zeros there.

All fourteen families: ``benchmarks/engine/channel_families.py``.
"""

import keras
import pytest

from tests.engine.structured.masked import assert_exact

QUICK, SLOW = ("MobileNetV3Small", "ResNet50V2"), ("DenseNet121", "EfficientNetB0")


@pytest.mark.parametrize("family", [*QUICK, *(pytest.param(family, marks=pytest.mark.slow) for family in SLOW)])
def test_a_family_without_half_of_its_channels_is_the_family_with_zeros_there(family: str) -> None:
    keras.backend.clear_session(free_memory=False)
    model = getattr(keras.applications, family)(
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )

    channels, _, small = assert_exact(model)

    assert [group.frozen for group in channels.groups if group.frozen] == [("it makes an output of the model",)]
    assert small.count_params() < 0.45 * model.count_params()
