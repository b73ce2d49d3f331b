"""The whole system over real HTTP: upload, compress, recompute what came out, cancel, and be refused.

One compress job is looked at by most tests here. What needs another job of its own is marked ``slow``.
"""

import gzip
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from secateur.client.views import Job
from secateur.errors import NotCancellable, NotReady, SecateurError
from secateur.reports.summaries import ModelSummary
from tests.badfiles import BAD_UPLOADS, BadUpload, good_arrays
from tests.e2e.conftest import Inputs, Service, progressed
from tests.waiting import eventually
from tests.workers.conftest import living_in

EMBEDDED = pytest.mark.only("embedded", reason="nothing of it depends on the database or the store")

STEPS: list[dict[str, Any]] = [
    {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "polynomial", "epochs": 8, "learning_rate": 0.02}},
    {"kind": "finetune", "epochs": 8, "learning_rate": 0.02},
    {"kind": "quantize", "scheme": "int8", "calibration_samples": 32},
]


def recipe(inputs: Inputs, **changes: Any) -> dict[str, Any]:
    """A spec that suits the tiny model, which nobody has trained: so guessing is allowed."""
    common = {"model_id": inputs.model_id, "dataset_id": inputs.dataset_id, "on_chance_baseline": "continue"}
    return common | {"steps": STEPS, "training": {"batch_size": 8}, "seed": 3} | changes


@pytest.fixture(scope="module")
def told() -> list[Job]:
    """What the service said of the job on its way."""
    return []


@pytest.fixture(scope="module")
def done(service: Service, inputs: Inputs, told: list[Job]) -> Job:
    """A compress job that has ended."""
    submitted = service.client.submit(recipe(inputs, labels={"suite": "e2e"}))
    told.append(submitted)
    return service.client.wait(submitted.id, on_progress=told.append)


