"""What belongs to somebody else does not exist: every address, every reference, every list."""

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from infra.db.database import now
from infra.jobs import creation, lifecycle
from infra.jobs import trials as sweep_trials
from infra.jobs.lifecycle import Outcome
from secateur.protocol.states import JobState
from secateur.specs.spec import CompressSpec
from tests.backing import Backing
from tests.service.conftest import Running, Start, dataset_file, model_file, serving
from tests.service.inputs import PRUNE, succeed
from tests.service.keys import as_

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

TUS = {"Tus-Resumable": "1.0.0"}
SAME, DATA = model_file("same"), dataset_file(1)  # once: a zip holds the time


class Party:
    """An owner with a model, a data set and a job that left a file."""

    def __init__(self, running: Running, name: str) -> None:
        self.http = as_(running, name)
        model = self.http.post("/v1/models", params={"name": "m.keras"}, content=SAME)
        data = self.http.post("/v1/datasets", params={"name": "d.npz"}, content=DATA)
        self.statuses = (model.status_code, data.status_code)
        self.model_id, self.dataset_id = model.json()["id"], data.json()["id"]
        self.upload_id = self.begin_upload()
        checks = self.http.get("/v1/jobs", params={"kind": "check_model"}).json()["data"]
        self.check_id = checks[0]["id"]
        self.job_id = self.http.post("/v1/jobs", json=self.spec()).json()["id"]
        hook = self.http.post("/v1/webhooks", json={"url": "https://example.com/"})
        self.webhook_id = hook.json()["id"]
        self.delivery_id = self.http.post(f"/v1/webhooks/{self.webhook_id}/ping").json()["id"]
        succeed(running, self.job_id, {"model.tflite": ("x/y", b"TFL3"), "report.json": ("application/json", b"{}")})

    def begin_upload(self) -> str:
        metadata = "kind bW9kZWw=,name YS5rZXJhcw=="
        headers = TUS | {"Upload-Length": "10", "Upload-Metadata": metadata}
        return self.http.post("/v1/uploads", headers=headers).headers["location"].rpartition("/")[2]

    def spec(self, **changes: str) -> dict[str, object]:
        return {"model_id": self.model_id, "dataset_id": self.dataset_id, "steps": [PRUNE]} | changes


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory, lasting_backing: Backing, broker_server: str) -> Iterator[Running]:
    with serving(lasting_backing.settings(tmp_path_factory.mktemp("keyed"), broker_url=broker_server)) as running:
        yield running


@pytest.fixture(scope="module")
def ann(keyed: Running) -> Party:
    return Party(keyed, "ann")


@pytest.fixture(scope="module")
def bob(keyed: Running, ann: Party) -> Party:
    return Party(keyed, "bob")


def test_the_same_bytes_of_another_owner_are_new_content(keyed: Running, ann: Party, bob: Party) -> None:
    """An answer of 200 would tell that somebody has that model. The bytes are stored once all the same."""
    assert ann.statuses == bob.statuses == (201, 201)
    assert ann.model_id != bob.model_id
    assert bob.http.post("/v1/models", params={"name": "m.keras"}, content=SAME).status_code == 200
    digests = {party.http.get(f"/v1/models/{party.model_id}").json()["digest"] for party in (ann, bob)}
    [digest] = digests
    assert sum(digest.removeprefix("sha256:") in path for path in keyed.stored()) == 1


def addresses(running: Running, of: Party) -> list[tuple[str, str]]:
    """Every operation on something, with the ids of this party's things."""
    ids = {"model_id": of.model_id, "dataset_id": of.dataset_id, "job_id": of.job_id, "name": "model.tflite"}
    ids |= {"webhook_id": of.webhook_id, "delivery_id": of.delivery_id, "upload_id": of.upload_id}
    found = []
    for path, methods in running.app.openapi()["paths"].items():
        if "_id}" in path and not path.startswith("/v1/keys"):
            found += [(method.upper(), path.format(**ids)) for method in methods]
    return found


