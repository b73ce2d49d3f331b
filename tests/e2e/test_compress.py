"""The main road over real HTTP: upload, compress, look at what came out, and recompute it."""

import gzip
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from client.views import Job
from jobspec.progress import StepProgress
from tests.badfiles import good_arrays
from tests.e2e.conftest import Inputs, Service

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
    assert [progressed(job.steps) for job in told] == sorted(progressed(job.steps) for job in told)


def progressed(steps: tuple[StepProgress, ...]) -> int:
    return sum(step.state == "succeeded" for step in steps)


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


def test_the_same_seed_gives_the_same_model(service: Service, inputs: Inputs, done: Job) -> None:
    """A result that cannot be had again is an anecdote."""
    again = service.client.wait(service.client.submit(recipe(inputs), force=True).id)

    def digests(job: Job) -> dict[str, str]:
        return {artifact.name: artifact.digest for artifact in service.client.artifacts(job.id)}

    assert digests(again)["model.tflite"] == digests(done)["model.tflite"]


def test_a_job_that_runs_too_long_fails_and_says_so(service: Service, inputs: Inputs) -> None:
    """Limits are promises to whoever pays for the machine."""
    job = service.client.submit(recipe(inputs, limits={"max_runtime_seconds": 1}), force=True)

    ended = service.client.wait(job.id)

    assert ended.state == "failed"
    assert ended.failure is not None
    assert ended.failure.code == "runtime_exceeded"


def test_the_command_line_leaves_the_results_in_a_folder(service: Service, inputs: Inputs, tmp_path: Path) -> None:
    """What most users will type."""
    spec = tmp_path / "spec.json"
    spec.write_text('{"steps": [{"kind": "quantize", "scheme": "float16"}], "on_chance_baseline": "continue"}')
    arguments = [str(inputs.model), str(inputs.dataset), "--spec", str(spec), "--out", str(tmp_path / "out")]

    done = subprocess.run(
        [sys.executable, "-m", "client.cli", "compress", *arguments, "--url", service.client.base_url],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("model.tflite", "model.keras", "report.json", "report.html")
    }
    assert "before" in done.stdout


def test_a_failed_job_exits_with_1_and_shows_the_suggestions(service: Service, inputs: Inputs, tmp_path: Path) -> None:
    """Pruning a model that only guesses on this data would waste everybody's time, so nobody does it in silence."""
    data = tmp_path / "same.npz"
    x, y = np.zeros((96, 4, 4, 1), "float32"), np.arange(96) % 3
    np.savez(data, x_train=x, y_train=y, x_test=x, y_test=y)
    arguments = [str(inputs.model), str(data), "--preset", "small", "--out", str(tmp_path / "out")]

    done = subprocess.run(
        [sys.executable, "-m", "client.cli", "compress", *arguments, "--url", service.client.base_url],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "(baseline_at_chance)" in done.stderr
    assert "→" in done.stderr
    assert not (tmp_path / "out").exists()
