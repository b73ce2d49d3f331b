"""``python -m service keys``: makes the first key of a service, where its database is. ``POST /v1/keys`` makes more."""

import argparse
import sys
from datetime import timedelta

from pydantic import TypeAdapter, ValidationError

from infra import api_keys
from infra.database import Database, now
from infra.settings import Settings
from jobspec.errors import SecateurError
from jobspec.keys import LOCAL_OWNER, SCOPES, Owner


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``keys create`` to the gateway's command line."""
    keys = actions.add_parser("keys", help="make an API key in the database of the settings")
    create = keys.add_subparsers(dest="keys_action", required=True).add_parser(
        "create", help="make a key, print it once"
    )
    create.add_argument("--admin", action="store_true", help="the key may do everything; without it: --scopes")
    create.add_argument("--scopes", nargs="+", choices=SCOPES, default=["write"], help="default: write")
    create.add_argument("--name", default="made on the command line", help="what the key is for")
    create.add_argument(
        "--owner", type=_owner, default=LOCAL_OWNER, help=f"whose things it works on; default: {LOCAL_OWNER}"
    )
    create.add_argument("--days", type=float, default=None, help="expires after so many days; default: never")


def _owner(text: str) -> str:
    try:
        return TypeAdapter(Owner).validate_python(text)
    except ValidationError as fault:
        raise argparse.ArgumentTypeError("small letters, digits, dots, dashes and underscores; at most 63") from fault


def create(options: argparse.Namespace, settings: Settings) -> None:
    """Write the key and print its text, alone on a line of standard output.

    Raises:
        SystemExit: the database does not answer, or the options are unusable, with what to do.
    """
    database = Database(settings.database)
    at = now()
    try:
        with database.write() as session:
            key, text = api_keys.create(
                session,
                name=options.name,
                owner=options.owner,
                scopes=["admin"] if options.admin else options.scopes,
                expires_at=None if options.days is None else at + timedelta(days=options.days),
                now=at,
            )
    except SecateurError as fault:
        raise SystemExit(f"{fault.detail} {' '.join(fault.suggestions)}") from fault
    finally:
        database.close()
    sys.stderr.write(f"{key.id} of {key.owner} ({key.scopes}); keep the text, it is shown this once:\n")
    sys.stdout.write(f"{text}\n")