def test_no_address_tells_whether_somebody_elses_thing_exists(keyed: Running, ann: Party, bob: Party) -> None:
    """Every operation with an id in its address, whoever adds it: the answer is that for an id that was never given."""
    assert len(addresses(keyed, ann)) > 8
    for method, path in addresses(keyed, ann):
        body: dict[str, Any] = {"headers": TUS}
        if method == "PATCH":
            body = {"json": {} if "webhooks" in path else {"expires_in_days": 1}}
        if method == "PATCH" and "/uploads/" in path:
            kind = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
            body = {"content": b"x", "headers": TUS | kind}
        answer = bob.http.request(method, path, **body)
        unknown = bob.http.request(method, "/".join(_unknown(part) for part in path.split("/")), **body)

        assert (answer.status_code, unknown.status_code) == (404, 404), (method, path)
        if method != "HEAD":
            assert _shape(answer, path) == _shape(unknown, path), (method, path)
    for method, path in addresses(keyed, ann):
        if method in ("GET", "HEAD"):
            assert ann.http.request(method, path, headers=TUS).status_code < 400, (method, path)


def _unknown(part: str) -> str:
    return part[:4] + "0" * 20 if part[:4] in ("mdl_", "dst_", "job_", "upl_", "whk_", "msg_") else part


def _shape(answer: httpx.Response, path: str) -> str:
    problem = answer.json()
    text = json.dumps([problem["code"], problem["title"], problem["detail"], problem["suggestions"]])
    for part in path.split("/") + answer.request.url.path.split("/"):
        text = text.replace(part, "#") if "_" in part else text
    return text


def test_the_check_of_somebody_elses_upload_is_hidden_too(ann: Party, bob: Party) -> None:
    assert ann.http.get(f"/v1/jobs/{ann.check_id}").status_code == 200
    assert bob.http.get(f"/v1/jobs/{ann.check_id}").status_code == 404


@pytest.mark.parametrize("field", ["model_id", "dataset_id"])
def test_a_job_cannot_name_what_is_somebody_elses(ann: Party, bob: Party, field: str) -> None:
    answer = bob.http.post("/v1/jobs", json=bob.spec(**{field: getattr(ann, field)}))

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.json()["errors"][0]["field"] == field


def test_lists_and_counts_show_ones_own_alone_and_an_admin_all(keyed: Running, ann: Party, bob: Party) -> None:
    with as_(keyed, "ops", ["admin"]) as ops:
        for path in ("/v1/models", "/v1/datasets", "/v1/jobs", "/v1/jobs?kind=check_model"):
            owners = [{row["owner"] for row in http.get(path).json()["data"]} for http in (ann.http, bob.http, ops)]
            assert owners == [{"ann"}, {"bob"}, {"ann", "bob"}], path
        counts = [http.get("/v1/jobs").json()["counts"]["succeeded"] for http in (ann.http, bob.http, ops)]
        assert counts == [1, 1, 2]
        assert ops.get(f"/v1/jobs/{ann.job_id}/artifacts/model.tflite").content == b"TFL3"


def test_of_two_owners_of_the_same_bytes_one_deletes_and_the_other_keeps_them(start: Start, broker: str) -> None:
    with start() as running:
        one, two = Party(running, "one"), Party(running, "two")

        assert one.http.delete(f"/v1/models/{one.model_id}").status_code == 204

        digest = two.http.get(f"/v1/models/{two.model_id}").json()["digest"].removeprefix("sha256:")
        assert any(digest in path for path in running.stored())
        assert two.http.delete(f"/v1/models/{two.model_id}").status_code == 204
        assert not any(digest in path for path in running.stored())


def test_trials_belong_to_whom_their_sweep_belongs(keyed: Running, ann: Party) -> None:
    with keyed.parts.database.write() as session:
        spec = CompressSpec.model_validate(ann.spec())
        sweep = creation.create_job(session, spec, owner="ann", now=now())
        held = lifecycle.claim(session, sweep.id, lease_seconds=60, now=now())
        assert held is not None
        trials = sweep_trials.fan_out(session, held, Outcome(JobState.SUCCEEDED), [spec, spec], steps=(), now=now())

        assert [trial.owner for trial in trials] == ["ann", "ann"]
