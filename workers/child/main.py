"""The child's main: ``python -m workers.child KINDS RULES FD``. The only process that imports the engine.

First the process confines itself permanently (``workers.sandbox``). Then it imports what these kinds of job need, sends
Ready, reads one assignment from standard input, sends events to FD, and exits. So a child can be started before there
is a job for it. Standard input stays open while the parent lives. When it ends, the child exits.
"""

import logging
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from screening.costs import limited_to
from secateur.disk_full import lacks_room
from secateur.errors import InternalError, OutOfMemory, SecateurError, StorageFull
from secateur.protocol.progress import (
    EVENT,
    Event,
    Failed,
    ProducedFile,
    Ready,
    Saved,
    StepFinished,
    StepStarted,
    Succeeded,
)
from secateur.protocol.work import (
    CHECKPOINT,
    SUMMARY,
    CheckDataset,
    CheckModel,
    Compress,
    GatherTrials,
    MeasureBaseline,
    MeasureSensitivity,
    Search,
    WorkMessage,
)
from secateur.reports.summaries import encoded
from workers.child import log

if TYPE_CHECKING:
    from engine.checkpoint.sections import Checkpoint

Emit = Callable[[Event], None]
Run = Callable[[WorkMessage, Emit], Succeeded]


class EventWriter:
    """Writes events to the pipe, one line each, and remembers which step is running."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._pipe = os.fdopen(descriptor, "wb")
        self._lock = threading.Lock()
        self.step: str | None = None

    def emit(self, event: Event) -> None:
        """Write one event. Blocks while the parent is slow to read."""
        match event:
            case StepStarted():
                self.step = event.step
            case StepFinished():
                self.step = None
        with self._lock:
            self._pipe.write(EVENT.dump_json(event) + b"\n")
            self._pipe.flush()


def _model_checker() -> Run:
    import engine.inspection.compare  # noqa: F401
    from engine.inspection.inspect import inspect_model

    def run(order: WorkMessage, emit: Emit) -> Succeeded:
        assignment = order.assignment
        assert isinstance(assignment, CheckModel)
        Path(SUMMARY).write_bytes(encoded(inspect_model(Path(assignment.model))))
        return Succeeded()

    return _as_one_step(run)


def _dataset_checker() -> Run:
    from engine.inspection.inspect import inspect_dataset

    def run(order: WorkMessage, emit: Emit) -> Succeeded:
        assignment = order.assignment
        assert isinstance(assignment, CheckDataset)
        Path(SUMMARY).write_bytes(encoded(inspect_dataset(Path(assignment.dataset), assignment.reading)))
        return Succeeded()

    return _as_one_step(run)


def _compressor() -> Run:
    from engine.pipeline.compress import compress

    def run(order: WorkMessage, emit: Emit) -> Succeeded:
        assignment = order.assignment
        assert isinstance(assignment, Compress)
        baseline = assignment.baseline if assignment.baseline and Path(assignment.baseline).is_file() else None
        known_baseline = None if baseline is None else Path(baseline)
        return _leaving_files(partial(compress, known_baseline=known_baseline))(order, emit)

    return run


def _sensitivity_measurer() -> Run:
    from engine.studies.sensitivity import measure_sensitivity

    return _leaving_files(measure_sensitivity)


def _searcher() -> Run:
    from engine.studies.search import search

    return _leaving_files(search)


def _sweeper() -> Run:
    from engine.studies.sweep import gather, measure_baseline

    def run(order: WorkMessage, emit: Emit) -> Succeeded:
        assignment = order.assignment
        assert isinstance(assignment, MeasureBaseline | GatherTrials)
        recipe, out = assignment.spec.recipe(), Path(assignment.out)
        if isinstance(assignment, MeasureBaseline):
            model, dataset = Path(assignment.model), Path(assignment.dataset)
            left = measure_baseline(
                recipe, model=model, dataset=dataset, reading=assignment.reading, out=out, emit=emit
            )
        else:
            left = gather(recipe, assignment, out=out, emit=emit)
        return Succeeded(files=left)

    return run


RUNNERS: dict[str, Callable[[], Run]] = {
    "check_model": _model_checker,
    "check_dataset": _dataset_checker,
    "compress": _compressor,
    "sensitivity": _sensitivity_measurer,
    "sweep": _sweeper,
    "search": _searcher,
}
"""For each kind of job: a function that imports what the kind needs, and returns the function that runs it."""


def _leaving_files(work: Callable[..., tuple[ProducedFile, ...]]) -> Run:
    def run(order: WorkMessage, emit: Emit) -> Succeeded:
        assignment = order.assignment
        assert isinstance(assignment, Compress | MeasureSensitivity | Search)
        files = work(
            assignment.spec.recipe(),
            model=Path(assignment.model),
            dataset=Path(assignment.dataset),
            reading=assignment.reading,
            out=Path(assignment.out),
            emit=emit,
            known=tuple(map(Path, assignment.sensitivity)),
            checkpoint=_checkpoint(order, assignment, emit),
            job_id=assignment.job_id,
        )
        return Succeeded(files=files)

    return run


def _checkpoint(order: WorkMessage, assignment: Compress | MeasureSensitivity | Search, emit: Emit) -> "Checkpoint":
    """Return the checkpoint to resume from, with the file that later checkpoints are written to."""
    from engine.checkpoint import file
    from engine.checkpoint.sections import Checkpoint

    recipe, every = assignment.spec.recipe(), order.checkpoint_seconds
    writer = None
    if every is not None:
        writer = file.CheckpointFile(Path(CHECKPOINT), recipe, every_seconds=every, announce=lambda: emit(Saved()))
    return Checkpoint(writer, {} if assignment.earlier is None else file.read(Path(assignment.earlier), recipe))


def _as_one_step(run: Run) -> Run:
    def stepped(order: WorkMessage, emit: Emit) -> Succeeded:
        emit(StepStarted(step="check"))
        began = time.monotonic()
        result = run(order, emit)
        emit(StepFinished(step="check", seconds=time.monotonic() - began))
        return result

    return stepped


def as_error(fault: BaseException) -> SecateurError:
    """Return the error of ``secateur.errors`` for an exception of the engine."""
    if lacks_room(fault):  # first: a file that could not be written completely looks damaged to its reader
        return StorageFull(
            "The worker's disk has no space for the files of the job.",
            suggestions=["Try again later, or tell the operator: the disk of SECATEUR_SCRATCH_DIR is full."],
        )
    if isinstance(fault, SecateurError):
        return fault
    if isinstance(fault, MemoryError) or type(fault).__name__ == "ResourceExhaustedError":
        return OutOfMemory(
            "The job asked for more memory than there is for it.",
            suggestions=[
                "Set a smaller training.batch_size, or fewer samples where a spec has them.",
                "Use a smaller model or data set, or ask the operator for workers with more memory.",
            ],
        )
    return InternalError(
        f"{type(fault).__name__}: {str(fault)[:1000]}",
        suggestions=["Try again; when it fails the same way, give the job's id to the operator."],
    )


def _end_with_parent() -> None:
    """Exit at the end of standard input, which ends only when the parent has died."""
    while os.read(0, 1024):
        pass
    os._exit(1)


def _limit_processor_time(seconds: float) -> None:
    """Let the kernel kill this process after ``seconds`` more processor seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = round(used.ru_utime + used.ru_stime + seconds) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))


