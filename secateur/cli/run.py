"""From two files on disk to a folder of results, shown in the terminal as it happens."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.filesize import decimal
from rich.live import Live

from secateur.client.api import Secateur
from secateur.client.error_answers import from_failure
from secateur.client.uploading import PIECE_BYTES
from secateur.client.views import Job, Upload
from secateur.errors import SecateurError
from secateur.protocol.states import JobState
from secateur.reports.report import Report
from secateur.reports.search import SearchReport
from secateur.reports.sensitivity import SensitivityReport
from secateur.reports.sweep import SweepReport
from secateur.specs.reading import Reading
from secateur.text.terminal import progress, table


class JobEnded(Exception):
    """A job ended otherwise than with success."""

    def __init__(self, job: Job) -> None:
        super().__init__(f"{job.id} ended {job.state}")
        self.job = job

    @property
    def error(self) -> SecateurError | None:
        """What it failed of; None when it was cancelled."""
        return None if self.job.failure is None else from_failure(self.job.failure)


def run(
    service: Secateur,
    *,
    model: Path,
    dataset: Path,
    reading: Reading,
    spec: Mapping[str, Any],
    console: Console,
    force: bool = False,
    on_job: Callable[[Job], object] = lambda job: None,
) -> Job:
    """Upload, wait for the checks, run the job and show how it goes.

    Args:
        spec: the job's spec without the ids of what is uploaded.
        force: run it although the service has done exactly this already.

    Raises:
        JobEnded: the job failed, was cancelled or expired.
        SecateurError: an upload or the spec was refused, or the service does not answer.
    """
    model_id = service.upload_model(model, on_bytes=_shown(console, model)).id
    dataset_id = service.upload_dataset(dataset, on_bytes=_shown(console, dataset), **dict(reading)).id
    with console.status("checking what was uploaded"):
        service.wait_ready("model", model_id)
        service.wait_ready("dataset", dataset_id)
    job = service.submit({**spec, "model_id": model_id, "dataset_id": dataset_id}, force=force)
    on_job(job)
    console.print(f"[dim]{job.id} {'is here already' if job.deduplicated else 'accepted'}[/dim]")
    job = follow(service, job, console=console, on_job=on_job)
    if job.state != JobState.SUCCEEDED:
        raise JobEnded(job)
    return job


def send(
    service: Secateur,
    kind: Literal["model", "dataset"],
    file: Path,
    reading: Reading,
    *,
    resumable: bool,
    resume: str | None,
    console: Console,
) -> Upload:
    """Upload a file, in pieces when that is asked for or it is large; tells how to go on if it breaks off."""

    def begun(upload_id: str) -> None:
        console.print(f"[dim]if this breaks off: secateur upload {file} --kind {kind} --resume {upload_id}[/dim]")

    declared = dict(reading) if kind == "dataset" else {}
    if resumable or resume is not None or file.stat().st_size > PIECE_BYTES:
        shown = _shown(console, file)
        return service.upload_in_pieces(kind, file, resume=resume, on_begin=begun, on_bytes=shown, **declared)
    if kind == "model":
        return service.upload_model(file, on_bytes=_shown(console, file))
    return service.upload_dataset(file, on_bytes=_shown(console, file), **declared)


def follow(service: Secateur, job: Job, *, console: Console, on_job: Callable[[Job], object] = lambda job: None) -> Job:
    """Show the steps of a job until it ends."""
    with Live(progress(job.steps), console=console, refresh_per_second=8) as live:

        def show(now: Job) -> None:
            live.update(progress(now.steps))
            on_job(now)

        ended = service.wait(job.id, on_progress=show)
    if not console.is_terminal:
        console.line()  # there, Live leaves its last line open
    return ended


def collect(service: Secateur, job: Job, out: Path, *, console: Console) -> list[Path]:
    """Print the report and download every file of a job."""
    reports: dict[str, Callable[[str], Report | SensitivityReport | SweepReport | SearchReport]] = {
        "compress": service.report,
        "sensitivity": service.sensitivity_report,
        "sweep": service.sweep_report,
        "search": service.search_report,
    }
    console.print(table(reports[job.kind](job.id)))
    return [service.download(job.id, artifact, out) for artifact in service.artifacts(job.id)]


def _shown(console: Console, path: Path) -> Callable[[int, int], None]:
    """Tells once that a file has been sent."""

    def tell(sent: int, total: int) -> None:
        if sent == total:
            console.print(f"[dim]{path.name} sent, {decimal(total)}[/dim]")

    return tell
