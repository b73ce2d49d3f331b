"""What a service tells others without being asked: kinds of notices, and what stands in one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

from secateur.frozen import Frozen
from secateur.protocol.states import JobState, UploadState

Subscription = Literal[
    "job.succeeded",
    "job.failed",
    "job.cancelled",
    "job.expired",
    "model.ready",
    "model.rejected",
    "dataset.ready",
    "dataset.rejected",
]
"""What can be asked for."""

NoticeType = Literal[Subscription, "ping"]
"""What comes: a ping, too, to whoever asks for one."""

OF_JOBS: Final[Mapping[JobState, NoticeType]] = {
    JobState.SUCCEEDED: "job.succeeded",
    JobState.FAILED: "job.failed",
    JobState.CANCELLED: "job.cancelled",
    JobState.EXPIRED: "job.expired",
}
OF_UPLOADS: Final[Mapping[tuple[str, UploadState], NoticeType]] = {
    ("model", UploadState.READY): "model.ready",
    ("model", UploadState.REJECTED): "model.rejected",
    ("dataset", UploadState.READY): "dataset.ready",
    ("dataset", UploadState.REJECTED): "dataset.rejected",
}


class Notice(Frozen):
    """The body of a delivery: thin, because whoever is told can ask for the rest with its own key."""

    type: NoticeType
    timestamp: datetime
    data: Mapping[str, Any]
