"""The Celery side of a worker: one task, which hands a job's id to the supervisor.

The pool is of threads: a task only watches over a process of its own, and threads share the flag that drains
them. Nothing of TensorFlow is ever imported here, so there is nothing that a fork could break.
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
"""How long jobs may take to be given back. Whoever is slower is left to its lease."""


def worker_app(broker_url: str, run: Callable[[str], None]) -> Celery:
    """A Celery application that runs jobs. It has the one task that exists, and no remote control."""
    app = celery_app(broker_url)
    app.conf.update(worker_enable_remote_control=False, worker_send_task_events=False)

    def run_job(job_id: str) -> None:
        run(job_id)

    app.task(run_job, name=RUN_TASK)
    return app


def serve(app: Celery, queues: Sequence[str], *, slots: int, draining: threading.Event) -> None:
    """Take messages until SIGTERM or SIGINT, then drain and return. Call it from the main thread.

    A second signal changes nothing: what is being given back should be.
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
