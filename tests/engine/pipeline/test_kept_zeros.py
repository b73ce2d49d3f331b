"""Zeros that an uploaded model brings stay zeros, in the layers too that no step prunes."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.engine.pipeline.test_compress import compressed

ONE_SHOT = {"kind": "prune", "sparsity": 0.7, "schedule": {"kind": "one_shot"}}
GRADUAL = {"kind": "prune", "sparsity": 0.7, "schedule": {"kind": "polynomial", "epochs": 1}}


@pytest.fixture(scope="module")
def sparse_file(model_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of the tests with half of each kernel zero, that of the output included."""
    model: Any = keras.saving.load_model(model_file)
    for layer in model.layers:
        if hasattr(layer, "kernel"):
            kernel = layer.kernel.numpy()
            layer.kernel.assign(np.where(np.abs(kernel) > np.median(np.abs(kernel)), kernel, 0))
    path = tmp_path_factory.mktemp("sparse") / "sparse.keras"
    model.save(path)
    return path


@pytest.mark.parametrize(
    "steps",
    [
        pytest.param([{"kind": "finetune", "epochs": 1}], id="fine-tuned"),
        pytest.param([ONE_SHOT], id="pruned and reconstructed"),
        pytest.param([GRADUAL | {"toolkit": "tfmot"}], id="tfmot"),
        pytest.param([{"kind": "prune", "structure": "channel", "sparsity": 0.25}], id="channels removed"),
    ],
)
def test_every_step_keeps_the_zeros_of_the_upload(
    steps: list[dict[str, Any]], sparse_file: Path, data_file: Path, tmp_path: Path
) -> None:
    """A real file with 55 % zeros came back with 0.1 %, and 1.5 times as large as gzip."""
    report, _ = compressed(sparse_file, data_file, tmp_path, steps=steps)

    result: Any = keras.saving.load_model(tmp_path / "model.keras")
    output = next(layer for layer in reversed(result.layers) if hasattr(layer, "kernel"))
    before: Any = keras.saving.load_model(sparse_file).get_layer(output.name)
    assert (output.kernel.numpy() == 0).mean() >= (before.kernel.numpy() == 0).mean() - 0.1
    if output.kernel.shape == before.kernel.shape:
        assert not output.kernel.numpy()[before.kernel.numpy() == 0].any()
    assert any("every step keeps them" in note for note in report.notes)
