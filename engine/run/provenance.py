"""Where a report comes from: the job, the files by digest, and how the data was read."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from secateur.reports.report import FileDigest, Provenance
from secateur.specs.reading import Reading
from secateur.specs.spec import Recipe
from secateur.version import VERSION


def provenance(recipe: Recipe, *, model: Path, dataset: Path, reading: Reading, job_id: str | None) -> Provenance:
    """All that a replay needs besides the recipe and the two files.

    Args:
        recipe: its scale, if it has one, is the one that was used.
        model: the uploaded model.
        dataset: the uploaded data set.
        reading: the declarations of the data set.
        job_id: None outside the service.
    """
    return Provenance(
        job_id=job_id,
        created_at=datetime.now(UTC).replace(microsecond=0),
        version=VERSION,
        model=digest_of(model),
        dataset=digest_of(dataset),
        reading=reading.model_copy(update={"scale": recipe.data.scale or reading.scale}),
    )


def digest_of(path: Path) -> FileDigest:
    """Name, SHA-256 and size of a file, which may be larger than memory."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return FileDigest(name=path.name, digest=f"sha256:{digest}", num_bytes=path.stat().st_size)
