"""What an attempt tells while it runs, which are tried again by themselves, and which of them count."""

import pytest

from infra.jobs import events
from secateur.protocol.events import JobEvent
from tests.workers.conftest import Bench


def told(bench: Bench, job_id: str, **wanted: object) -> list[JobEvent]:
    with bench.database.read() as session:
        return events.page(session, job_id, **wanted)  # type: ignore[arg-type]


def test_a_job_tells_its_whole_story(bench: Bench) -> None:
    job_id = bench.compress()

    bench.supervisor("log_and_succeed").run(job_id)

    assert [(event.kind, event.body.get("state") or event.body["message"]) for event in told(bench, job_id)] == [
        ("state", "queued"),
        ("state", "running"),
        ("log", "a layer is left alone"),
        ("step", "running"),
        ("step", "succeeded"),
        ("step", "running"),
        ("step", "succeeded"),
        ("state", "succeeded"),
    ]


def test_the_last_words_of_a_child_that_died_are_kept(bench: Bench) -> None:
    """They say what its user would otherwise have to ask an operator for."""
    job_id = bench.compress()

    bench.supervisor("crash").run(job_id)

    log, requeued = told(bench, job_id, level="warning")
    assert (log.kind, log.body["logger"], log.body["message"]) == ("log", "stderr", "last words\n")
    assert (requeued.body["state"], requeued.body["why"]) == ("queued", "child_died")
    assert "SIGKILL" in requeued.body["detail"]


def test_a_fault_of_the_service_is_tried_again_after_a_while(bench: Bench) -> None:
    """What broke should have time to recover: the sweep sends the job, its worker does not."""
    job_id = bench.compress()
    supervisor = bench.supervisor("service_fault_once")

    supervisor.run(job_id)
    waiting = bench.job(job_id)
    supervisor.run(job_id)

    assert (waiting.state, waiting.failure, waiting.published_at) == ("queued", None, None)
    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("succeeded", 2)
    (why,) = told(bench, job_id, level="warning")
    assert (why.body["why"], why.body["detail"]) == ("service_fault", "internal_error: odd")


def test_a_fault_of_the_service_that_stays_fails_the_job(bench: Bench) -> None:
    job_id = bench.compress()

    for _ in range(bench.settings.max_attempts + 1):
        bench.supervisor("service_fault").run(job_id)

    job = bench.job(job_id)
    assert (job.state, job.charged) == ("failed", bench.settings.max_attempts)
    assert job.failure is not None
    assert job.failure["code"] == "internal_error"


def test_a_fault_of_the_request_is_never_tried_again_by_itself(bench: Bench) -> None:
    """The same spec on the same data fails the same way."""
    job_id = bench.compress()

    bench.supervisor("fail").run(job_id)

    assert (bench.job(job_id).state, bench.job(job_id).attempt) == ("failed", 1)


@pytest.mark.only("embedded", reason="what the child does is the same with every database and store")
@pytest.mark.parametrize("behaviour", ["lie", "announce_missing"])
def test_a_child_that_was_not_believed_is_not_tried_again(behaviour: str, bench: Bench) -> None:
    job_id = bench.compress()

    bench.supervisor(behaviour).run(job_id)

    failure = bench.job(job_id).failure
    assert failure is not None
    assert (failure["code"], failure["retryable"]) == ("internal_error", False)


def test_a_worker_that_drains_again_and_again_never_uses_up_a_job(bench: Bench) -> None:
    job_id = bench.compress()
    for _ in range(bench.settings.max_attempts + 1):
        thread = bench.start("hang", job_id)
        bench.draining.set()
        thread.join(timeout=30)
        bench.draining.clear()

    bench.supervisor("succeed").run(job_id)

    job = bench.job(job_id)
    assert (job.state, job.attempt, job.charged) == ("succeeded", bench.settings.max_attempts + 2, 1)
    assert told(bench, job_id, level="warning") == []
