"""What the service answers, as far as a client cares. Fields that a newer service adds are ignored."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from secateur.errors import Failure
from secateur.protocol.events import JobEvent
from secateur.protocol.progress import StepProgress
from secateur.protocol.states import JobState, UploadState


class View(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Upload(View):
    """A model or a data set."""

    id: str
    name: str
    digest: str
    num_bytes: int
    state: UploadState
    summary: Mapping[str, Any] | None = None
    failure: Failure | None = None


class Pieces(View):
    """An upload in pieces, and what became of it."""

    id: str
    upload_id: str | None = None
    failure: Failure | None = None


class Job(View):
    """A job, and how far it has come."""

    id: str
    kind: str
    state: JobState
    steps: tuple[StepProgress, ...]
    attempt: int
    queue_position: int | None = None
    failure: Failure | None = None
    parent_id: str | None = None
    deduplicated: bool = False


class JobList(View):
    """Some jobs, newest first."""

    data: tuple[Job, ...]
    next_cursor: str | None = None


class EventPage(View):
    """Some events of a job, in order."""

    data: tuple[JobEvent, ...]
    next_after: int
    ended: bool


class Artifact(View):
    """A file that a job left."""

    name: str
    media_type: str
    digest: str
    num_bytes: int


class ArtifactList(View):
    """All files of a job."""

    data: tuple[Artifact, ...]


class Readiness(View):
    """Whether the service takes and runs jobs; ``checks`` say what is missing."""

    status: str
    checks: Mapping[str, str]
    sandbox: Mapping[str, str] = Field(default_factory=dict)


class Key(View):
    """An API key, without its secret."""

    id: str
    prefix: str
    name: str
    owner: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None


class NewKey(Key):
    """A key that was just made or rotated, with its text."""

    key: str


class KeyList(View):
    """Some keys, newest first."""

    data: tuple[Key, ...]
    next_cursor: str | None = None


class Limits(View):
    """What an owner may use: what was set for it, and what holds. 0: as much as it likes."""

    owner: str
    own: Mapping[str, int | None]
    in_force: Mapping[str, int | None]


class LimitsList(View):
    """Some owners with limits of their own, by name."""

    data: tuple[Limits, ...]
    next_cursor: str | None = None
