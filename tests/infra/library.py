"""Uploads and files of jobs with their bytes in a store, as the gateway and workers leave them."""

import hashlib
import tempfile
from datetime import datetime
from pathlib import Path

from infra.cleanup import retention
from infra.db import locks
from infra.db.database import Database
from infra.db.tables import Artifact, Job, Upload
from infra.jobs import creation, lifecycle
from infra.jobs.lifecycle import Outcome, StoredFile
from infra.storage import blobs
from infra.storage.store import Store
from infra.uploads import uploads
from secateur.protocol.states import JobState, UploadState
from secateur.specs.reading import Reading
from tests.infra.rows import LEASE, at, spec


class Library:
    """A database and a store that belong together."""

    def __init__(self, database: Database, store: Store) -> None:
        self.database = database
        self.store = store

    def put(self, content: str) -> tuple[str, int]:
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(content.encode())
            return self.store.put(Path(file.name))

    def upload(self, content: str, owner: str = "local", *, expires_at: datetime | None = None) -> str:
        """Register content and put its bytes in place, as the gateway does."""
        with self.database.write() as session:
            locks.hold(session, "owner", [owner])
            row, _ = uploads.register(
                session,
                "model",
                digest=digest(content),
                num_bytes=len(content),
                name="m",
                format="keras",
                reading=Reading(),
                owner=owner,
                expires_at=expires_at,
                now=at(0),
            )
            self.put(content)
            return row.id

    def running(self, model_id: str = "mdl_" + "0" * 20, *, expires_at: datetime | None = None) -> Job:
        """A job that a worker has."""
        with self.database.write() as session:
            row = creation.create_job(session, spec(model_id=model_id), expires_at=expires_at, now=at(0))
            held = lifecycle.claim(session, row.id, lease_seconds=LEASE, now=at(0))
        assert held is not None
        return held

    def leave(self, held: Job, *contents: str) -> str:
        """End a job with these files, as a worker does: announced, stored, written down."""
        with self.database.write() as session:
            blobs.hold(session, held.id, map(digest, contents), now=at(0))
        files = [StoredFile(f"file-{number}", "x/y", *self.put(each)) for number, each in enumerate(contents)]
        with self.database.write() as session:
            outcome = Outcome(JobState.SUCCEEDED, files=files)
            assert lifecycle.finish(session, held.id, held.attempt, outcome, steps=[], now=at(1))
        return held.id

    def remove_upload(self, upload_id: str) -> None:
        with retention.removing(self.database, self.store) as removal:
            upload = removal.session.get(Upload, upload_id, with_for_update=True)
            if upload is not None:
                retention.remove_upload(removal, upload)

    def remove_job(self, job_id: str) -> None:
        with retention.removing(self.database, self.store) as removal:
            job = removal.session.get(Job, job_id, with_for_update=True)
            if job is not None:
                retention.remove_job(removal, job)

    def stored(self) -> set[str]:
        """Digests of all bytes that are there."""
        return {blob.digest for blob in self.store.blobs()}

    def needed(self) -> set[str]:
        """Digests of all bytes that rows promise."""
        with self.database.read() as session:
            kept = session.query(Upload.digest).filter(Upload.state != UploadState.REJECTED)
            return {row[0] for row in kept} | {row[0] for row in session.query(Artifact.digest)}


def digest(content: str) -> str:
    return f"sha256:{hashlib.sha256(content.encode()).hexdigest()}"
