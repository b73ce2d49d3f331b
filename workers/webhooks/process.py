"""``python -m workers.webhooks``: a process that delivers webhooks and runs no jobs. SIGTERM ends it.

For installations whose workers have no access to the network, because they load models of strangers. The process needs
the database and outgoing connections, but no broker, store or engine.
"""

import os
import signal
import socket
import threading

from infra.db.database import Database
from infra.jobs import workers
from infra.settings import Settings
from infra.telemetry import logs
from infra.telemetry.logs import logger
from infra.telemetry.traces import Traces
from secateur.errors import SecateurError
from workers.database_version import exit_unless_current
from workers.webhooks.delivery import WebhookDelivery, delivering


def main() -> None:
    """Deliver until a signal, and write heartbeats."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    settings = Settings()
    logs.configure(settings.log_format, settings.log_level)
    database = Database(settings.database, answer_seconds=settings.answer_seconds)
    exit_unless_current(database)
    name = f"{socket.gethostname()}-{os.getpid()}"
    logger("webhooks").info("delivering", targets=settings.webhook_targets)
    traces = Traces.from_environment("secateur-courier")
    with delivering(WebhookDelivery(database, settings.webhook_targets, traces=traces)):
        while True:
            _heartbeat(database, name, is_alive=True)
            if stop.wait(settings.sweep_seconds):
                break
    traces.close()
    _heartbeat(database, name, is_alive=False)
    database.close()


def _heartbeat(database: Database, name: str, *, is_alive: bool) -> None:
    try:
        with database.write() as session:
            if is_alive:
                workers.record_heartbeat(session, name, queues="")  # it serves no queue
            else:
                workers.remove_heartbeat(session, name)
    except SecateurError as fault:
        logger("webhooks").warning("heartbeat postponed", fault=fault.detail)
