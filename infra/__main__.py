"""Commands of an installation.

``python -m infra migrate`` brings the tables to the newest version, and fails if a newer
version of the program wrote them. ``python -m infra seen`` fails unless a worker of
this host has had a heartbeat lately: a health check for containers, where each worker has its own host name. ``python
-m infra collect`` removes what has expired and bytes that no row needs.
"""

import argparse
import socket
import sys
from collections.abc import Sequence
from dataclasses import asdict

from infra.cleanup.garbage_collection import collect
from infra.db.database import Database, now
from infra.db.schema import WrongSchema
from infra.jobs import workers
from infra.settings import Settings
from infra.storage.store import Store
from infra.telemetry import logs

SEEN_WITHIN_SWEEPS = 3
"""How many heartbeats a worker may miss before it counts as dead. The gateway's readiness allows the same."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command. ``seen`` exits with code 1 if no worker of this host was seen lately."""
    parser = argparse.ArgumentParser(prog="python -m infra", description="Chores of an installation.")
    parser.add_argument("chore", choices=["migrate", "seen", "collect"], nargs="?", default="migrate")
    options = parser.parse_args(arguments)
    settings = Settings()
    logs.configure(settings.log_format, settings.log_level)
    database = Database(settings.database, answer_seconds=settings.answer_seconds)
    try:
        if options.chore == "migrate":
            _migrate(database)
        elif options.chore == "collect":
            store = Store.from_url(settings.store, answer_seconds=settings.answer_seconds)
            found = collect(database, store, grace_seconds=settings.collect_grace_seconds, now=now())
            sys.stdout.write(", ".join(f"{name} {count}" for name, count in asdict(found).items()) + "\n")
        elif not _seen(database, within_seconds=SEEN_WITHIN_SWEEPS * settings.sweep_seconds):
            sys.exit(f"no worker of {socket.gethostname()} was seen lately")
    finally:
        database.close()


def _migrate(database: Database) -> None:
    try:
        database.migrate()
    except WrongSchema as fault:
        sys.exit(" ".join([fault.detail, *fault.suggestions]))


def _seen(database: Database, *, within_seconds: float) -> bool:
    with database.read() as session:
        rows = workers.alive(session, within_seconds=within_seconds)
        return any(row.id.startswith(f"{socket.gethostname()}-") for row in rows)


if __name__ == "__main__":
    main()
