"""How far a running job is, for its next attempt: the digest of a file in the store, in the job's own row.

A job has at most one. It goes when the job ends, unless that was our fault: then its user may have it tried again.
"""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from infra import blobs, job_steps, jobs
from infra.moves import move
from infra.tables import Job
from jobspec.progress import StepProgress
from jobspec.states import JobState


def keep(session: Session, job_id: str, attempt: int, digest: str, *, steps: Iterable[StepProgress]) -> bool:
    """Name the bytes of a checkpoint in place of an earlier one's. False when the attempt no longer holds the job.

    Args:
        digest: of bytes that were announced for this job.
        steps: as they were when it was made; those that have succeeded stay done in the next attempt.
    """
    written = move(
        session,
        jobs.held(job_id, attempt),
        Job.state == JobState.RUNNING,
        now=None,
        entries=[],
        checkpoint_digest=digest,
        checkpoint_steps=job_steps.dump(steps),
    )
    if written is None:
        return False
    blobs.let_go(session, job_id)
    return True
