"""Who gets in, and to what: keys, scopes, and a service that has no key yet."""

import httpx
import pytest

from service.__main__ import main
from service.middleware.authentication import OPEN
from tests.service.conftest import Running, model_file
from tests.service.keys import as_, key

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")


def test_without_any_key_everybody_on_the_machine_is_its_admin(fresh: Running) -> None:
    assert fresh.http.get("/").json()["authentication"] == "none"
    assert fresh.http.get("/v1/keys").json()["data"] == []
    model = fresh.http.post("/v1/models", params={"name": "a.keras"}, content=model_file("own")).json()
    assert model["owner"] == "local"


def test_the_first_key_closes_the_service_at_once_and_for_good(fresh: Running) -> None:
    """Also when it is revoked: then nobody gets in until the command line makes another."""
    made = fresh.http.post("/v1/keys", json={"name": "first", "scopes": ["admin"]})
    admin = {"Authorization": f"Bearer {made.json()['key']}"}

    assert made.status_code == 201
    assert fresh.http.get("/").json()["authentication"] == "api_key"
    refused = fresh.http.get("/v1/models")
    assert (refused.status_code, refused.json()["code"]) == (401, "unauthorized")
    assert refused.headers["www-authenticate"] == 'Bearer realm="secateur"'
    assert fresh.http.delete(made.headers["location"], headers=admin).status_code == 204
    for headers in (admin, {}):
        assert fresh.http.get("/v1/models", headers=headers).status_code == 401


def test_every_address_but_the_listed_ones_asks_for_a_key(fresh: Running) -> None:
    """Also those that do not exist, and those that will be added without a thought for it."""
    key(fresh, "somebody")
    paths = {path.replace("{", "x").replace("}", "x") for path in fresh.app.openapi()["paths"]} | {"/nowhere", "/v1"}

    answers = {path: fresh.http.get(path).status_code for path in paths | OPEN}

    assert {path for path, status in answers.items() if status != 401} == OPEN


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer nonsense", "Basic c2s6", "bearer sk_" + "0" * 12 + "_" + "0" * 72]
)
def test_what_is_no_key_is_refused_also_where_none_is_needed(fresh: Running, header: str) -> None:
    """Who sends one believes to be somebody."""
    answer = fresh.http.get("/v1/models", headers={"Authorization": header})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_key_does_what_its_scopes_allow_and_a_refusal_names_the_missing_one(fresh: Running) -> None:
    calls = {
        "read": lambda http: http.get("/v1/models"),
        "write": lambda http: http.post("/v1/models", params={"name": "a.keras"}, content=model_file("scoped")),
        "admin": lambda http: http.get("/v1/keys"),
    }
    told = {}
    for scope in ("read", "write", "admin"):
        with as_(fresh, "team", [scope]) as http:
            for needed, call in calls.items():
                answer = call(http)
                told[scope, needed] = answer.status_code < 400
                if not told[scope, needed]:
                    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")
                    assert f'scope="{needed}"' in answer.headers["www-authenticate"]

    allowed = {pair for pair, fine in told.items() if fine}
    assert allowed == {
        ("read", "read"),
        ("write", "read"),
        ("write", "write"),
        ("admin", "read"),
        ("admin", "write"),
        ("admin", "admin"),
    }


def test_an_upload_without_a_key_is_refused_before_it_is_read(fresh: Running) -> None:
    """The answer comes while the body is still to come."""
    key(fresh, "somebody")
    with fresh.connect() as connection:
        connection.sendall(
            b"POST /v1/models?name=a.keras HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"
        )

        assert connection.recv(4096).startswith(b"HTTP/1.1 401 ")


def test_a_key_shows_its_text_once(fresh: Running) -> None:
    with as_(fresh, "ops", ["admin"]) as admin:
        wanted = {"name": "ci", "owner": "team-a", "scopes": ["read"], "expires_in_days": 7}
        made = admin.post("/v1/keys", json=wanted)
        text = made.json()["key"]

        shown = admin.get(made.headers["location"])
        listed = admin.get("/v1/keys", params={"limit": 1})

    assert (shown.json()["name"], shown.json()["owner"], shown.json()["scopes"]) == ("ci", "team-a", ["read"])
    assert text.startswith(f"sk_{shown.json()['prefix']}_")
    assert listed.json()["data"] == [shown.json()]
    assert listed.json()["next_cursor"] is not None
    assert text not in shown.text + listed.text


