"""The Celery side of a worker: one task, which passes a job's id to the supervisor.

The pool uses threads, because a task only watches over a child process, and threads share the flag that drains them.
TensorFlow is never imported in this process.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

from celery import Celery
from celery.worker import WorkController, state

from infra.broker import celery_app
from secateur.protocol.work import RUN_TASK

DRAIN_SECONDS = 20.0
"""How long draining may take. Jobs that are not returned to the queue by then are recovered when their lease
expires."""


def worker_app(broker_url: str, run: Callable[[str], None]) -> Celery:
    """Return a Celery application whose one task runs jobs. It has no remote control."""
    app = celery_app(broker_url)
    app.conf.update(worker_enable_remote_control=False, worker_send_task_events=False)

    def run_job(job_id: str) -> None:
        run(job_id)

    app.task(run_job, name=RUN_TASK)
    return app


def serve(app: Celery, queues: Sequence[str], *, slots: int, draining: threading.Event) -> None:
    """Take messages until SIGTERM or SIGINT, then drain and return. Call it from the main thread.

    A second signal has no effect, so that the jobs under way are still returned to the queue.
    """
    controller: Any = WorkController(
        app=app,
        pool_cls="threads",
        concurrency=slots,
        queues=list(queues),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        loglevel="INFO",
    )

    def drain(signum: int, frame: FrameType | None) -> None:
        if not draining.is_set():
            draining.set()
            state.should_stop = os.EX_OK
            backstop = threading.Timer(DRAIN_SECONDS, os._exit, [os.EX_SOFTWARE])
            backstop.daemon = True
            backstop.start()

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, drain)
    controller.start()