def serve(kinds: Sequence[str], events: EventWriter) -> None:
    """Run one assignment of one of these kinds, and send how it ended."""
    try:
        runners = {kind: RUNNERS[kind]() for kind in kinds}
        log.forward_logs(events.emit)
        events.emit(Ready())
        with open(0, "rb", buffering=0, closefd=False) as stdin:
            line = stdin.readline()
        if not line:
            return
        threading.Thread(target=_end_with_parent, daemon=True).start()
        order = WorkMessage.model_validate_json(line)
        if order.processor_seconds is not None:
            _limit_processor_time(order.processor_seconds)
        with limited_to(order.cost_bounds):
            result: Event = runners[order.assignment.kind](order, events.emit)
    except Exception as fault:  # noqa: BLE001 - every exception of the engine must reach the user as a failure
        traceback.print_exc()
        error = as_error(fault)
        if error.blame == "service":
            logging.getLogger(__name__).error("".join(traceback.format_exception(fault)[-3:]))
        result = Failed(failure=error.failure(events.step))
    events.emit(result)


def confine(rules: str, pipe: int) -> None:
    """Confine this process. Before that, start a confined process that reads HDF5 files: later none can be started."""
    if rules == "none":
        return
    from engine.importers.formats import probe
    from workers.sandbox.confinement import Confinement, enter
    from workers.sandbox.identity import die_with_parent

    confinement, parent = Confinement.from_json(rules), os.getpid()

    def confine_the_reader() -> None:
        os.close(pipe)
        with open(os.devnull, "r+b") as nothing:
            for descriptor in range(3):
                os.dup2(nothing.fileno(), descriptor)
        die_with_parent(parent)
        enter(confinement)

    probe.stand_by(confine_the_reader)
    enter(confinement)


def main(arguments: Sequence[str]) -> None:
    """Serve one job, then exit without cleaning up: native libraries may hang or crash when they are torn down."""
    kinds, rules, descriptor = arguments
    confine(rules, int(descriptor))
    serve(kinds.split(","), EventWriter(int(descriptor)))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
