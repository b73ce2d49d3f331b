"""``python -m workers --queues checks,jobs --slots 1``: a worker. SIGTERM returns its jobs to the queue and ends it."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from infra.broker import Publisher, celery_app
from infra.db.database import Database
from infra.settings import Settings
from infra.storage.store import Store
from infra.telemetry import logs
from infra.telemetry.logs import logger
from infra.telemetry.traces import Traces
from secateur.errors import SandboxMissing
from secateur.protocol.work import QUEUE_OF, QUEUES
from workers.app import serve, worker_app
from workers.background.garbage_collector import Collector, collecting
from workers.background.reaper import Reaper, reaping
from workers.database_version import exit_unless_current
from workers.sandbox.level import FULL, Sandbox, prepare_sandbox
from workers.sandbox.memory import limit_of
from workers.supervision.assignments import CheckTime
from workers.supervision.attempt import WorkerContext
from workers.supervision.checkpoints import CheckpointPolicy
from workers.supervision.children import Children, Command
from workers.supervision.claims import Claims
from workers.supervision.outputs import OutputLimits
from workers.supervision.process import child_command
from workers.supervision.scratch import scratch
from workers.supervision.supervisor import Supervisor
from workers.webhooks.delivery import WebhookDelivery, delivering


def main(arguments: Sequence[str] | None = None, *, command: Command = child_command) -> None:
    """Create the parts of a worker, and serve until a signal.

    Args:
        arguments: of the command line; None: those of this process.
        command: the program of a child process. Tests of whole services use one that needs no TensorFlow.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until ``serve`` installs its own handler
    options = _parser().parse_args(arguments)
    settings = Settings()
    logs.configure(settings.log_format, settings.log_level)
    database, store, draining = (
        Database(settings.database, answer_seconds=settings.answer_seconds),
        Store.from_url(settings.store, answer_seconds=settings.answer_seconds),
        threading.Event(),
    )
    exit_unless_current(database)
    publisher = Publisher(celery_app(settings.broker))  # a separate app: a worker's app knows only its own queues
    kinds = [kind for kind, queue in QUEUE_OF.items() if queue in options.queues]
    with scratch(settings.scratch) as folder, ExitStack() as opened:
        sandbox = _sandbox(settings, folder)
        children = Children(folder, sandbox, limit_of(settings.job_memory_bytes, slots=options.slots), command)
        reaper = Reaper(database, publisher, settings, options.queues, sandbox=sandbox.level)
        opened.enter_context(reaping(reaper, every_seconds=settings.sweep_seconds))
        opened.enter_context(collecting(Collector(database, store, settings), every_seconds=settings.collect_seconds))
        traces = Traces.from_environment("secateur-worker")
        opened.callback(traces.close)
        if settings.deliver_webhooks:
            opened.enter_context(delivering(WebhookDelivery(database, settings.webhook_targets, traces=traces)))
        if settings.warm_children:
            opened.enter_context(children.kept_warm(kinds, slots=options.slots, draining=draining))
        limits = OutputLimits(settings.job_output_files, settings.job_output_bytes)
        keeping = CheckpointPolicy(
            settings.checkpoint_seconds if settings.checkpoint_bytes else None, settings.checkpoint_bytes
        )
        context = WorkerContext(
            database,
            store,
            draining,
            children,
            limits,
            keeping,
            traces,
            cost_bounds=settings.cost_bounds,
            check_time=CheckTime(settings.check_seconds, settings.check_bytes_per_second),
        )
        supervisor = Supervisor(context, publisher, settings, Claims(database, settings))
        serve(worker_app(settings.broker, supervisor.run), options.queues, slots=options.slots, draining=draining)
    database.close()


def _sandbox(settings: Settings, folder: Path) -> Sandbox:
    """Prepare and attack the sandbox. Exit if the settings require a stronger one."""
    try:
        sandbox = prepare_sandbox(settings.sandbox, folder, file_bytes=settings.job_file_bytes)
    except SandboxMissing as fault:
        logger("workers").error("no sandbox", fault=fault.detail, suggestions=list(fault.suggestions))
        sys.exit(os.EX_CONFIG)
    log = logger("workers").info if sandbox.level == FULL else logger("workers").warning
    log("sandbox", level=sandbox.level, missing=list(sandbox.missing))
    return sandbox


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workers", description="Runs jobs from the queue.")
    parser.add_argument(
        "--queues", type=_queues, default=list(QUEUES), help=f"which queues to serve, of {', '.join(QUEUES)}"
    )
    parser.add_argument("--slots", type=_slots, default=1, help="how many jobs to run at the same time")
    return parser


def _queues(text: str) -> list[str]:
    names = text.split(",")
    unknown = sorted(set(names) - set(QUEUES))
    if unknown:
        raise argparse.ArgumentTypeError(f"no such queue: {', '.join(unknown)}; there are {', '.join(QUEUES)}")
    return names


def _slots(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a number from 1")
    return int(text)


if __name__ == "__main__":
    main()
