"""Webhooks as their owner works with them."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.service.conftest import Running
from tests.service.keys import as_

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")


@pytest.fixture
def hook(gateway: Running) -> Iterator[dict[str, Any]]:
    made = gateway.http.post("/v1/webhooks", json={"url": "https://example.com/hook"})
    assert made.status_code == 201
    found: dict[str, Any] = made.json()
    assert made.headers["location"] == f"/v1/webhooks/{found['id']}"
    yield found
    gateway.http.delete(f"/v1/webhooks/{found['id']}")


def test_the_secret_is_told_once(gateway: Running, hook: dict[str, Any]) -> None:
    assert hook["secret"].startswith("whsec_")
    assert hook["subscriptions"] == ["job.cancelled", "job.expired", "job.failed", "job.succeeded"]

    seen = gateway.http.get(f"/v1/webhooks/{hook['id']}")
    listed = gateway.http.get("/v1/webhooks").json()["data"]

    assert "secret" not in seen.json()
    assert seen.json() in listed


def test_a_rotated_secret_is_a_new_one(gateway: Running, hook: dict[str, Any]) -> None:
    rotated = gateway.http.post(f"/v1/webhooks/{hook['id']}/rotate").json()

    assert rotated["secret"] != hook["secret"]


@pytest.mark.parametrize(
    "url", ["http://example.com/", "https://127.0.0.1/", "https://169.254.169.254/", "https://10.0.0.1/", "nowhere"]
)
def test_a_url_that_leads_inside_is_refused_with_what_to_do(gateway: Running, hook: dict[str, Any], url: str) -> None:
    made = gateway.http.post("/v1/webhooks", json={"url": url})
    changed = gateway.http.patch(f"/v1/webhooks/{hook['id']}", json={"url": url})

    assert made.status_code == changed.status_code == 422
    assert made.json()["code"] == "webhook_url_refused"
    assert "SECATEUR_WEBHOOK_TARGETS" in str(made.json()["suggestions"])
    assert gateway.http.get(f"/v1/webhooks/{hook['id']}").json()["url"] == hook["url"]


def test_a_webhook_can_be_changed_switched_off_and_deleted(gateway: Running, hook: dict[str, Any]) -> None:
    here = f"/v1/webhooks/{hook['id']}"

    changed = gateway.http.patch(here, json={"subscriptions": ["model.rejected"], "description": "for CI"}).json()
    off = gateway.http.patch(here, json={"enabled": False}).json()
    on = gateway.http.patch(here, json={"enabled": True}).json()

    assert (changed["subscriptions"], changed["description"]) == (["model.rejected"], "for CI")
    assert (off["enabled"], off["disabled_because"]) == (False, "Switched off by its owner.")
    assert (on["enabled"], on["disabled_because"]) == (True, None)
    assert gateway.http.delete(here).status_code == 204
    assert gateway.http.get(here).status_code == 404


def test_a_ping_is_queued_and_can_be_sent_again(gateway: Running, hook: dict[str, Any]) -> None:
    here = f"/v1/webhooks/{hook['id']}"

    sent = gateway.http.post(f"{here}/ping")
    listed = gateway.http.get(f"{here}/deliveries").json()["data"]
    again = gateway.http.post(f"{here}/deliveries/{sent.json()['id']}/redeliver")

    assert (sent.status_code, again.status_code) == (202, 202)
    assert [delivery["type"] for delivery in listed] == ["ping"]
    assert listed[0]["state"] == "pending"
    assert listed[0]["next_try_at"] is not None


def test_what_is_not_there_says_where_to_look(gateway: Running, hook: dict[str, Any]) -> None:
    lost = gateway.http.get("/v1/webhooks/job_" + "0" * 20).json()
    no_delivery = gateway.http.post(f"/v1/webhooks/{hook['id']}/deliveries/msg_{'0' * 20}/redeliver").json()

    assert (lost["code"], no_delivery["code"]) == ("not_found", "not_found")
    assert "names a job" in lost["detail"]
    assert f"GET /v1/webhooks/{hook['id']}/deliveries" in no_delivery["suggestions"][0]


def test_nobody_sees_the_webhooks_of_others(fresh: Running) -> None:
    ann, bob = as_(fresh, "ann"), as_(fresh, "bob")
    made = ann.post("/v1/webhooks", json={"url": "https://example.com/"}).json()
    here = f"/v1/webhooks/{made['id']}"

    assert bob.get("/v1/webhooks").json()["data"] == []
    for method, path in (
        ("GET", here),
        ("PATCH", here),
        ("DELETE", here),
        ("POST", f"{here}/rotate"),
        ("POST", f"{here}/ping"),
        ("GET", f"{here}/deliveries"),
    ):
        assert bob.request(method, path, json={}).status_code == 404, path
    assert ann.get(here).status_code == 200
