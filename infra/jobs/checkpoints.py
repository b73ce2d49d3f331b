"""How far a running job is, for its next attempt: the digest of a file in the store, in the job's own row.

A job has at most one. It goes when the job ends, unless that was our fault: then its user may have it tried again.
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
    """Name the bytes of a checkpoint in place of an earlier one's. False when the attempt no longer holds the job.

    Args:
        file: its bytes were announced for this job.
        steps: as they were when it was made; those that have succeeded stay done in the next attempt.
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
    """Let the job begin anew the next time, if this attempt still holds it."""
    move(session, lifecycle.held(job_id, attempt), now=None, entries=[], **NO_CHECKPOINT)


def forget_ended_before(session: Session, moment: datetime) -> None:
    """Of jobs that failed by our fault before then: their users have had the time to try them again."""
    over = (Job.state.in_(FINAL), Job.finished_at < moment, Job.checkpoint_digest.is_not(None))
    session.execute(update(Job).where(*over).values(**NO_CHECKPOINT))
