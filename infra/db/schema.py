"""The version of the tables: which one this program needs, and which one the database has."""

from typing import Final

from sqlalchemy import Connection, inspect, text

from secateur.errors import Unavailable

VERSIONS: Final = ("0015", "0016")
"""The versions that this program knows, the oldest first. It needs the last one, and can migrate from the others."""

MIGRATE: Final = "python -m infra migrate"


class WrongSchema(Unavailable):
    """The tables of the database are not those that this program needs; the message says what to do."""


def lacks_tables() -> WrongSchema:
    """Return the fault of a database without our tables."""
    return WrongSchema(f"The database lacks our tables: run `{MIGRATE}`.", suggestions=[f"Run {MIGRATE}."])


def lacks_columns() -> WrongSchema:
    """Return the fault of a query that names a column that the database lacks."""
    detail = "The tables of the database are of another version than this program."
    return WrongSchema(detail, suggestions=[f"Run {MIGRATE}, or the version of the program that wrote the database."])


def check_version(connection: Connection) -> None:
    """Compare the version of the database with that of this program.

    Raises:
        WrongSchema: the database has no tables, or those of an older or a newer version.
    """
    found, needed = version(connection), VERSIONS[-1]
    if found is None:
        raise lacks_tables()
    check_not_newer(found)
    if found != needed:
        raise WrongSchema(
            f"The database is at version {found}, and this program needs {needed}: run `{MIGRATE}`.",
            suggestions=[f"Run {MIGRATE}."],
        )


def check_not_newer(found: str | None) -> None:
    """Raise ``WrongSchema`` if this program cannot migrate from the version that was found; None: no tables."""
    if found is None or found in VERSIONS:
        return
    if found.isdigit() and found < VERSIONS[0]:
        raise WrongSchema(
            f"The database is at version {found}, from before the first release.",
            suggestions=[f"Create another database, and run {MIGRATE}."],
        )
    raise WrongSchema(
        f"A newer version of this program wrote the database: it is at version {found}, and this program knows "
        f"{VERSIONS[-1]}.",
        suggestions=["Run the newer version of this program, or restore a copy of the database from before it."],
    )


def version(connection: Connection) -> str | None:
    """Return the version of the database, as migrations write it; None if there is none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found
