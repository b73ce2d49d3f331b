from typing import Any

import keras
import numpy as np
import pytest

from engine.models.prunable import prunable_kernels
from engine.pruning.masking import Masks
from tests.engine.conftest import cut, make_model

OPTIMIZERS = [
    pytest.param(lambda: keras.optimizers.Adam(0.01), id="adam"),
    pytest.param(lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1), id="adamw"),
    pytest.param(lambda: keras.optimizers.SGD(0.05, momentum=0.9, nesterov=True), id="sgd-momentum"),
    pytest.param(lambda: keras.optimizers.RMSprop(0.01, momentum=0.9), id="rmsprop"),
]


def fit(model: Any, arrays: dict[str, np.ndarray], epochs: int = 1) -> None:
    model.fit(arrays["x_train"][..., None] / 255.0, arrays["y_train"], epochs=epochs, batch_size=64, verbose=0)


def compile_with(model: Any, optimizer: Any) -> None:
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)


@pytest.mark.parametrize("make_optimizer", OPTIMIZERS)
def test_no_optimiser_revives_a_weight_that_was_cut_in_full_swing(
    make_optimizer: Any, arrays: dict[str, np.ndarray]
) -> None:
    """Masked gradients are not enough: momentum from before the cut brings every weight back."""
    model = make_model()
    masks = Masks(prunable_kernels(model))
    compile_with(model, make_optimizer())
    fit(model, arrays)

    cut(masks, 0.8)
    fit(model, arrays, epochs=2)

    for name in masks.names:
        weights = masks.weights(name)
        assert np.count_nonzero(weights == 0) == round(0.8 * weights.size)


def test_without_masks_the_same_training_revives_them(arrays: dict[str, np.ndarray]) -> None:
    """The control: what the test above guards against does happen."""
    model, masked = make_model(), make_model()
    compile_with(model, keras.optimizers.Adam(0.01))
    fit(model, arrays)
    masked.set_weights(model.get_weights())
    cut(Masks(prunable_kernels(masked)), 0.8)

    model.set_weights(masked.get_weights())
    fit(model, arrays)

    assert all(np.mean(np.asarray(model.get_layer(name).kernel) == 0) < 0.1 for name in ("conv", "hidden"))


def test_a_layers_own_constraint_goes_on_working_beside_the_mask(arrays: dict[str, np.ndarray]) -> None:
    model = keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(16, kernel_constraint=keras.constraints.NonNeg(), name="hidden"),
            keras.layers.Dense(4, activation="softmax"),
        ]
    )
    masks = Masks(prunable_kernels(model))
    compile_with(model, keras.optimizers.Adam(0.01))

    cut(masks, 0.5)
    fit(model, arrays)

    weights = masks.weights("hidden")
    assert (weights >= 0).all()
    assert (weights == 0).mean() >= 0.5


def test_single_layers_can_have_a_sparsity_of_their_own() -> None:
    masks = Masks(prunable_kernels(make_model()))

    cut(masks, 0.5, layers={"conv": 0.25})

    assert (masks.weights("conv") == 0).mean() == 0.25
    assert (masks.weights("hidden") == 0).mean() == 0.5


def test_zeros_that_a_model_brings_along_count_as_cut() -> None:
    """A model pruned to 80 % and pruned again at 50 % stays at 80 %; TFMOT falls back to 50 %."""
    model = make_model()
    cut(Masks(prunable_kernels(model)), 0.8)

    again = Masks(prunable_kernels(model))
    cut(again, 0.5)

    assert again.sparsity() == pytest.approx(0.8, abs=0.005)


def test_a_masked_model_saves_as_the_same_plain_classes(tmp_path: Any) -> None:
    """Nothing to strip: users load the file with Keras alone."""
    model = make_model()
    masks = Masks(prunable_kernels(model))
    cut(masks, 0.9)

    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")

    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in make_model().layers]
    assert all(np.array_equal(a, b) for a, b in zip(loaded.get_weights(), model.get_weights(), strict=True))
