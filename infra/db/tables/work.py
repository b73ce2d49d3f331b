"""Tables of uploads, jobs, the files and events of jobs, and workers."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from infra.db.tables.table import Table
from infra.telemetry import trace_context
from secateur.protocol.keys import LOCAL_OWNER


class Upload(Table):
    """A model or a data set. Its bytes are in the store under ``digest``, shared by all rows with that digest.

    ``reading`` holds what the user declared about a data set. The same bytes with another declaration are another data
    set. Each row belongs to one owner, and does not reveal whether other owners have the same bytes.
    """

    __tablename__ = "uploads"
    __table_args__ = (
        UniqueConstraint("owner", "kind", "digest", "reading_digest"),
        Index(None, "kind", "created_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), server_default=LOCAL_OWNER)
    kind: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(80), index=True)
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    name: Mapped[str] = mapped_column(String(256))
    format: Mapped[str] = mapped_column(String(16))
    reading: Mapped[dict[str, Any]]
    reading_digest: Mapped[str] = mapped_column(String(80))
    state: Mapped[str] = mapped_column(String(16))
    summary: Mapped[dict[str, Any] | None]
    failure: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)


class ResumableUpload(Table):
    """An upload in several requests. The gateway keeps its bytes in a file, of which ``offset`` bytes are on the disk.

    When the upload has ended, ``upload_id`` names the model or data set made from it, or ``failure`` says why there is
    none.
    """

    __tablename__ = "resumable_uploads"
    __table_args__ = (Index(None, "owner", "expires_at"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(256))
    reading: Mapped[dict[str, Any]]
    digest: Mapped[str | None] = mapped_column(String(80))
    num_bytes: Mapped[int] = mapped_column(BigInteger)
    offset: Mapped[int] = mapped_column(BigInteger)
    upload_id: Mapped[str | None] = mapped_column(String(32))
    failure: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class Job(Table):
    """Work for a worker: a user's job, or the check of an upload (``upload_id``).

    ``attempt`` is the fencing token: every write of a worker names the attempt that the worker holds. ``charged``
    counts the attempts that ``max_attempts`` limits. It leaves out attempts that a worker gave back because it shut
    down. A trial of a sweep has the sweep's job as ``parent_id`` and its number among the trials as ``position``.
    ``last_event`` is the number of the newest event. ``checkpoint_digest`` names the file that the next attempt resumes
    from, and ``checkpoint_steps`` are the steps at that time. ``traceparent`` is the span in which the job was created,
    if the request was traced.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "state", "lease_until"),
        Index(None, "owner", "state"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    owner: Mapped[str] = mapped_column(String(64), server_default=LOCAL_OWNER)
    kind: Mapped[str] = mapped_column(String(16))
    state: Mapped[str] = mapped_column(String(16))
    upload_id: Mapped[str | None] = mapped_column(ForeignKey("uploads.id", ondelete="CASCADE"), index=True)
    model_id: Mapped[str | None] = mapped_column(String(32), index=True)
    dataset_id: Mapped[str | None] = mapped_column(String(32), index=True)
    parent_id: Mapped[str | None] = mapped_column(String(32), index=True)
    position: Mapped[int | None]
    spec: Mapped[dict[str, Any]]
    spec_digest: Mapped[str | None] = mapped_column(String(80), index=True)
    steps: Mapped[list[dict[str, Any]]]
    checkpoint_digest: Mapped[str | None] = mapped_column(String(80), index=True)
    checkpoint_bytes: Mapped[int | None] = mapped_column(BigInteger)
    checkpoint_steps: Mapped[list[dict[str, Any]] | None]
    failure: Mapped[dict[str, Any] | None]
    attempt: Mapped[int]
    charged: Mapped[int] = mapped_column(default=0, server_default="0")
    last_event: Mapped[int] = mapped_column(default=0, server_default="0")
    lease_until: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    pending_until: Mapped[datetime | None]
    expires_at: Mapped[datetime | None] = mapped_column(index=True)
    traceparent: Mapped[str | None] = mapped_column(String(trace_context.MAX_CHARACTERS), default=trace_context.current)


class JobLabel(Table):
    """One label of a job. It is a row of its own so that every database can filter by it."""

    __tablename__ = "job_labels"
    __table_args__ = (Index(None, "key", "value"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(String(256), primary_key=True)
    value: Mapped[str] = mapped_column(String(256))


class JobEventRow(Table):
    """One event of a job. ``number`` counts from 1 within the job."""

    __tablename__ = "job_events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    attempt: Mapped[int]
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))
    level: Mapped[str] = mapped_column(String(16))
    body: Mapped[dict[str, Any]]


class IdempotencyKey(Table):
    """The job that a request with an Idempotency-Key created. ``status`` is null until the request was answered."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index(None, "created_at"),)

    owner: Mapped[str] = mapped_column(String(64), primary_key=True)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    fingerprint: Mapped[str] = mapped_column(String(80))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    status: Mapped[int | None]
    body: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]


class Artifact(Table):
    """A file that a job produced for its user."""

    __tablename__ = "artifacts"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    media_type: Mapped[str] = mapped_column(String(128))
    digest: Mapped[str] = mapped_column(String(80), index=True)
    num_bytes: Mapped[int] = mapped_column(BigInteger)


class BlobHold(Table):
    """A digest that a job's files will have.

    It keeps the bytes in the store until the rows of the files are written.
    """

    __tablename__ = "blob_holds"

    digest: Mapped[str] = mapped_column(String(80), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    until: Mapped[datetime]


class Worker(Table):
    """A worker process and the time of its last heartbeat."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(128), primary_key=True)
    queues: Mapped[str] = mapped_column(String(64))
    sandbox: Mapped[str | None] = mapped_column(String(256))
    seen_at: Mapped[datetime]


class Tally(Table):
    """A counter over all workers. It only grows, also when the jobs that it counts are deleted."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    labels: Mapped[str] = mapped_column(String(200), primary_key=True)
    value: Mapped[float] = mapped_column(Double)
