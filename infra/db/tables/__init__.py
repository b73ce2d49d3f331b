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
from infra.db.utc import UtcDateTime  # migrations know it by this module

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
    "UtcDateTime",
    "Webhook",
    "Worker",
]
