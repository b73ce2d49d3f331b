"""Deliveries over real HTTP, verified as receivers verify them: with the library of Standard Webhooks."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from infra.db.database import now
from infra.db.tables import Delivery, Webhook
from infra.jobs import creation, lifecycle
from infra.jobs.lifecycle import Outcome
from infra.webhooks import outbox, webhooks
from infra.webhooks.dns import Lookups
from secateur.protocol.states import JobState
from tests.infra.rows import spec
from tests.workers.conftest import Bench, eventually
from workers.fair_scheduler import MOST_AT_ONCE
from workers.webhooks.delivery import NUM_THREADS, POLL_SECONDS, WebhookDelivery, delivering, retry_after_seconds_of


@dataclass
class Receiver:
    """Somebody who is told."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    came: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Answers with the statuses that the test gives it, then with 204."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            told.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(told.answers.pop(0) if told.answers else 204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Tell nobody."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_address[1]}/hook"
    Thread(target=server.serve_forever, daemon=True).start()
    yield told
    server.shutdown()
    server.server_close()


def subscribed(bench: Bench, receiver: Receiver, owner: str = "local") -> Webhook:
    with bench.database.write() as session:
        return webhooks.create(
            session,
            owner=owner,
            url=receiver.url,
            subscriptions=["job.succeeded"],
            description="",
            now=now(),
        )


def finished(bench: Bench) -> str:
    """A user's job that ended well. Returns its id."""
    with bench.database.write() as session:
        job_id = creation.create_job(session, spec(labels={"run": "7"})).id
        job = lifecycle.claim(session, job_id, lease_seconds=30)
        assert job is not None
        assert lifecycle.finish(session, job_id, job.attempt, Outcome(JobState.SUCCEEDED), steps=())
    return job_id


def log(bench: Bench, hook: Webhook) -> list[Delivery]:
    with bench.database.read() as session:
        return list(outbox.deliveries(session, hook.id, limit=10))


def test_the_end_of_a_job_arrives_and_verifies(bench: Bench, receiver: Receiver) -> None:
    hook = subscribed(bench, receiver)
    job_id = finished(bench)
    deliverer = WebhookDelivery(bench.database, "any")

    assert deliverer.deliver()
    assert not deliverer.deliver(), "once it has arrived nothing is due"

    [(headers, body)] = receiver.came
    notice = Verifier(hook.secret).verify(body, headers)
    assert (notice["type"], notice["data"]["id"]) == ("job.succeeded", job_id)
    assert notice["data"]["labels"] == {"run": "7"}
    with pytest.raises(WebhookVerificationError):
        Verifier(hook.secret).verify(body.replace(b"succeeded", b"cancelled"), headers)
    [delivery] = log(bench, hook)
    assert (delivery.state, headers["webhook-id"]) == ("delivered", delivery.id)


def test_while_a_secret_is_replaced_either_verifies(bench: Bench, receiver: Receiver) -> None:
    hook = subscribed(bench, receiver)
    with bench.database.write() as session:
        new = webhooks.rotate(session.get_one(Webhook, hook.id), grace_seconds=60, now=now())
    finished(bench)

    WebhookDelivery(bench.database, "any").deliver()

    [(headers, body)] = receiver.came
    for secret in (hook.secret, new):
        assert Verifier(secret).verify(body, headers)


def test_what_was_not_taken_comes_again_under_the_same_id(bench: Bench, receiver: Receiver) -> None:
    hook = subscribed(bench, receiver)
    finished(bench)
    receiver.answers = [500]
    deliverer = WebhookDelivery(bench.database, "any")

    deliverer.deliver()
    [delivery] = log(bench, hook)
    assert (delivery.state, delivery.tries[0]["status"]) == ("pending", 500)
    assert delivery.due_at > now()
    with bench.database.write() as session:
        session.get_one(Delivery, delivery.id).due_at = now()
    deliverer.deliver()

    first, second = (headers["webhook-id"] for headers, _ in receiver.came)
    assert first == second
    assert log(bench, hook)[0].state == "delivered"


def test_a_receiver_that_is_gone_is_left_alone(bench: Bench, receiver: Receiver) -> None:
    hook = subscribed(bench, receiver)
    finished(bench)
    receiver.answers = [410]

    WebhookDelivery(bench.database, "any").deliver()
    finished(bench)

    assert len(log(bench, hook)) == 1
    assert not WebhookDelivery(bench.database, "any").deliver()


def test_nothing_goes_into_the_own_network_unless_the_operator_says_so(bench: Bench, receiver: Receiver) -> None:
    """The row may be older than the setting, or than the name's address."""
    hook = subscribed(bench, receiver)
    finished(bench)

    WebhookDelivery(bench.database, "public").deliver()

    assert receiver.came == []
    [delivery] = log(bench, hook)
    assert "must not reach" in delivery.tries[0]["said"]


def test_threads_deliver_on_their_own(bench: Bench, receiver: Receiver) -> None:
    hook = subscribed(bench, receiver)

    with delivering(WebhookDelivery(bench.database, "any")):
        for _ in range(5):
            finished(bench)
        assert eventually(lambda: [row.state for row in log(bench, hook)] == 5 * ["delivered"])

    assert len({json.loads(body)["data"]["id"] for _, body in receiver.came}) == len(receiver.came) == 5


@pytest.fixture
def silent() -> Iterator[socket.socket]:
    """A receiver that takes connections and never answers, until it is closed."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as listening:
        yield listening


def due(bench: Bench, owner: str, url: str, number: int) -> Webhook:
    """A webhook with so many notices that wait."""
    hook = subscribed(bench, Receiver(url), owner)
    with bench.database.write() as session:
        for _ in range(number):
            outbox.queue(session, hook, "job.succeeded", {}, now=now())
    return hook


def test_a_receiver_that_never_answers_keeps_only_its_owner_waiting(
    bench: Bench, receiver: Receiver, silent: socket.socket
) -> None:
    """Each try lasts until its time limit, and there are more of them than threads."""
    due(bench, "ann", f"http://127.0.0.1:{silent.getsockname()[1]}/hook", 2 * NUM_THREADS)

    with delivering(WebhookDelivery(bench.database, "any")), ExitStack() as connections:
        connections.callback(silent.close)
        silent.settimeout(10)
        for _ in range(MOST_AT_ONCE):
            connections.enter_context(silent.accept()[0])
        silent.settimeout(2 * POLL_SECONDS)
        with pytest.raises(TimeoutError):  # by now every thread has looked for work
            connections.enter_context(silent.accept()[0])
        hook = due(bench, "bob", receiver.url, 3)
        assert eventually(lambda: [row.state for row in log(bench, hook)] == 3 * ["delivered"])


def test_owners_take_turns_however_much_waits_for_one(bench: Bench, receiver: Receiver) -> None:
    crowd = due(bench, "ann", receiver.url, 4)
    few = due(bench, "bob", receiver.url, 2)
    deliverer = WebhookDelivery(bench.database, "any")

    for _ in range(4):
        assert deliverer.deliver()

    states = {hook.owner: [row.state for row in log(bench, hook)].count("delivered") for hook in (crowd, few)}
    assert states == {"ann": 2, "bob": 2}


def test_names_that_nobody_answers_for_hold_up_their_owner_alone(bench: Bench, receiver: Receiver) -> None:
    """The system's own look-up cannot be stopped; it is left behind, and an owner may leave only so many behind."""
    lost = due(bench, "ann", "http://slow.example/", 4)
    hook = due(bench, "bob", receiver.url.replace("127.0.0.1", "quick.example"), 1)
    may_answer = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        if host == "slow.example":
            may_answer.wait(30)
        return ["127.0.0.1"]

    lookups = Lookups(resolve, timeout_seconds=0.1)
    deliverer = WebhookDelivery(bench.database, "any", lookups)
    while deliverer.deliver():
        pass
    may_answer.set()

    assert [row.state for row in log(bench, hook)] == ["delivered"]
    said = sorted(row.tries[0]["said"] for row in log(bench, lost))
    assert [" ".join(text.split()[1:4]) for text in said] == 2 * ["was not found"] + 2 * ["was not looked"]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ("120", 120.0),
        ("soon", None),
        ("²", None),
        (None, None),
        (format_datetime(datetime(2030, 1, 1, 0, 1, tzinfo=UTC)), 60.0),
    ],
)
def test_a_wanted_pause_is_a_number_or_a_date(given: Any, seconds: float | None) -> None:
    assert retry_after_seconds_of(given, now=datetime(2030, 1, 1, tzinfo=UTC)) == seconds


def test_what_nobody_thought_of_is_a_try_that_failed(bench: Bench, receiver: Receiver) -> None:
    """Without an end a delivery would be taken again each minute, for ever."""
    hook = subscribed(bench, receiver)
    with bench.database.write() as session:
        session.get_one(Webhook, hook.id).url = "http://example.com/\x7f"
    finished(bench)

    WebhookDelivery(bench.database, "any").deliver()

    [delivery] = log(bench, hook)
    assert "InvalidURL" in delivery.tries[0]["said"]
    assert delivery.due_at > now()
