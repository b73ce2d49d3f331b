"""Waking a worker for a row that is committed already."""

from infra.db.tables import Job
from infra.jobs import lifecycle
from infra.telemetry.logs import logger
from secateur.errors import ServiceError
from service.components import Components


def notify_workers(parts: Components, job: Job) -> None:
    """Send a job's message. Whatever fails, the job is accepted: its row waits for a worker's sweep."""
    try:
        parts.publisher.publish(job)
        with parts.database.write() as session:
            lifecycle.mark_published(session, job.id)
    except ServiceError as fault:
        logger("gateway").warning("message not sent, a sweep will", job=job.id, reason=fault.detail)
