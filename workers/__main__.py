"""``python -m workers --queues checks,jobs --slots 1``: a worker process. SIGTERM gives its jobs back and ends it."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence

from infra import logs
from infra.broker import Publisher, celery_app
from infra.database import Database
from infra.settings import Settings
from infra.store import Store
from jobspec.work import QUEUES
from workers.app import serve, worker_app
from workers.attempt import Means
from workers.collector import Collector, collecting
from workers.scratch import scratch
from workers.supervisor import Supervisor
from workers.sweep import Sweep, sweeping


def main(arguments: Sequence[str] | None = None) -> None:
    """Wire everything together and serve until told to stop."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # until there is something to drain
    options = _parser().parse_args(arguments)
    settings = Settings()
    logs.configure(settings.log_format, settings.log_level)
    database, draining = Database(settings.database), threading.Event()
    means = Means(database, Store.from_url(settings.store), draining, memory_bytes=settings.job_memory_bytes)
    publisher = Publisher(celery_app(settings.broker))  # an app of its own: a worker's app knows only its own queues
    sweep = Sweep(database, publisher, settings, options.queues)
    collector = Collector(database, means.store, settings)
    with (
        scratch(settings.scratch) as folder,
        sweeping(sweep, every_seconds=settings.sweep_seconds),
        collecting(collector, every_seconds=settings.collect_seconds),
    ):
        supervisor = Supervisor(means, publisher, settings, folder)
        serve(worker_app(settings.broker, supervisor.run), options.queues, slots=options.slots, draining=draining)
    database.close()


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
