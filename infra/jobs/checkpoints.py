"""Checkpoints of jobs: the job's row holds the digest of a file in the store, from which the next attempt resumes.

A job has at most one checkpoint. It is removed when the job ends, unless the job failed by the service's fault, because
then the user may retry it.
"""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import update
from sqlalchemy.orm import Session

from infra.db.tables import Job
from infra.jobs import lifecycle
from infra.jobs import steps as job_steps
from infra.jobs.lifecycle import StoredFile
from infra.jobs.transitions import NO_CHECKPOINT, move
from infra.storage import blobs
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import FINAL, JobState


def keep(session: Session, job_id: str, attempt: int, file: StoredFile, *, steps: Iterable[StepProgress]) -> bool:
    """Write a checkpoint into the job's row, in place of an earlier one.

    Args:
        session: the caller's transaction.
        job_id: of the job.
        attempt: the attempt that made the checkpoint.
        file: the stored file, whose digest was announced for this job (``blobs.hold``).
        steps: the steps at that time. Steps that have succeeded stay done in the next attempt.

    Returns:
        False if the attempt no longer holds the job.
    """
    written = move(
        session,
        lifecycle.held(job_id, attempt),
        Job.state == JobState.RUNNING,
        now=None,
        entries=[],
        checkpoint_digest=file.digest,
        checkpoint_bytes=file.num_bytes,
        checkpoint_steps=job_steps.dump(steps),
    )
    if written is None:
        return False
    blobs.release(session, job_id)
    return True


def forget(session: Session, job_id: str, attempt: int) -> None:
    """Remove the job's checkpoint if this attempt still holds the job. The next attempt begins from the start."""
    move(session, lifecycle.held(job_id, attempt), now=None, entries=[], **NO_CHECKPOINT)


def forget_ended_before(session: Session, moment: datetime) -> None:
    """Remove the checkpoints of jobs that failed by the service's fault before ``moment``."""
    over = (Job.state.in_(FINAL), Job.finished_at < moment, Job.checkpoint_digest.is_not(None))
    session.execute(update(Job).where(*over).values(**NO_CHECKPOINT))
