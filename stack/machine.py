"""Secateur on one machine: broker, two workers and the gateway, started in order and stopped in reverse.

There are two worker processes, so that the check of an upload never waits for a long job.
"""

import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from infra.broker import Publisher, celery_app
from infra.db.database import Database
from infra.db.schema import WrongSchema
from infra.settings import Settings
from secateur.client.api import Secateur
from secateur.errors import SecateurError, Unavailable
from stack.broker import broker_command, broker_url, socket_for
from stack.faults import StackError
from stack.folder import exclusive, make_private
from stack.interrupts import Interrupts
from stack.processes import Processes

BROKER_SECONDS = 10.0
READY_SECONDS = 90.0
POLL_SECONDS = 0.05
WORKER: Final = (sys.executable, "-m", "workers")


@dataclass(frozen=True)
class Machine:
    """A running stack. Call ``restart_dead`` regularly."""

    url: str
    processes: Processes

    def restart_dead(self) -> list[str]:
        """Restart parts that have died, and return their names."""
        return self.processes.restart_dead()


@contextmanager
def machine(settings: Settings, interrupts: Interrupts, *, worker: Sequence[str] = WORKER) -> Iterator[Machine]:
    """Run the stack, ready for requests, while the block runs. Stop all its processes at the end.

    Args:
        settings: of all parts.
        interrupts: of this process.
        worker: the command of a worker, without its queues.

    Raises:
        StackError: the port or the data folder is taken, or a part does not start.
        KeyboardInterrupt: a signal came; everything has been stopped.
    """
    port = usable_port(settings.host, settings.port)
    data_dir = settings.data_dir.resolve()
    with exclusive(data_dir), socket_for(data_dir / "broker") as broker_socket:
        url = settings.broker_url or broker_url(broker_socket)
        make_private(data_dir)
        fixed = settings.model_copy(update={"data_dir": data_dir, "broker_url": url, "port": port})
        environment = os.environ | fixed.environment()
        processes = Processes(data_dir / "logs", environment, interrupts)
        try:
            if not settings.broker_url:
                processes.start("broker", broker_command(broker_socket, data_dir / "broker"))
            _wait_for_broker(processes, url)
            migrate(settings)
            processes.start("worker-jobs", [*worker, "--queues", "jobs"])
            processes.start("worker-checks", [*worker, "--queues", "checks"])
            processes.start("gateway", [sys.executable, "-m", "service"])
            address = f"http://{settings.host}:{port}"
            _wait_until_ready(processes, address)
            yield Machine(address, processes)
        finally:
            with interrupts.held():
                processes.stop()


def usable_port(host: str, port: int) -> int:
    """Return the port if it is free; for 0, return a free port. Call it before any process is started.

    Raises:
        StackError: the port is taken.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            raise StackError(
                f"Cannot listen on {host}:{port}: {fault.strerror}.",
                "Stop the program that listens there, or choose another port with --port.",
            ) from fault
        found: int = probe.getsockname()[1]
        return found


def _wait_for_broker(processes: Processes, url: str) -> None:
    publisher, deadline = Publisher(celery_app(url)), time.monotonic() + BROKER_SECONDS
    while True:
        processes.check()
        try:
            return publisher.ping()
        except Unavailable as fault:
            if time.monotonic() > deadline:
                raise StackError("The broker does not answer.", "Look at SECATEUR_BROKER_URL.") from fault
            time.sleep(POLL_SECONDS)


def migrate(settings: Settings) -> None:
    """Bring the tables of the stack's database to the newest version.

    Raises:
        StackError: a newer version wrote the database, or it does not answer.
    """
    database = Database(settings.database, answer_seconds=settings.answer_seconds)
    try:
        database.migrate()
    except SecateurError as fault:
        fix = " ".join(fault.suggestions) if isinstance(fault, WrongSchema) else "Look at SECATEUR_DATABASE_URL."
        raise StackError(fault.detail, fix) from fault
    finally:
        database.close()


def _wait_until_ready(processes: Processes, url: str) -> None:
    deadline, missing = time.monotonic() + READY_SECONDS, "the gateway does not answer"
    with Secateur(url, api_key="") as service:
        while time.monotonic() < deadline:
            processes.check()
            try:
                readiness = service.readiness()
            except SecateurError:
                time.sleep(POLL_SECONDS)
                continue
            if readiness.status == "ready":
                return
            missing = "; ".join(f"{name}: {said}" for name, said in readiness.checks.items() if said != "ok")
            time.sleep(4 * POLL_SECONDS)
    raise StackError(f"Not ready after {READY_SECONDS:.0f} seconds: {missing}", "See the logs of the parts.")
