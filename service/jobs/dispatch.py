"""Notifies the workers of a job whose row is committed."""

from infra.db.tables import Job
from infra.jobs.dispatch import dispatch
from infra.telemetry.logs import logger
from secateur.errors import ServiceError
from service.components import Components


def notify_workers(parts: Components, job: Job) -> None:
    """Publish a job's message. If that fails, the job is still accepted: a worker's reaper publishes it later."""
    try:
        dispatch(parts.database, parts.publisher, [job])
    except ServiceError as fault:
        logger("gateway").warning("message not sent, a reaper will", job=job.id, reason=fault.detail)
