"""A job that takes channels away, over real HTTP: what comes back is smaller in its shapes, and still right."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from client.views import Job
from jobspec.errors import LayerNotPrunable
from tests.badfiles import good_arrays, npz
from tests.e2e.conftest import Inputs, Service

pytestmark = [
    pytest.mark.slow,
    pytest.mark.only("embedded", reason="rows and files go the road of test_whole_system; the engine differs"),
]

STEPS: list[dict[str, Any]] = [
    {"kind": "prune", "structure": "channel", "macs": 0.5, "channel_multiple": 2, "spare": []},
    {"kind": "finetune", "epochs": 2},
    {"kind": "quantize", "scheme": "int8", "calibration_samples": 32},
]


@pytest.fixture(scope="module")
def trained(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """A residual network that knows its data."""
    folder, arrays = tmp_path_factory.mktemp("residual"), good_arrays()
    dataset, model_file = folder / "blobs.npz", folder / "residual.keras"
    dataset.write_bytes(npz(arrays))
    keras.utils.set_random_seed(1)
    image = keras.Input((4, 4, 1), name="image")
    x = keras.layers.Conv2D(16, 3, padding="same", activation="relu", name="stem")(image)
    y = keras.layers.Conv2D(12, 3, padding="same", activation="relu", name="inner")(x)
    y = keras.layers.BatchNormalization(name="norm")(keras.layers.Conv2D(16, 3, padding="same", name="outer")(y))
    x = keras.layers.Flatten(name="flatten")(keras.layers.ReLU(name="relu")(keras.layers.Add(name="add")([x, y])))
    model = keras.Model(image, keras.layers.Dense(3, activation="softmax", name="classes")(x))
    model.compile(optimizer=keras.optimizers.Adam(3e-3), loss="sparse_categorical_crossentropy")
    model.fit(arrays["x_train"], arrays["y_train"], epochs=15, batch_size=16, verbose=0)
    model.save(model_file)
    model_id, dataset_id = service.client.upload_model(model_file).id, service.client.upload_dataset(dataset).id
    service.client.wait_ready("model", model_id)
    service.client.wait_ready("dataset", dataset_id)
    return Inputs(model_file, dataset, model_id, dataset_id)


def submitted(service: Service, inputs: Inputs, steps: list[dict[str, Any]]) -> Any:
    ids = {"model_id": inputs.model_id, "dataset_id": inputs.dataset_id}
    return service.client.submit(ids | {"steps": steps, "training": {"batch_size": 16}, "seed": 3})


@pytest.fixture(scope="module")
def done(service: Service, trained: Inputs) -> Job:
    """A job that has ended."""
    return service.client.wait(submitted(service, trained, STEPS).id)


def test_the_model_that_comes_back_has_smaller_shapes_and_is_still_right(
    service: Service, done: Job, trained: Inputs, tmp_path: Path
) -> None:
    """Loaded by Keras alone, with the widths that the report tells."""
    assert done.state == "succeeded", done.failure
    artifacts = {artifact.name: artifact for artifact in service.client.artifacts(done.id)}
    report = service.client.report(done.id)

    small = keras.saving.load_model(service.client.download(done.id, artifacts["model.keras"], tmp_path))

    cuts = {cut.name: cut for cut in report.groups}
    before, after = keras.saving.load_model(trained.model).count_params(), small.count_params()
    assert cuts["stem"].layers == ("stem", "outer")
    assert small.get_layer("stem").filters == small.get_layer("outer").filters == cuts["stem"].after < 16
    assert small.get_layer("inner").filters == cuts["inner"].after < 12
    assert after < 0.6 * before
    arrays = good_arrays()
    said = small.predict(arrays["x_test"], verbose=0).argmax(axis=1)
    assert np.mean(said == arrays["y_test"]) > 0.9
    assert report.result.quality.score.value > 0.9


def test_a_layer_of_the_output_is_refused_when_the_job_is_submitted(service: Service, trained: Inputs) -> None:
    """The check has found the groups, so that nobody waits in a queue to be told."""
    with pytest.raises(LayerNotPrunable, match="output") as caught:
        submitted(service, trained, [STEPS[0] | {"layers": {"classes": 0.5}}])

    assert caught.value.errors[0].field.endswith("steps.0.layers")
