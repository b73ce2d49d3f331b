"""A model with several inputs and outputs through the whole service: upload, refusals at once, a job, its report."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from secateur.client.views import Job
from secateur.errors import InputShapeMismatch, LabelsMismatch
from tests.e2e.conftest import Inputs, Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only("embedded", reason="rows and files go the road of test_whole_system; the engine differs"),
]

WANTED = {"judged": "apart", "outputs": {"apart": {"metric": "mean_squared_error", "weight": 0.5}}}


def make_arrays(count: int, seed: int) -> dict[str, np.ndarray]:
    """Two points of the plane; which is further to the right, and how far apart they are."""
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, count, 2)).astype(np.float32)
    further = (one[:, 0] > two[:, 0]).astype(np.int64)
    return {"two": two, "one": one, "further": further, "apart": np.abs(one[:, 0] - two[:, 0])}


def stored(**renamed: str) -> dict[str, np.ndarray]:
    found = {}
    for split, count, seed in (("train", 600, 1), ("test", 200, 2)):
        for name, array in make_arrays(count, seed).items():
            letter = "x" if name in ("one", "two") else "y"
            found[f"{letter}_{split}.{renamed.get(name, name)}"] = array
    return found


@pytest.fixture(scope="module")
def inputs(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("points")
    keras.utils.set_random_seed(0)
    points = [keras.Input((2,), name=name) for name in ("two", "one")]
    hidden = keras.layers.Dense(32, activation="relu", name="hidden")(keras.layers.Concatenate()(points))
    outputs = [keras.layers.Dense(2, activation="softmax", name="further"), keras.layers.Dense(1, name="apart")]
    model = keras.Model(points, [output(hidden) for output in outputs])
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=["sparse_categorical_crossentropy", "mean_squared_error"])
    arrays = make_arrays(600, 1)
    model.fit([arrays["two"], arrays["one"]], [arrays["further"], arrays["apart"]], epochs=20, verbose=0)
    model.save(folder / "points.keras")
    np.savez(folder / "points.npz", **stored())
    model_id = service.client.upload_model(folder / "points.keras").id
    dataset_id = service.client.upload_dataset(folder / "points.npz").id
    service.client.wait_ready("model", model_id)
    service.client.wait_ready("dataset", dataset_id)
    return Inputs(folder / "points.keras", folder / "points.npz", model_id, dataset_id)


def asked(inputs: Inputs, **fields: Any) -> dict[str, Any]:
    steps = [{"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}}, {"kind": "quantize"}]
    return {"model_id": inputs.model_id, "dataset_id": inputs.dataset_id, "steps": steps} | fields


def test_a_job_tells_every_output(service: Service, inputs: Inputs) -> None:
    """Both inputs have one shape: a file that took one for the other would be wrong for every sample."""
    job: Job = service.client.wait(service.client.submit(asked(inputs, objective=WANTED)).id)

    assert job.state == "succeeded", job.failure
    report = service.client.report(job.id)
    told = {each.name: each for each in report.outputs}
    assert report.result.quality.metric == told["apart"].metric == "mean_squared_error"
    assert (told["apart"].judged, told["further"].judged) == (True, False)
    assert told["further"].before is not None
    assert told["further"].after is not None
    assert told["further"].before.score.value > 0.95
    assert told["further"].after.score.value > 0.9


def test_what_does_not_fit_is_refused_when_the_job_is_asked_for(
    service: Service, inputs: Inputs, tmp_path: Path
) -> None:
    with pytest.raises(LabelsMismatch, match="'lamp'"):
        service.client.submit(asked(inputs, objective={"judged": "lamp"}))
    with pytest.raises(InputShapeMismatch, match="'three'"):
        service.client.submit(asked(inputs, data={"scale": {"three": "1/255"}}))

    np.savez(tmp_path / "other.npz", **stored(two="three"))
    other = service.client.upload_dataset(tmp_path / "other.npz").id
    service.client.wait_ready("dataset", other)
    with pytest.raises(InputShapeMismatch, match="for the input 'two'; the model has no input 'three'"):
        service.client.submit(asked(inputs, dataset_id=other))
