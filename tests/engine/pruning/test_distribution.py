from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pruning.distribution import DISTRIBUTIONS, Ranked, by_sensitivity, erk, global_, lamp, uniform
from secateur.reports.sensitivity import Curves


def layers(**scores: Any) -> dict[str, Ranked]:
    arrays = {name: np.asarray(values, dtype=float) for name, values in scores.items()}
    return {name: Ranked(array, shape=array.shape) for name, array in arrays.items()}


def curves(sparsities: tuple[float, ...], **scores: tuple[float, ...]) -> Curves:
    return Curves(
        key="",
        metric="accuracy",
        higher_is_better=True,
        num_samples=100,
        dense=0.9,
        sparsities=sparsities,
        layers=scores,
    )


def test_uniform_gives_every_layer_the_same() -> None:
    assert uniform(layers(a=np.ones(3), b=np.ones(9)), 0.4) == {"a": 0.4, "b": 0.4}


@pytest.mark.parametrize("distribution", [global_, lamp])
@given(sparsity=st.floats(0.0, 0.98), factor=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_a_common_ranking_delivers_the_overall_sparsity_whatever_the_scale_of_a_layer(
    distribution: Any, sparsity: float, factor: float, seed: int
) -> None:
    """Without normalisation a layer of small weights is emptied first, however much it matters."""
    rng = np.random.default_rng(seed)
    a, b = rng.random(50), rng.random((10, 5))

    shares = distribution(layers(a=a, b=b), sparsity)
    rescaled = distribution(layers(a=a, b=b * factor), sparsity)

    assert sum(share * 50 for share in shares.values()) == pytest.approx(min(100 * sparsity, 98), abs=0.51)
    assert np.allclose([*shares.values()], [*rescaled.values()], atol=0.021)


def test_global_cuts_where_weights_are_small_within_their_layer() -> None:
    assert global_(layers(even=np.full(4, 0.1), peaked=[10, 0.01, 0.01, 0.01]), 3 / 8) == {"even": 0.0, "peaked": 0.75}


@pytest.mark.parametrize("distribution", [global_, lamp])
def test_no_layer_is_emptied_however_small_its_weights(distribution: Any) -> None:
    """A layer without weights makes the network a constant, and nothing would say so."""
    found = distribution(layers(flat=np.ones(4), peaked=[100, 0, 0, 0, 0, 0, 0, 0]), 0.99)

    assert found == {"flat": 0.75, "peaked": 0.875}


@pytest.mark.parametrize("distribution", [global_, lamp])
def test_weights_that_are_cut_already_stay_among_the_cut(distribution: Any) -> None:
    assert distribution(layers(a=[0, 0, 5, 5], b=[1, 1, 1, 1]), 2 / 8)["a"] == 0.5


def test_a_unit_counts_as_many_weights_as_it_has() -> None:
    """Two units of 30 weights against six of 10: half of all weights is not half of all units."""
    found = global_({"few": Ranked(np.array([1.0, 9.0]), 30), "many": Ranked(np.full(6, 4.0), 10)}, 0.25)

    assert found == {"few": 0.5, "many": 0.0}


def test_lamp_spares_the_layer_whose_weights_are_the_last_of_their_kind() -> None:
    """Magnitude alone would empty the small layer first."""
    found = lamp(layers(narrow=[0.1, 0.1], wide=[5, 5, 5, 5, 5, 5]), 0.5)

    assert found == {"narrow": 0.0, "wide": pytest.approx(4 / 6)}


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=5), st.floats(0.05, 0.95))
def test_erk_delivers_the_budget_and_is_never_denser_than_dense(shapes: list[tuple[int, int]], sparsity: float) -> None:
    given = {str(i): Ranked(np.ones(shape), shape=shape) for i, shape in enumerate(shapes)}
    sizes = {name: layer.num_weights for name, layer in given.items()}

    found = erk(given, sparsity)

    assert all(-1e-9 <= share <= 1 for share in found.values())
    assert sum(found[name] * sizes[name] for name in sizes) == pytest.approx(sparsity * sum(sizes.values()), rel=1e-6)


def test_a_sensitive_layer_pays_less() -> None:
    measured = curves((0.5, 0.9), tough=(0.9, 0.88), delicate=(0.7, 0.3))

    found = by_sensitivity(measured)(layers(tough=np.ones(100), delicate=np.ones(100)), 0.6)

    assert found["tough"] > 0.9 > 0.3 > found["delicate"]
    assert sum(found.values()) == pytest.approx(1.2, abs=1e-6)


def test_layers_that_lose_nothing_share_alike() -> None:
    measured = curves((0.5, 0.9), a=(0.9, 0.9), b=(0.92, 0.9))

    found = by_sensitivity(measured)(layers(a=np.ones(10), b=np.ones(90)), 0.7)

    assert found["a"] == pytest.approx(found["b"], abs=0.01)


@given(
    st.lists(st.lists(st.floats(0.0, 1.0), min_size=3, max_size=3), min_size=1, max_size=4),
    st.floats(0.01, 0.99),
    st.integers(1, 300),
)
def test_measured_losses_of_any_shape_meet_any_sparsity(scores: list[list[float]], sparsity: float, size: int) -> None:
    """Curves are noisy: they rise, fall, and cross each other."""
    measured = curves((0.3, 0.6, 0.9), **{str(i): tuple(values) for i, values in enumerate(scores)})
    given = {name: Ranked(np.ones(size * (1 + int(name)))) for name in measured.layers}
    sizes = {name: layer.num_weights for name, layer in given.items()}

    found = by_sensitivity(measured)(given, sparsity)

    assert sum(found[name] * sizes[name] for name in sizes) == pytest.approx(sparsity * sum(sizes.values()), rel=1e-4)
    assert all(0 <= share <= 1 for share in found.values())


def test_every_distribution_but_the_measured_one_is_in_the_dict() -> None:
    assert set(DISTRIBUTIONS) == {"uniform", "global", "erk", "lamp"}
