"""``python -m service keys``: makes the first key of a service, where its database is, and sets what owners may use.

``/v1/keys`` and ``/v1/limits`` do the same for whoever has the key of an admin.
"""

import argparse
import sys
from collections.abc import Mapping
from datetime import timedelta
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from infra.accounts import api_keys, owner_limits
from infra.accounts.owner_limits import NAMES
from infra.db.database import Database, now
from infra.settings import Settings
from secateur.errors import SecateurError
from secateur.protocol.keys import LOCAL_OWNER, OWNER_WORDS, SCOPES, Owner
from service.views.owners import OwnLimits


def add_parser(actions: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``keys create`` and ``keys limits`` to the gateway's command line."""
    keys = actions.add_parser("keys", help="API keys, and limits of owners, in the database of the settings")
    kinds = keys.add_subparsers(dest="keys_action", required=True)
    limits = kinds.add_parser("limits", help="set and print what an owner may use; what is not named stays as it is")
    limits.add_argument("owner", type=_owner, help="whose limits")
    for name in NAMES:
        what = "a number, 0 for any, or default for what the settings say"
        limits.add_argument(f"--{name.replace('_', '-')}", type=_limit, metavar="N", help=what)
    create = kinds.add_parser("create", help="make a key, print it once")
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
        raise argparse.ArgumentTypeError(OWNER_WORDS) from fault


def _limit(text: str) -> int | Literal["default"]:
    if text == "default":
        return "default"
    if not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError("a number from 0, or default")
    return int(text)


def run(options: argparse.Namespace, settings: Settings) -> None:
    """Do what was asked for.

    Raises:
        SystemExit: the database does not answer, or the options are unusable, with what to do.
    """
    {"create": create, "limits": limit}[options.keys_action](options, settings)


def limit(options: argparse.Namespace, settings: Settings) -> None:
    """Set the limits that are given, and print all that hold for the owner, one a line."""
    database, given = Database(settings.database, answer_seconds=settings.answer_seconds), vars(options)
    try:
        with database.write() as session:
            row = owner_limits.get(session, options.owner, hold=True)
            own: dict[str, int | None] = {} if row is None else dict(owner_limits.overrides(row))
            named = {name: given[name] for name in NAMES if given[name] is not None}
            own |= {name: None if value == "default" else value for name, value in named.items()}
            _check(own)
            if named:
                owner_limits.put(session, options.owner, own, now=now())
            session.flush()
            found = owner_limits.effective(session, options.owner, settings=settings)
    except SecateurError as fault:
        raise SystemExit(f"{fault.detail} {' '.join(fault.suggestions)}") from fault
    finally:
        database.close()
    for name in NAMES:
        sys.stdout.write(f"{name} {getattr(found, name)}{'' if own.get(name) is None else ' (own)'}\n")


def _check(own: Mapping[str, int | None]) -> None:
    try:
        OwnLimits.model_validate(own)
    except ValidationError as fault:
        [first, *_] = fault.errors()
        raise SystemExit(f"--{str(first['loc'][0]).replace('_', '-')}: {first['msg']}") from fault


def create(options: argparse.Namespace, settings: Settings) -> None:
    """Write the key and print its text, alone on a line of standard output.

    Raises:
        SystemExit: the database does not answer, or the options are unusable, with what to do.
    """
    database = Database(settings.database, answer_seconds=settings.answer_seconds)
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