@pytest.fixture(scope="module")
def files(service: Service, done: Job, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """All artifacts of the job, downloaded."""
    folder = tmp_path_factory.mktemp("artifacts")
    return {a.name: service.client.download(done.id, a, folder) for a in service.client.artifacts(done.id)}


def test_a_job_goes_through_its_steps_and_succeeds(done: Job, told: list[Job]) -> None:
    """A user watches states and steps; they only ever move forward."""
    names = ["baseline", "prune", "finetune", "quantize", "measure"]

    assert done.state == "succeeded", done.failure
    assert [step.name for step in done.steps] == names
    assert {step.state for step in done.steps} == {"succeeded"}
    assert all(step.progress == 1.0 and step.seconds is not None for step in done.steps)
    order = ["queued", "running", "succeeded"]
    seen = [order.index(job.state) for job in told]
    assert seen == sorted(seen)
    assert [progressed(job) for job in told] == sorted(progressed(job) for job in told)


def test_the_artifacts_are_what_their_digests_say(service: Service, done: Job, files: dict[str, Path]) -> None:
    """The digest in the list, in the header and in the report is that of the bytes."""
    report = service.client.report(done.id)

    assert set(files) == {"model.tflite", "model.keras", "report.json", "report.html"}
    for artifact in service.client.artifacts(done.id):
        digest = hashlib.sha256(files[artifact.name].read_bytes()).hexdigest()
        head = service.http.head(f"/v1/jobs/{done.id}/artifacts/{artifact.name}")
        assert artifact.digest == f"sha256:{digest}"
        assert head.headers["etag"] == f'"sha256:{digest}"'
    measured = {file.name: file.digest for file in report.files}
    listed = {artifact.name: artifact.digest for artifact in service.client.artifacts(done.id)}
    assert {name: listed[name] for name in ("model.tflite", "model.keras")}.items() <= measured.items()


def test_the_reports_sizes_and_zeros_are_those_of_the_files(
    service: Service, done: Job, files: dict[str, Path]
) -> None:
    """Recomputed here from the downloads alone."""
    import keras

    result = service.client.report(done.id).result
    tflite, keras_bytes = files["model.tflite"].read_bytes(), files["model.keras"].read_bytes()
    model = keras.models.load_model(files["model.keras"])
    weights = [np.asarray(weight) for weight in model.trainable_weights]

    assert (result.sizes.tflite_bytes, result.sizes.keras_bytes) == (len(tflite), len(keras_bytes))
    assert result.sizes.tflite_gzip_bytes == len(gzip.compress(tflite, compresslevel=9, mtime=0))
    assert result.num_params == sum(weight.size for weight in weights)
    assert result.num_nonzero_params == sum(np.count_nonzero(weight) for weight in weights)
    assert np.mean(np.asarray(model.get_layer("hidden").kernel) == 0) == 0.5


def test_the_reports_accuracy_is_that_of_the_tflite_file(service: Service, done: Job, files: dict[str, Path]) -> None:
    """Run here sample by sample, with the quantisation written out by hand."""
    from ai_edge_litert.interpreter import Interpreter

    quality = service.client.report(done.id).result.quality
    arrays = good_arrays()
    interpreter = Interpreter(model_path=str(files["model.tflite"]))
    interpreter.allocate_tensors()
    (given,), (produced,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = given["quantization"]
    hits = 0
    for sample, label in zip(arrays["x_test"], arrays["y_test"], strict=True):
        feed = np.clip(np.round(sample / scale + zero), -128, 127) if scale else sample
        interpreter.set_tensor(given["index"], feed[None].astype(given["dtype"]))
        interpreter.invoke()
        hits += int(interpreter.get_tensor(produced["index"])[0].argmax() == label)

    assert quality.num_samples == len(arrays["y_test"])
    assert quality.score.value == hits / len(arrays["y_test"])
    assert quality.score.value > 0.8


def test_the_page_shows_the_numbers_of_the_report(service: Service, done: Job) -> None:
    """One set of numbers, whoever asks in whatever form."""
    page = service.http.get(f"/v1/jobs/{done.id}/report", headers={"Accept": "text/html"})

    assert page.headers["content-type"].startswith("text/html")
    assert f"{service.client.report(done.id).result.quality.score.value:.2%}".replace("%", "") in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")


@EMBEDDED
def test_a_checked_model_tells_its_groups_of_channels_and_what_they_cost(service: Service, inputs: Inputs) -> None:
    """Before any job: what could go, what each channel saves, and what is frozen and why."""
    answer = service.http.get(f"/v1/models/{inputs.model_id}").json()

    summary = ModelSummary.model_validate(answer["summary"])

    assert summary.num_macs == sum(layer.num_macs for layer in summary.layers) > 0
    assert summary.groups[-1].frozen == ("it makes an output of the model",)
    for group in summary.groups[:-1]:
        assert not group.frozen
        assert (group.params_per_channel > 0, group.macs_per_channel > 0) == (True, True)
        assert set(group.layers + group.readers) <= {layer.name for layer in summary.layers}


TRAINING = [{"kind": "finetune", "epochs": 1000}]


def working_folders(service: Service) -> list[Path]:
    """Folders of children that have a job."""
    return [path.parent for path in service.settings.scratch.glob("worker-*/child-*/data.npz")]


def test_a_job_in_the_middle_of_training_is_cancelled_and_leaves_nothing(
    service: Service, inputs: Inputs, record_property: Callable[[str, object], None]
) -> None:
    """benchmarks/service/cancel_latency.py measures how long it takes; this test holds that it is done, in order."""
    before = service.stored()
    spec = {"model_id": inputs.model_id, "dataset_id": inputs.dataset_id, "on_chance_baseline": "continue"}
    job_id = service.client.submit(spec | {"steps": TRAINING, "training": {"batch_size": 8}}).id
    assert eventually(lambda: (service.client.job(job_id).steps[1].epoch or 0) >= 2, within_seconds=90)
    [folder] = working_folders(service)
    assert living_in(folder)

    began = time.monotonic()
    answer = service.http.post(f"/v1/jobs/{job_id}/cancel")
    ended = service.client.wait(job_id)
    record_property("seconds_to_cancelled", round(time.monotonic() - began, 2))

    assert (answer.status_code, answer.json()["state"], ended.state) == (202, "cancelling", "cancelled")
    assert (living_in(folder), folder.exists()) == ([], False), "told only when the process and its folder are gone"
    told = service.http.get(f"/v1/jobs/{job_id}/events", params={"limit": 1000}).json()["data"]
    states = [event["body"]["state"] for event in told if event["kind"] == "state"]
    assert states == ["queued", "running", "cancelling", "cancelled"]
    assert told[-1]["kind"] == "state", "nothing comes after the end"
    steps = {(event["body"]["step"], event["body"]["state"]) for event in told if event["kind"] == "step"}
    assert ("finetune", "running") in steps
    assert ("finetune", "succeeded") not in steps
    assert eventually(lambda: service.stored() == before, within_seconds=30), "what it had kept goes with it"
    assert service.client.artifacts(job_id) == ()
    with pytest.raises(NotReady):
        service.client.report(job_id)
    with pytest.raises(NotCancellable):
        service.client.cancel(job_id)


WAYS = {
    "the gateway refuses a model": "model-lambda",
    "the gateway refuses data": "dataset-ratio-bomb",
    "the check refuses data": "dataset-nan",
}
"""One file for each way in which an upload is refused. All others: tests/screening and tests/hostile."""
SLOW_WAYS = {"the check refuses a model": "model-weights-of-another-shape"}
"""The check of a model imports TensorFlow."""


def the_file(id: str) -> BadUpload:
    return next(bad for bad in BAD_UPLOADS if bad.id == id)


def submit_upload(service: Service, bad: BadUpload, folder: Path) -> None:
    """Upload a file and wait for the verdict on it."""
    path = folder / bad.name
    path.write_bytes(bad.build())
    upload = service.client.upload_model if bad.kind == "model" else service.client.upload_dataset
    service.client.wait_ready(bad.kind, upload(path).id)


@EMBEDDED
@pytest.mark.parametrize(
    "bad",
    [
        *(pytest.param(the_file(id), id=way) for way, id in WAYS.items()),
        *(pytest.param(the_file(id), id=way, marks=pytest.mark.slow) for way, id in SLOW_WAYS.items()),
    ],
)
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


PRUNE: dict[str, Any] = {"kind": "prune", "sparsity": 0.5}
CHANNELS: dict[str, Any] = {"kind": "prune", "structure": "channel", "macs": 0.5}
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
    "channels of an output": (
        {"steps": [CHANNELS | {"layers": {"head": 0.5}}]},
        422,
        "layer_not_prunable",
        "output",
    ),
    "nothing left": ({"steps": [PRUNE | {"skip_layers": ["hidden"]}]}, 422, "nothing_to_prune", "skip_layers"),
    "missing model": ({"steps": [PRUNE], "model_id": "mdl_" + "0" * 20}, 404, "not_found", "mdl_0000"),
    "data set as model": ({"steps": [PRUNE], "model_id": "{dataset_id}"}, 422, None, "model_id"),
}


@EMBEDDED
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


@EMBEDDED
def test_data_of_another_shape_is_refused_with_both_shapes(service: Service, inputs: Inputs, tmp_path: Path) -> None:
    """The usual slip: the right data for another model."""
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


@EMBEDDED
@pytest.mark.slow
def test_a_job_that_runs_too_long_fails_and_says_so(service: Service, inputs: Inputs) -> None:
    """Limits are promises to whoever pays for the machine."""
    job = service.client.submit(recipe(inputs, limits={"max_runtime_seconds": 1}), force=True)

    ended = service.client.wait(job.id)

    assert ended.state == "failed"
    assert ended.failure is not None
    assert ended.failure.code == "runtime_exceeded"
