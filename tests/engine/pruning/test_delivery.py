import numpy as np
import pytest

from engine.export import litert
from engine.models.prunable import prunable_kernels
from engine.pruning.delivery import check_delivered, drop_signs_of_zeros, sparsity_in_file
from engine.pruning.masking import Masks
from secateur.errors import SparsityMissed
from secateur.specs.spec import Scheme
from tests.engine.conftest import cut, make_model

CALIBRATION = np.random.default_rng(0).random((8, 8, 8, 1), dtype=np.float32)


@pytest.mark.parametrize("scheme", ["none", "float16", "dynamic", "int8"])
def test_zeros_are_found_in_the_file_whatever_its_number_format(scheme: Scheme) -> None:
    model = make_model()
    masks = Masks(prunable_kernels(model))
    cut(masks, 0.8, layers={"conv": 0.5})

    found = sparsity_in_file(
        masks, masks.names, litert.Runner(litert.convert(model, scheme, calibration=CALIBRATION)).constants()
    )

    assert found["hidden"] == pytest.approx(0.8, abs=0.02)
    assert found["conv"] == pytest.approx(0.5, abs=0.02)
    assert found["hidden"] >= 0.7998


def test_a_file_without_the_zeros_is_not_handed_out() -> None:
    """The check that TFMOT's users lack: weights that came back after the masks were made."""
    model = make_model()
    masks = Masks(prunable_kernels(model))
    cut(masks, 0.8)
    model.get_layer("hidden").kernel.assign(np.ones((128, 32)))

    constants = litert.Runner(litert.convert(model, "none", calibration=CALIBRATION)).constants()

    with pytest.raises(SparsityMissed, match="hidden"):
        sparsity_in_file(masks, masks.names, constants)


def test_a_kernel_that_is_gone_from_the_file_is_noticed() -> None:
    masks = Masks(prunable_kernels(make_model()))

    with pytest.raises(SparsityMissed, match="no tensor"):
        sparsity_in_file(masks, masks.names, [("other", np.zeros((2, 2)))])


@pytest.mark.parametrize(
    ("delivered", "size", "fine"),
    [
        pytest.param(0.8000, 10_000, True, id="exact"),
        pytest.param(0.7991, 10_000, True, id="less than a tenth of a point"),
        pytest.param(0.7985, 10_000, False, id="more than a tenth of a point"),
        pytest.param(0.95, 10_000, True, id="int8 rounded more to zero"),
        pytest.param(0.75, 8, True, id="the nearest whole weight"),
        pytest.param(0.625, 8, False, id="a whole weight short"),
        pytest.param(0.5, 2, True, id="all but the last unit, which is never cut"),
    ],
)
def test_a_miss_is_a_tenth_of_a_point_or_half_a_group(delivered: float, size: int, fine: bool) -> None:
    if fine:
        check_delivered({"a": 0.8}, {"a": delivered}, {"a": size})
    else:
        with pytest.raises(SparsityMissed, match="'a'"):
            check_delivered({"a": 0.8}, {"a": delivered}, {"a": size})


def test_zeros_lose_their_signs_and_nothing_else_changes() -> None:
    """A network cut by a mask has as many -0.0 as it had negative weights there."""
    model = make_model()
    kernel = model.get_layer("hidden").kernel
    weights = np.array(kernel)
    kernel.assign(weights * (np.abs(weights) > np.median(np.abs(weights))))
    before = model.get_weights()
    assert any(np.signbit(array[array == 0]).any() for array in before)

    drop_signs_of_zeros(model)

    after = model.get_weights()
    assert not any(np.signbit(array[array == 0]).any() for array in after)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
