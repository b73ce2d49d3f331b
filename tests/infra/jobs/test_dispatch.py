"""Messages for jobs, and what their rows say of them."""

import pytest
from celery import Celery

from infra.broker import Publisher
from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs.dispatch import dispatch
from secateur.errors import Unavailable
from tests.infra.rows import job, queued


class FullBroker(Publisher):
    """Takes a number of messages and then no more."""

    def __init__(self, num_accepted: int) -> None:
        super().__init__(Celery(set_as_current=False))
        self.accepted: list[str] = []
        self._num_accepted = num_accepted

    def publish(self, job: Job) -> None:
        if len(self.accepted) == self._num_accepted:
            raise Unavailable("The broker takes no message.")
        self.accepted.append(job.id)


def test_jobs_whose_message_was_sent_are_recorded_when_a_later_one_fails(database: Database) -> None:
    """Otherwise every reaper would send them again while the broker takes only a few."""
    ids = [queued(database) for _ in range(3)]
    publisher = FullBroker(num_accepted=2)

    with pytest.raises(Unavailable):
        dispatch(database, publisher, [job(database, job_id) for job_id in ids])

    assert publisher.accepted == ids[:2]
    assert [job(database, job_id).published_at is not None for job_id in ids] == [True, True, False]
