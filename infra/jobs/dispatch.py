"""Notifies workers of jobs whose rows are committed."""

from collections.abc import Iterable

from infra.broker import Publisher
from infra.db.database import Database
from infra.db.tables import Job
from infra.jobs import lifecycle


def dispatch(database: Database, publisher: Publisher, jobs: Iterable[Job]) -> int:
    """Publish a message for each job, and record in one transaction which messages were sent.

    Args:
        jobs: taken one by one, so that they can be chosen while earlier ones are published.

    Returns:
        How many messages were sent.

    Raises:
        Unavailable: the broker or the database does not answer. Messages that were sent before are recorded if the
            database answers. The reaper of some worker sends the others later. A message sent twice runs a job once.
    """
    sent: list[Job] = []
    try:
        for job in jobs:
            publisher.publish(job)
            sent.append(job)
    finally:
        if sent:
            with database.write() as session:
                for job in sent:
                    lifecycle.mark_published(session, job.id)
    return len(sent)
