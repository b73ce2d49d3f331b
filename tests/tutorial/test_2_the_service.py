"""The second story: the same engine behind HTTP, as a client sees it. Real broker, real worker, real gateway."""

from pathlib import Path

import pytest

from secateur.client.api import Secateur
from secateur.errors import UnknownLayer, UnsupportedFormat
from tests.badfiles import good_keras, good_npz
from tests.e2e.conftest import Service, service  # noqa: F401 - a fixture

pytestmark = pytest.mark.slow  # it starts a service of its own


@pytest.fixture
def secateur(service: Service) -> Secateur:  # noqa: F811
    return service.client


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A tiny untrained model and a few samples."""
    model, data = tmp_path / "tiny.keras", tmp_path / "blobs.npz"
    model.write_bytes(good_keras())
    data.write_bytes(good_npz())
    return model, data


def test_1_upload_submit_wait_report_download(secateur: Secateur, files: tuple[Path, Path], tmp_path: Path) -> None:
    model, data = secateur.upload_model(files[0]), secateur.upload_dataset(files[1])

    job = secateur.submit(
        {
            "model_id": model.id,
            "dataset_id": data.id,
            "steps": [
                {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "one_shot"}},
                {"kind": "quantize", "scheme": "dynamic"},
            ],
            "on_chance_baseline": "continue",  # nobody has trained this model
        }
    )
    ended = secateur.wait(job.id)
    report = secateur.report(job.id)
    downloaded = [secateur.download(job.id, artifact, tmp_path / "out") for artifact in secateur.artifacts(job.id)]

    assert ended.state == "succeeded"
    assert report.target_sparsity == pytest.approx(0.5, abs=0.05)
    assert {path.name for path in downloaded} == {"model.keras", "model.tflite", "report.html", "report.json"}


def test_2_what_is_uploaded_is_checked_before_it_is_used(secateur: Secateur, files: tuple[Path, Path]) -> None:
    model = secateur.wait_ready("model", secateur.upload_model(files[0]).id)

    assert model.summary is not None
    assert any(layer["prunable"] for layer in model.summary["layers"])


def test_3_uploading_the_same_file_again_costs_nothing(secateur: Secateur, files: tuple[Path, Path]) -> None:
    assert secateur.upload_model(files[0]).id == secateur.upload_model(files[0]).id


def test_4_errors_say_how_to_fix_them(secateur: Secateur, files: tuple[Path, Path], tmp_path: Path) -> None:
    old = tmp_path / "model.pt"
    old.write_bytes(b"PK")
    model, data = secateur.upload_model(files[0]), secateur.upload_dataset(files[1])
    secateur.wait_ready("model", model.id)
    secateur.wait_ready("dataset", data.id)
    spec = {"model_id": model.id, "dataset_id": data.id, "steps": [{"kind": "prune", "sparsity": 0.5}]}

    with pytest.raises(UnsupportedFormat) as wrong_file:
        secateur.upload_model(old)
    with pytest.raises(UnknownLayer) as wrong_name:
        secateur.submit({**spec, "steps": [{**spec["steps"][0], "skip_layers": ["hiddn"]}]})

    assert 'save("model.keras")' in wrong_file.value.suggestions[0]
    assert "similar name" in wrong_name.value.suggestions[0]
