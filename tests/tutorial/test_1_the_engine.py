"""Read this first: how a network is pruned, from a single kernel to a whole job, in the engine's own words.

Each test is a step further. The service around it is the story of the next file.
"""

from pathlib import Path

import keras
import numpy as np
import pytest

from engine.models.prunable import prunable_kernels
from engine.pipeline.compress import compress
from engine.pruning.criterion import magnitude
from engine.pruning.distribution import Ranked, global_, uniform
from engine.pruning.mask import keep_largest
from engine.pruning.masking import Masks
from engine.pruning.schedule import plan
from engine.pruning.structure import UNITS
from engine.reconstruction.equations import Samples
from engine.reconstruction.reconstruct import reconstruct
from secateur.reports.report import Report
from secateur.specs.pruning import Polynomial
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe


def test_1_a_criterion_scores_weights_and_a_mask_keeps_the_best() -> None:
    kernel = np.array([[0.1, -2.0], [0.5, -0.2]])

    mask = keep_largest(magnitude(kernel), 0.5)

    assert (kernel * mask).tolist() == [[0.0, -2.0], [0.5, 0.0]]


def test_2_a_structure_says_what_goes_at_once() -> None:
    """Kernels are matrices, inputs x units; here each of the three units goes or stays as a whole."""
    kernel = np.array([[0.1, -2.0, 1.0], [0.5, -0.2, 1.0]])

    mask = UNITS.keep(magnitude(kernel), 1 / 3, np.ones_like(kernel, dtype=bool))

    assert (kernel * mask).tolist() == [[0.0, -2.0, 1.0], [0.0, -0.2, 1.0]]


def test_3_a_distribution_shares_a_sparsity_out_among_layers() -> None:
    """Uniform treats layers alike; global takes from the layer that has more to spare."""
    scores = {"even": Ranked(np.array([1.0, 1.0, 1.0, 1.0])), "spread": Ranked(np.array([9.0, 0.1, 0.1, 0.1]))}

    assert uniform(scores, 0.375) == {"even": 0.375, "spread": 0.375}
    assert global_(scores, 0.375) == {"even": 0.0, "spread": 0.75}


def test_4_a_schedule_says_how_sparse_at_which_step() -> None:
    """Fast at first, gentle towards the end, and over well before the training is."""
    cuts = plan(Polynomial(ramp=0.7), 0.9, num_steps=1000)

    assert len(cuts) == 40
    assert cuts[19].sparsity > 0.75
    assert (cuts[-1].step, cuts[-1].sparsity) == (700, 0.9)


def test_5_masks_hold_on_a_living_model_while_it_trains() -> None:
    """They are constraints that the optimiser applies in its own update; no layer is wrapped."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, name="hidden"), keras.layers.Dense(2, name="out")]
    )
    masks = Masks(prunable_kernels(model))
    model.compile("adam", "mse")

    kernel = masks.weights("hidden")
    masks.set("hidden", kernel * keep_largest(magnitude(kernel), 0.75))
    model.fit(np.random.default_rng(0).random((64, 4)), np.ones((64, 2)), epochs=3, verbose=0)

    assert masks.names == ("hidden",)  # the output layer is left alone
    assert (masks.weights("hidden") == 0).mean() == 0.75


def test_6_a_cut_can_be_repaired_without_labels_and_without_training() -> None:
    """Each layer is solved again on the weights that stay, so that it computes what it did before."""
    keras.utils.set_random_seed(0)
    dense = keras.Sequential(
        [keras.Input((16,)), keras.layers.Dense(64, "relu", name="hidden"), keras.layers.Dense(4, name="out")]
    )
    repaired, only_cut = (keras.models.clone_model(dense) for _ in range(2))
    for model in (repaired, only_cut):
        model.set_weights(dense.get_weights())
    x = np.random.default_rng(0).normal(size=(2000, 16)).astype("f4")
    masks = Masks(prunable_kernels(repaired))

    reconstruct(repaired, dense, masks, {"hidden": 0.5}, Samples(lambda: [x[:1000]], count=1000, seed=0))

    kernel = dense.get_layer("hidden").kernel.numpy()
    only_cut.get_layer("hidden").kernel.assign(kernel * keep_largest(magnitude(kernel), 0.5))
    missed, missed_unrepaired = (
        np.square(model.predict(x[1000:], verbose=0) - dense.predict(x[1000:], verbose=0)).mean()
        for model in (repaired, only_cut)
    )
    assert (masks.weights("hidden") == 0).mean() == 0.5
    assert missed < 0.7 * missed_unrepaired


@pytest.fixture
def problem(tmp_path: Path) -> tuple[Path, Path]:
    """Points inside or outside a circle, and a network that has learned to tell them apart."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (1500, 2)).astype("f4")
    y = (np.hypot(*x.T) < 0.8).astype("int64")
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((2,)),
            keras.layers.Dense(32, "relu", name="first"),
            keras.layers.Dense(32, "relu", name="second"),
            keras.layers.Dense(2, "softmax", name="inside"),
        ],
        name="circle",
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    model.fit(x[:1000], y[:1000], epochs=15, verbose=0)
    model.save(tmp_path / "circle.keras")
    np.savez(tmp_path / "circle.npz", x_train=x[:1000], y_train=y[:1000], x_test=x[1000:], y_test=y[1000:])
    return tmp_path / "circle.keras", tmp_path / "circle.npz"


@pytest.mark.slow
def test_7_a_job_is_a_recipe_and_ends_with_evidence(problem: tuple[Path, Path], tmp_path: Path) -> None:
    """What the service runs in a child process, and ``python -m engine compress`` on the spot."""
    model, data = problem
    recipe = Recipe.model_validate(
        {
            "steps": [
                {
                    "kind": "prune",
                    "sparsity": 0.7,
                    "schedule": {"kind": "polynomial", "epochs": 4},
                    "layers": {"first": 0.2},
                },
                {"kind": "finetune", "epochs": 2},
                {"kind": "quantize", "scheme": "int8"},
            ]
        }
    )

    steps_seen = []
    compress(
        recipe, model=model, dataset=data, reading=Reading(), out=tmp_path, emit=lambda e: steps_seen.append(e.step)
    )

    report = Report.model_validate_json((tmp_path / "report.json").read_text())
    assert list(dict.fromkeys(steps_seen)) == ["baseline", "prune", "finetune", "quantize", "measure"]
    assert {layer.name: round(layer.keras_sparsity, 2) for layer in report.layers} == {
        "first": 0.2,
        "second": 0.7,
        "inside": 0.0,
    }
    assert report.result.quality.score.value > 0.9
    assert report.verdicts[0].startswith("Quality:")
