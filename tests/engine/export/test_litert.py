import keras
import numpy as np
import pytest

from engine.export import litert
from engine.export.timing import time_files
from secateur.errors import ConversionFailed
from secateur.specs.spec import Scheme
from tests.engine.conftest import make_model


@pytest.fixture(scope="module")
def inputs() -> np.ndarray:
    return np.random.default_rng(0).random((20, 8, 8, 1), dtype=np.float32)


@pytest.mark.parametrize(
    ("scheme", "kernel_dtype", "tolerance"),
    [("none", "float32", 1e-5), ("float16", "float16", 1e-2), ("dynamic", "int8", 5e-2), ("int8", "int8", 5e-2)],
)
def test_every_scheme_gives_a_file_that_runs_and_stores_what_it_says(
    scheme: Scheme, kernel_dtype: str, tolerance: float, inputs: np.ndarray
) -> None:
    model = make_model()
    runner = litert.Runner(litert.convert(model, scheme, calibration=inputs))

    outputs = runner.predict([inputs[:12], inputs[12:]])

    assert outputs.dtype == np.float32
    assert np.allclose(outputs, model.predict(inputs, verbose=0), atol=tolerance)
    assert {str(a.dtype) for _, a in runner.constants() if a.size == 32 * 128} == {kernel_dtype}


def test_constants_are_the_weights_of_the_model(inputs: np.ndarray) -> None:
    """Zeros are counted in them: an activation or a transposed copy too many would spoil the count."""
    model = make_model()
    runner = litert.Runner(litert.convert(model, "none", calibration=inputs))

    stored = [array for _, array in runner.constants() if array.dtype == np.float32]

    for weights in (weights for weights in model.get_weights() if weights.ndim > 1):
        assert any(a.size == weights.size and np.isclose(a.sum(), weights.sum(), rtol=1e-4) for a in stored)


def test_latencies_are_taken_in_turn_and_counted_without_the_warm_up(inputs: np.ndarray) -> None:
    runners = [litert.Runner(litert.convert(make_model(), "none", calibration=inputs)) for _ in range(2)]

    first, second = time_files(runners, inputs, num_runs=30, max_seconds=0.5).latencies()

    assert first.num_runs == second.num_runs > 0
    assert first.num_runs % 30 == 0 or first.num_runs > 30
    assert 0 < first.p50_ms <= first.p95_ms


def test_a_model_that_litert_has_no_operation_for_is_a_clear_error(inputs: np.ndarray) -> None:
    signal = keras.Input((8,))
    model = keras.Model(signal, keras.ops.erfinv(signal))

    with pytest.raises(ConversionFailed, match="cannot express"):
        litert.convert(model, "none", calibration=inputs)
