"""An admin gives one owner more, or less, than the settings give to all."""

import pytest

from service.__main__ import main
from tests.service.conftest import Running, Start, model_file
from tests.service.inputs import Pair, pair
from tests.service.keys import as_

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")


def upload(http: object, content: bytes) -> int:
    """The status of an upload."""
    return http.post("/v1/models", params={"name": "m.keras"}, content=content).status_code  # type: ignore[attr-defined,no-any-return]


def test_one_owner_may_store_more_than_the_others(start: Start, broker: str) -> None:
    one, two = model_file("one"), model_file("two")
    with (
        start(quota_stored_bytes=len(one) + 10) as running,
        as_(running, "root", ["admin"]) as admin,
        as_(running, "ann") as ann,
        as_(running, "bob") as bob,
    ):
        told = admin.put("/v1/limits/ann", json={"stored_bytes": 0})

        assert [upload(http, content) for http in (ann, bob) for content in (one, two)] == [201, 201, 201, 429]
        assert told.json()["own"]["stored_bytes"] == told.json()["in_force"]["stored_bytes"] == 0
        assert ann.get("/v1/usage").json()["stored_bytes"]["limit"] is None
        assert bob.get("/v1/usage").json()["stored_bytes"]["limit"] == len(one) + 10


def test_the_size_of_an_upload_is_limited_by_owner_both_ways_of_sending(start: Start, broker: str) -> None:
    content = model_file("one")
    with start() as running, as_(running, "root", ["admin"]) as admin, as_(running, "ann") as ann:
        admin.put("/v1/limits/ann", json={"max_upload_bytes": len(content) - 1})
        headers = {"Tus-Resumable": "1.0.0", "Upload-Metadata": "kind bW9kZWw=,name YS5rZXJhcw=="}

        begun = ann.post("/v1/uploads", headers={**headers, "Upload-Length": str(len(content))})

        assert upload(ann, content) == begun.status_code == 413
        assert ann.options("/v1/uploads").headers["tus-max-size"] == str(len(content) - 1)
        assert ann.get("/v1/usage").json()["max_upload_bytes"] == len(content) - 1
        admin.put("/v1/limits/ann", json={"max_upload_bytes": len(content)})
        assert upload(ann, content) == 201


def test_requests_are_counted_by_the_owners_own_number(start: Start, broker: str) -> None:
    with (
        start(requests_per_minute=0) as running,
        as_(running, "root", ["admin"]) as admin,
        as_(running, "ann") as ann,
        as_(running, "bob") as bob,
    ):
        admin.put("/v1/limits/ann", json={"requests_per_minute": 2})

        assert [ann.get("/v1/usage").status_code for _ in range(3)] == [200, 200, 429]
        assert [bob.get("/v1/usage").status_code for _ in range(3)] == [200, 200, 200]
        assert admin.delete("/v1/limits/ann").status_code == 204
        assert ann.get("/v1/usage").status_code == 200, "from the next request on"


def test_jobs_in_the_queue_are_limited_by_owner(start: Start, broker: str) -> None:
    with start() as running:
        inputs: Pair = pair(running)
        running.http.put("/v1/limits/local", json={"queued_jobs": 1})

        answers = [running.http.post("/v1/jobs", json=inputs.spec(seed=seed)) for seed in range(2)]

        assert [answer.status_code for answer in answers] == [202, 429]
        assert running.http.get("/v1/usage").json()["queued_jobs"] == {"used": 1, "limit": 1}


def test_limits_are_listed_put_back_and_checked(gateway: Running) -> None:
    http = gateway.http
    for owner in ("z-1", "z-2", "z-3"):
        assert http.put(f"/v1/limits/{owner}", json={"queued_jobs": 7}).status_code == 200
    first = http.get("/v1/limits", params={"limit": 2, "cursor": "z"}).json()
    rest = http.get("/v1/limits", params={"limit": 2, "cursor": first["next_cursor"]}).json()

    assert [each["owner"] for each in first["data"]] == ["z-1", "z-2"]
    assert ([each["owner"] for each in rest["data"]], rest["next_cursor"]) == (["z-3"], None)
    for wrong in ({"queued_jobs": -1}, {"queued_jobs": 2**63}, {"max_upload_bytes": 0}, {"cheese": 1}):
        assert http.put("/v1/limits/z-1", json=wrong).status_code == 422
    assert http.put("/v1/limits/Not An Owner", json={}).status_code == 422
    assert http.put("/v1/limits/z-1", json={}).json()["own"]["queued_jobs"] is None
    assert [http.delete(f"/v1/limits/{owner}").status_code for owner in ("z-1", "z-1", "z-2", "z-3")] == [204] * 4


def test_only_admins_see_and_set_limits(start: Start, broker: str) -> None:
    with start() as running, as_(running, "ann") as ann:
        answers = [
            ann.get("/v1/limits"),
            ann.get("/v1/limits/ann"),
            ann.put("/v1/limits/ann", json={}),
            ann.delete("/v1/limits/ann"),
        ]

    assert [answer.status_code for answer in answers] == [403] * 4


def test_the_command_line_sets_what_it_is_told_and_prints_what_holds(
    start: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with start() as running:
        monkeypatch.setenv("SECATEUR_DATABASE_URL", running.parts.settings.database)

        main(["keys", "limits", "ann", "--queued-jobs", "5", "--stored-bytes", "0"])
        main(["keys", "limits", "ann", "--queued-jobs", "default", "--running-jobs", "3"])
        capsys.readouterr()
        main(["keys", "limits", "ann"])

        assert capsys.readouterr().out.splitlines() == [
            "stored_bytes 0 (own)",
            "queued_jobs 1000",
            "running_jobs 3 (own)",
            "queued_checks 200",
            "requests_per_minute 6000",
            "max_upload_bytes 2147483648",
        ]
        with pytest.raises(SystemExit, match="--max-upload-bytes"):
            main(["keys", "limits", "ann", "--max-upload-bytes", "0"])