def test_rotating_and_revoking_work_on_those_who_use_the_key(fresh: Running) -> None:
    with as_(fresh, "ops", ["admin"]) as admin:
        made = admin.post("/v1/keys", json={"name": "ci"}).json()
        path = f"/v1/keys/{made['id']}"

        def status(text: str) -> int:
            return httpx.get(f"{fresh.url}/v1/models", headers={"Authorization": f"Bearer {text}"}).status_code

        kept = admin.post(f"{path}/rotate").json()["key"]
        assert (status(made["key"]), status(kept)) == (200, 200)
        at_once = admin.post(f"{path}/rotate", json={"grace_seconds": 0}).json()["key"]
        assert (status(made["key"]), status(kept), status(at_once)) == (401, 401, 200)
        assert admin.get(path).json()["last_used_at"] is not None
        admin.delete(path)
        assert status(at_once) == 401
        assert admin.post(f"{path}/rotate").status_code == 404


def test_a_revoked_key_is_told_of_by_the_list_alone(fresh: Running) -> None:
    """What was deleted is not there; but whose it was can still be looked up."""
    with as_(fresh, "ops", ["admin"]) as admin:
        made = admin.post("/v1/keys", json={"name": "leaked"})
        path, key_id = made.headers["location"], made.json()["id"]

        def listed(**params: str) -> list[str]:
            return [row["id"] for row in admin.get("/v1/keys", params=params).json()["data"]]

        assert key_id in listed(state="valid")
        assert admin.delete(path).status_code == 204
        answers = [admin.get(path), admin.delete(path)]

        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[0].json()["suggestions"][0] == "GET /v1/keys?state=revoked lists it."
        assert listed(state="revoked") == [key_id]
        assert key_id in listed()
        assert key_id not in listed(state="valid") + listed(state="expired")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"scopes": ["root"]}, "scopes.0", id="an unknown scope"),
        pytest.param({"scopes": []}, "scopes", id="no scope"),
        pytest.param({"owner": "Team A"}, "owner", id="an owner with a space"),
        pytest.param({"name": ""}, "name", id="no name"),
        pytest.param({"expires_in_days": -1}, "expires_in_days", id="expired already"),
    ],
)
def test_an_unusable_request_for_a_key_names_its_field(fresh: Running, changes: dict[str, object], field: str) -> None:
    answer = fresh.http.post("/v1/keys", json={"name": "a"} | changes)

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


def test_the_command_line_makes_the_first_key(
    fresh: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Standard output holds the key and nothing else, so that a script can keep it."""
    monkeypatch.setenv("SECATEUR_DATABASE_URL", fresh.parts.settings.database)

    main(["keys", "create", "--admin"])

    text = capsys.readouterr().out.strip()
    answer = fresh.http.get("/v1/keys", headers={"Authorization": f"Bearer {text}"})
    assert [row["scopes"] for row in answer.json()["data"]] == [["admin"]]


def test_a_gateway_without_keys_does_not_listen_to_other_machines(
    fresh: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECATEUR_DATABASE_URL", fresh.parts.settings.database)
    monkeypatch.setenv("SECATEUR_HOST", "0.0.0.0")
    monkeypatch.setenv("SECATEUR_PORT", "0")

    with pytest.raises(SystemExit, match="python -m service keys create --admin"):
        main(["serve"])


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Host": "evil.example"}, id="a name that was made to lead here"),
        pytest.param({"Host": "127.0.0.1.evil.example:8000"}, id="a name that looks like ours"),
        pytest.param({"Host": ""}, id="no name"),
        pytest.param({"Host": "[::1"}, id="half an address"),
        pytest.param({"Origin": "https://evil.example"}, id="a page from elsewhere"),
        pytest.param({"Origin": "null"}, id="a page from nowhere"),
    ],
)
def test_without_keys_a_browser_cannot_be_made_to_send_things(fresh: Running, headers: dict[str, str]) -> None:
    """A web page that somebody on this machine looks at reaches loopback too."""
    upload = {"params": {"name": "a.keras"}, "content": model_file("page")}

    assert fresh.http.post("/v1/models", headers=headers, **upload).status_code == 401  # type: ignore[arg-type]
    assert fresh.num_rows() == (0, 0)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST:1"])
def test_without_keys_the_names_of_this_machine_are_fine(fresh: Running, host: str) -> None:
    """Also for the page of the documentation, which sends its own origin."""
    headers = {"Host": host, "Origin": f"http://{host}"}

    assert fresh.http.get("/v1/models", headers=headers).status_code == 200


def test_with_a_key_any_name_will_do(fresh: Running) -> None:
    """Behind a proxy the service has names of which it does not know."""
    with as_(fresh, "team") as http:
        headers = {"Host": "models.example", "Origin": "https://models.example"}
        assert http.get("/v1/models", headers=headers).status_code == 200
