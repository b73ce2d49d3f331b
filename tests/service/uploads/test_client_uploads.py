"""The client's uploads in pieces against a real gateway, with a connection that fails between."""

import hashlib
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from secateur.client.api import Secateur
from secateur.client.uploading import Pace, in_pieces
from secateur.errors import ArchiveUnreadable, Unavailable
from tests.service.conftest import Running, dataset_file, model_file

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

PACE = Pace(piece_bytes=1000, pause_seconds=0.01, patience_seconds=0.5)
PATIENT = replace(PACE, patience_seconds=60)


class Flaky(httpx.HTTPTransport):
    """A connection on which every third piece does not arrive, and of every third the answer does not."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "PATCH":
            return super().handle_request(request)
        self.pieces += 1
        if self.pieces % 3 == 1:
            raise httpx.ConnectError("no way there")
        answer = super().handle_request(request)
        if self.pieces % 3 == 2:
            answer.read()
            raise httpx.ReadError("no way back")
        return answer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "m.keras"
    path.write_bytes(model_file("sent"))
    return path


def test_an_upload_goes_on_through_lost_pieces_and_lost_answers(gateway: Running, file: Path) -> None:
    with Secateur(gateway.url, api_key="", transport=Flaky()) as service:
        upload_id = in_pieces(service._wire.send, "model", file, {}, pace=PATIENT)

    digest = gateway.http.get(f"/v1/models/{upload_id}").json()["digest"]
    assert digest == f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def test_an_upload_that_was_given_up_is_resumed_by_its_id(gateway: Running, file: Path) -> None:
    class Down(Flaky):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            if request.method in ("PATCH", "HEAD") and self.pieces >= 2:
                raise httpx.ConnectError("down")
            return super().handle_request(request)

    begun: list[str] = []
    with Secateur(gateway.url, api_key="", transport=Down()) as service, pytest.raises(Unavailable):
        in_pieces(service._wire.send, "model", file, {}, on_begin=begun.append, pace=PACE)
    sent: list[int] = []
    with Secateur(gateway.url, api_key="") as service:
        told = service.upload_in_pieces("model", file, resume=begun[0], on_bytes=lambda done, _: sent.append(done))

    assert told.name == "m.keras"
    assert sent[-1] == file.stat().st_size
    assert gateway.http.get(f"/v1/uploads/{begun[0]}").json()["upload_id"] == told.id


def test_what_is_refused_is_the_error_of_a_whole_upload(gateway: Running, tmp_path: Path) -> None:
    (tmp_path / "m.keras").write_bytes(b"no archive")
    with Secateur(gateway.url, api_key="") as service:
        for send in (service.upload_model, lambda path: service.upload_in_pieces("model", path)):
            with pytest.raises(ArchiveUnreadable):
                send(tmp_path / "m.keras")


def test_how_data_are_read_goes_along(gateway: Running, tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(dataset_file(91))
    with Secateur(gateway.url, api_key="") as service:
        told = service.upload_in_pieces("dataset", tmp_path / "d.npz", scale="1/255")

    assert gateway.http.get(f"/v1/datasets/{told.id}").json()["scale"] == "1/255"
