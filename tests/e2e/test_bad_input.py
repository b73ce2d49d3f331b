"""Whatever is uploaded or asked for, the answer names the problem, and nothing of it stays."""

import time
from pathlib import Path
from typing import Any

import pytest

from jobspec.errors import SecateurError
from tests.badfiles import BAD_UPLOADS, BadUpload
from tests.e2e.conftest import Inputs, Service

PRUNE: dict[str, Any] = {"kind": "prune", "sparsity": 0.5}


def submit_upload(service: Service, bad: BadUpload, folder: Path) -> None:
    """Upload a file and wait for the verdict on it."""
    path = folder / bad.name
    path.write_bytes(bad.build())
    upload = service.client.upload_model if bad.kind == "model" else service.client.upload_dataset
    service.client.wait_ready(bad.kind, upload(path).id)


@pytest.mark.parametrize("bad", BAD_UPLOADS, ids=lambda bad: bad.id)
def test_a_bad_upload_is_refused_with_its_own_code_and_leaves_nothing(
    bad: BadUpload, service: Service, inputs: Inputs, tmp_path: Path
) -> None:
    """By the gateway at once or by a worker's check: the user sees the same kind of answer."""
    before = service.stored()

    with pytest.raises(SecateurError) as caught:
        submit_upload(service, bad, tmp_path)

    assert caught.value.code == bad.code
    assert caught.value.detail
    assert caught.value.suggestions
    deadline = time.monotonic() + 5  # the verdict is told before its bytes are deleted
    while service.stored() - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert service.stored() == before
    assert not list((service.settings.data_dir / "scratch").glob("worker-*/job_*"))


SPECS = {
    "unknown field": ({"steps": [PRUNE], "goal": 1}, 422, "invalid_request", "goal"),
    "misspelt field of a step": ({"steps": [PRUNE | {"sparsty": 0.5}]}, 422, "invalid_request", "sparsty"),
    "sparsity 1.5": ({"steps": [PRUNE | {"sparsity": 1.5}]}, 422, "invalid_request", "sparsity"),
    "sparsity as text": ({"steps": [PRUNE | {"sparsity": "much"}]}, 422, "invalid_request", "sparsity"),
    "no steps": ({"steps": []}, 422, "invalid_request", "steps"),
    "unknown preset": ({"preset": "tiny"}, 422, "invalid_request", "preset"),
    "preset and steps": ({"preset": "small", "steps": [PRUNE]}, 422, "invalid_request", "preset"),
    "quantize before prune": ({"steps": [{"kind": "quantize"}, PRUNE]}, 422, "invalid_request", "quantize"),
    "unknown layer": ({"steps": [PRUNE | {"layers": {"hiden": 0.5}}]}, 422, "unknown_layer", "hidden"),
    "layer without weights": ({"steps": [PRUNE | {"layers": {"flatten": 0.5}}]}, 422, "layer_not_prunable", "flatten"),
    "nothing left": ({"steps": [PRUNE | {"skip_layers": ["hidden"]}]}, 422, "nothing_to_prune", "skip_layers"),
    "missing model": ({"steps": [PRUNE], "model_id": "mdl_" + "0" * 20}, 404, "not_found", "mdl_0000"),
    "data set as model": ({"steps": [PRUNE], "model_id": "{dataset_id}"}, 422, None, "model_id"),
}


@pytest.mark.parametrize(("changes", "status", "code", "word"), SPECS.values(), ids=SPECS)
def test_a_bad_spec_is_refused_before_it_is_queued(
    changes: dict[str, Any], status: int, code: str | None, word: str, service: Service, inputs: Inputs
) -> None:
    """The answer names the field or the layer, so that it can be corrected without the manual."""
    ids = {"model_id": inputs.model_id, "dataset_id": inputs.dataset_id}
    filled = {key: ids["dataset_id"] if value == "{dataset_id}" else value for key, value in changes.items()}
    before = service.http.get("/v1/jobs").json()["counts"]

    answer = service.http.post("/v1/jobs", json=ids | filled)

    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert code in (None, answer.json()["code"])
    assert word in answer.text
    assert service.http.get("/v1/jobs").json()["counts"] == before


def test_data_of_another_shape_is_refused_with_both_shapes(service: Service, inputs: Inputs, tmp_path: Path) -> None:
    """The usual slip: the right data for another model."""
    import numpy as np

    path = tmp_path / "wide.npz"
    x, y = np.zeros((8, 5, 5, 1), "float32"), np.arange(8) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    dataset_id = service.client.upload_dataset(path).id
    service.client.wait_ready("dataset", dataset_id)

    answer = service.http.post(
        "/v1/jobs", json={"model_id": inputs.model_id, "dataset_id": dataset_id, "steps": [PRUNE]}
    )

    assert (answer.status_code, answer.json()["code"]) == (422, "input_shape_mismatch")
    assert "(5, 5, 1)" in answer.text
    assert "(4, 4, 1)" in answer.text
