"""Rows for tests: specs, uploads and jobs that are right, with the time in the test's hands."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

from infra.db.database import Database
from infra.db.tables import Job, Upload
from infra.jobs import creation, lifecycle, queries
from infra.uploads import uploads
from secateur.specs.reading import Reading
from secateur.specs.spec import CompressSpec

START = datetime(2030, 1, 1, 12, tzinfo=UTC)
MODEL_ID, DATASET_ID = "mdl_" + "0" * 20, "dst_" + "0" * 20
LEASE = 30.0


def at(seconds: float) -> datetime:
    """A moment, in seconds after the start of the test's time."""
    return START + timedelta(seconds=seconds)


def spec(**changes: Any) -> CompressSpec:
    """A spec that is valid, with these fields changed."""
    return CompressSpec.model_validate(
        {"model_id": MODEL_ID, "dataset_id": DATASET_ID, "steps": [{"kind": "prune", "sparsity": 0.5}]} | changes
    )


def queued(database: Database, *, seconds: float = 0, **changes: Any) -> str:
    """Write a user's job. Returns its id."""
    with database.write() as session:
        return creation.create_job(session, spec(**changes), now=at(seconds)).id


def claimed(database: Database, *, seconds: float = 0, **changes: Any) -> tuple[str, int]:
    """Write a user's job and claim it. Returns its id and the attempt."""
    job_id = queued(database, seconds=seconds, **changes)
    with database.write() as session:
        job = lifecycle.claim(session, job_id, lease_seconds=LEASE, now=at(seconds))
    assert job is not None
    return job_id, job.attempt


def uploaded(database: Database, content: str = "a", kind: uploads.Kind = "model", seconds: float = 0) -> Upload:
    """Register an upload."""
    return register(database, content, kind, seconds)[0]


def register(
    database: Database, content: str = "a", kind: uploads.Kind = "model", seconds: float = 0, scale: str = "none"
) -> tuple[Upload, Job | None]:
    """Register an upload; also its check, if it needs one."""
    digest = f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"
    with database.write() as session:
        return uploads.register(
            session,
            kind,
            digest=digest,
            num_bytes=len(content),
            name=content,
            format="keras",
            reading=Reading(scale=scale),
            now=at(seconds),
        )


def job(database: Database, job_id: str) -> Job:
    """The row as it is now."""
    with database.read() as session:
        found = queries.get(session, job_id)
    assert found is not None
    return found


def upload(database: Database, kind: uploads.Kind, upload_id: str) -> Upload:
    """The row as it is now."""
    with database.read() as session:
        found = uploads.get(session, kind, upload_id)
    assert found is not None
    return found
