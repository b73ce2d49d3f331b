import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.distribution import global_, uniform


def test_uniform_gives_every_layer_the_same() -> None:
    assert uniform({"a": np.ones(3), "b": np.ones(9)}, 0.4) == {"a": 0.4, "b": 0.4}


@given(st.floats(0.0, 0.98), st.floats(1e-3, 1e3), st.integers(0, 99))
def test_global_delivers_the_overall_sparsity_whatever_the_scale_of_a_layer(
    sparsity: float, factor: float, seed: int
) -> None:
    """Without normalisation a layer of small weights is emptied first, however much it matters."""
    rng = np.random.default_rng(seed)
    scores = {"a": rng.random(50), "b": rng.random((10, 5))}

    shares = global_(scores, sparsity)
    rescaled = global_({**scores, "b": scores["b"] * factor}, sparsity)

    assert round(sum(share * 50 for share in shares.values())) == round(100 * sparsity)
    assert np.allclose([*shares.values()], [*rescaled.values()], atol=0.021)


def test_global_cuts_where_weights_are_small_within_their_layer() -> None:
    scores = {"even": np.full(4, 0.1), "peaked": np.array([10.0, 0.01, 0.01, 0.01])}

    assert global_(scores, 3 / 8) == {"even": 0.0, "peaked": 0.75}


def test_no_layer_is_emptied_however_small_its_weights() -> None:
    """A layer without weights makes the network a constant, and nothing would say so."""
    scores = {"flat": np.full(4, 1.0), "peaked": np.array([100.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0])}

    assert global_(scores, 0.99) == {"flat": 0.75, "peaked": 0.875}


def test_weights_that_are_cut_already_stay_among_the_cut() -> None:
    scores = {"a": np.array([0.0, 0.0, 5.0, 5.0]), "b": np.array([1.0, 1.0, 1.0, 1.0])}

    assert global_(scores, 2 / 8)["a"] == 0.5
