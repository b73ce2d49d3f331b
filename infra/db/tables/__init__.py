"""The tables."""

from infra.db.tables.owners import ApiKey, Delivery, OwnerLimits, Webhook
from infra.db.tables.table import Table
from infra.db.tables.work import (
    Artifact,
    BlobHold,
    IdempotencyKey,
    Job,
    JobEventRow,
    JobLabel,
    ResumableUpload,
    Tally,
    Upload,
    Worker,
)

__all__ = [
    "ApiKey",
    "Artifact",
    "BlobHold",
    "Delivery",
    "IdempotencyKey",
    "Job",
    "JobEventRow",
    "JobLabel",
    "OwnerLimits",
    "ResumableUpload",
    "Table",
    "Tally",
    "Upload",
    "Webhook",
    "Worker",
]
