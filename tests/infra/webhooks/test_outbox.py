"""What is to be delivered: written with the move that it tells of, taken by one, tried until it arrives."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest

from infra.db.database import Database
from infra.db.tables import Delivery, Webhook
from infra.jobs import lifecycle
from infra.jobs.lifecycle import Outcome
from infra.webhooks import outbox, webhooks
from infra.webhooks.outbox import MAX_PINGS, PAUSES_SECONDS, SENDING_SECONDS, DeliveryAttempt
from infra.webhooks.webhooks import MAX_WEBHOOKS
from secateur.errors import NotFound, QuotaExceeded, RateLimited
from secateur.protocol.keys import LOCAL_OWNER
from secateur.protocol.states import JobState
from secateur.protocol.webhooks import Subscription
from tests.infra.rows import at, claimed, queued, register

ARRIVED, BROKEN, GONE = (
    DeliveryAttempt(204, "", 0.1),
    DeliveryAttempt(500, "oh", 0.1),
    DeliveryAttempt(410, "gone", 0.1),
)


def webhook(database: Database, *subscriptions: Subscription, owner: str = LOCAL_OWNER) -> Webhook:
    with database.write() as session:
        return webhooks.create(
            session,
            owner=owner,
            url="https://example.com/",
            subscriptions=subscriptions or ("job.succeeded",),
            description="",
            now=at(0),
        )


def pinged(database: Database) -> str:
    hook = webhook(database)
    with database.write() as session:
        return outbox.queue(session, hook, "ping", {}, now=at(0)).id


def take(database: Database, seconds: float) -> Delivery | None:
    with database.write() as session:
        taken = outbox.take(session, LOCAL_OWNER, now=at(seconds))
    return None if taken is None else taken[0]


def settle(
    database: Database, delivery_id: str, tried: DeliveryAttempt, seconds: float, jitter: float = 0.5
) -> Delivery:
    with database.write() as session:
        outbox.settle(session, delivery_id, tried, jitter=jitter, now=at(seconds))
    with database.read() as session:
        found = session.get(Delivery, delivery_id)
    assert found is not None
    return found


def waiting(database: Database, hook: Webhook) -> list[str]:
    with database.read() as session:
        return [delivery.type for delivery in outbox.deliveries(session, hook.id, limit=10)]


def finish(database: Database, job_id: str, attempt: int, state: JobState) -> None:
    failure = NotFound("gone").failure() if state == JobState.FAILED else None
    with database.write() as session:
        assert lifecycle.finish(session, job_id, attempt, Outcome(state, failure), steps=(), now=at(1))


def test_only_those_who_asked_are_told_of_the_end_of_a_job(database: Database) -> None:
    done, lost, foreign = (
        webhook(database, "job.succeeded"),
        webhook(database, "job.failed", "job.cancelled"),
        webhook(database, "job.succeeded", owner="ann"),
    )

    finish(database, *claimed(database), JobState.SUCCEEDED)
    finish(database, *claimed(database), JobState.FAILED)
    waiting_job = queued(database)
    with database.write() as session:
        lifecycle.cancel(session, waiting_job, now=at(2))

    assert waiting(database, done) == ["job.succeeded"]
    assert sorted(waiting(database, lost)) == ["job.cancelled", "job.failed"]
    assert waiting(database, foreign) == []


def test_a_job_that_only_begins_or_waits_again_is_no_news(database: Database) -> None:
    hook = webhook(database, "job.succeeded", "job.failed", "job.cancelled", "job.expired")

    job_id, attempt = claimed(database)
    with database.write() as session:
        lifecycle.requeue(session, job_id, attempt, why="worker_lost", now=at(1))

    assert waiting(database, hook) == []


def test_the_check_of_an_upload_tells_of_the_upload(database: Database) -> None:
    """A check is a job too, but nobody asked for it."""
    hook = webhook(database, "model.ready", "model.rejected", "job.succeeded", "job.failed")
    for content, state in (("good", JobState.SUCCEEDED), ("bad", JobState.FAILED)):
        check = register(database, content)[1]
        assert check is not None
        with database.write() as session:
            taken = lifecycle.claim(session, check.id, lease_seconds=30, now=at(0))
        assert taken is not None
        finish(database, check.id, taken.attempt, state)

    assert sorted(waiting(database, hook)) == ["model.ready", "model.rejected"]


def test_a_move_that_is_rolled_back_tells_nobody(database: Database) -> None:
    hook, (job_id, attempt) = webhook(database), claimed(database)

    with database.write() as session:
        lifecycle.finish(session, job_id, attempt, Outcome(JobState.SUCCEEDED), steps=(), now=at(1))
        session.rollback()

    assert waiting(database, hook) == []


def test_of_many_who_take_a_delivery_one_gets_it(database: Database) -> None:
    pinged(database)
    barrier, taken = Barrier(6), []

    def race() -> None:
        barrier.wait()
        taken.append(take(database, 1))

    threads = [Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len([delivery for delivery in taken if delivery is not None]) == 1


def test_a_delivery_whose_courier_died_is_taken_again(database: Database) -> None:
    delivery_id = pinged(database)

    assert take(database, 0) is not None
    assert take(database, SENDING_SECONDS - 1) is None
    again = take(database, SENDING_SECONDS + 1)

    assert again is not None
    assert again.id == delivery_id, "receivers know a message by its id"


def test_what_does_not_arrive_is_tried_ever_more_rarely_and_then_given_up(database: Database) -> None:
    delivery_id, moment, pauses = pinged(database), 0.0, []

    while (delivery := settle(database, delivery_id, BROKEN, moment)).state == "pending":
        pauses.append((delivery.due_at - at(moment)).total_seconds())
        moment += pauses[-1]

    assert pauses == pytest.approx(list(PAUSES_SECONDS))
    assert delivery.state == "failed"
    assert len(delivery.tries) == len(PAUSES_SECONDS) + 1
    assert take(database, moment + 10 * 86_400) is None


def test_jitter_moves_a_pause_by_a_tenth(database: Database) -> None:
    early = settle(database, pinged(database), BROKEN, 0, jitter=0.0)
    late = settle(database, pinged(database), BROKEN, 0, jitter=1.0)

    assert (early.due_at, late.due_at) == (at(0.9 * PAUSES_SECONDS[0]), at(1.1 * PAUSES_SECONDS[0]))


def test_a_receiver_can_ask_for_a_longer_pause_but_not_for_ever(database: Database) -> None:
    asked = settle(database, pinged(database), DeliveryAttempt(503, "", 0.1, retry_after_seconds=600), 0)
    greedy = settle(database, pinged(database), DeliveryAttempt(503, "", 0.1, retry_after_seconds=1e9), 0)

    assert asked.due_at == at(600)
    assert greedy.due_at == at(86_400)


def test_what_arrived_is_never_sent_again(database: Database) -> None:
    delivered = settle(database, pinged(database), ARRIVED, 1)

    assert delivered.state == "delivered"
    assert take(database, 10_000) is None


def test_gone_disables_the_webhook_and_all_that_waits_for_it(database: Database) -> None:
    hook = webhook(database)
    with database.write() as session:
        first, second = (outbox.queue(session, hook, "ping", {}, now=at(0)).id for _ in range(2))

    settle(database, first, GONE, 1)

    with database.read() as session:
        found = session.get(Webhook, hook.id)
        assert found is not None
        assert found.disabled_because == "The receiver answered 410 Gone."
        waiting_still = session.get(Delivery, second)
    assert waiting_still is not None
    assert waiting_still.state == "failed"
    finish(database, *claimed(database), JobState.SUCCEEDED)
    assert waiting(database, hook) == ["ping", "ping"]


def test_redelivery_begins_anew_and_keeps_the_log(database: Database) -> None:
    delivery_id = pinged(database)
    settle(database, delivery_id, GONE, 1)
    with database.write() as session:
        delivery = session.get(Delivery, delivery_id)
        assert delivery is not None
        session.get_one(Webhook, delivery.webhook_id).disabled_because = None
        outbox.again(delivery, now=at(2))

    assert take(database, 3) is not None
    assert [told["status"] for told in settle(database, delivery_id, ARRIVED, 4).tries] == [410, 204]


def test_both_secrets_sign_while_one_replaces_the_other(database: Database) -> None:
    hook = webhook(database)
    old, new = hook.secret, webhooks.rotate(hook, grace_seconds=60, now=at(0))

    assert webhooks.secrets_of(hook, now=at(59)) == [new, old]
    assert webhooks.secrets_of(hook, now=at(60)) == [new]


def test_an_owner_has_so_many_webhooks_and_no_more(database: Database) -> None:
    for _ in range(MAX_WEBHOOKS):
        webhook(database)

    with pytest.raises(QuotaExceeded):
        webhook(database)
    assert webhook(database, owner="ann").owner == "ann"


def test_only_one_ping_waits_at_a_time_and_so_many_go_in_an_hour(database: Database) -> None:
    """Whoever may ping without end may keep couriers busy, and fill the log, without end."""
    hook = webhook(database)

    def ping(seconds: float) -> str:
        with database.write() as session:
            return outbox.ping(session, session.get_one(Webhook, hook.id), now=at(seconds)).id

    assert ping(0) == ping(1)
    for number in range(MAX_PINGS - 1):
        settle(database, ping(number), DeliveryAttempt(200, "", 0.1), number)
    last = ping(MAX_PINGS)
    settle(database, last, DeliveryAttempt(200, "", 0.1), MAX_PINGS)
    with pytest.raises(RateLimited, match="60 times"):
        ping(MAX_PINGS)

    assert ping(3602) != last, "an hour after the first"


def test_the_log_forgets_what_is_settled_and_old_and_keeps_what_waits(database: Database) -> None:
    hook = webhook(database)
    settle(database, pinged(database), ARRIVED, 1)
    with database.write() as session:
        waits = outbox.queue(session, hook, "ping", {}, now=at(0)).id
        outbox.forget(session, now=at(0) + outbox.KEPT + timedelta(seconds=2))

    with database.read() as session:
        left = [row.id for row in session.query(Delivery).all()]
    assert left == [waits]
