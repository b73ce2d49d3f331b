import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.pruning.mask import keep_largest, num_zeros

scores = hnp.arrays(np.float64, hnp.array_shapes(max_dims=4, max_side=6), elements=st.floats(0, 1e6))
sparsities = st.floats(0.0, 1.0)


@given(scores, sparsities)
def test_a_mask_has_exactly_the_zeros_that_were_asked_for(values: np.ndarray, sparsity: float) -> None:
    """Ties and equal weights must not add or lose zeros: TFMOT's thresholds do."""
    mask = keep_largest(values, sparsity)

    assert (~mask).sum() == num_zeros(values.size, sparsity)
    assert mask.shape == values.shape


@given(scores, sparsities)
def test_no_weight_that_is_cut_scores_higher_than_one_that_stays(values: np.ndarray, sparsity: float) -> None:
    mask = keep_largest(values, sparsity)

    if mask.any() and (~mask).any():
        assert values[~mask].max() <= values[mask].min()


@given(scores, sparsities, sparsities)
def test_what_is_cut_stays_cut(values: np.ndarray, first: float, second: float) -> None:
    """Pruning a sparse model again, also at a lower sparsity, must not revive anything."""
    earlier = keep_largest(values, first)

    later = keep_largest(np.flip(values), second, within=earlier)

    assert not (later & ~earlier).any()
    assert (~later).sum() == max(num_zeros(values.size, first), num_zeros(values.size, second))
