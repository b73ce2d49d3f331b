"""Refuses to start a worker on a database whose tables are not those that this program needs."""

import os
import sys

from infra.db.database import Database
from infra.db.schema import WrongSchema
from infra.telemetry.logs import logger
from secateur.errors import ServiceError


def exit_unless_current(database: Database) -> None:
    """Exit with code 78 if the database has tables of an older or a newer version, or none.

    A database that does not answer is no reason to exit: the worker waits for it as it does later.
    """
    try:
        database.ping()
    except WrongSchema as fault:
        logger("workers").error("wrong database", fault=fault.detail, suggestions=list(fault.suggestions))
        sys.exit(os.EX_CONFIG)
    except ServiceError as fault:
        logger("workers").warning("the database is not there yet", fault=fault.detail)
