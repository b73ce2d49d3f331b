"""``secateur keys``: make, list, rotate and revoke API keys, with an admin's key."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from secateur.cli.options import DEFAULT_URL, ApiKey, Url
from secateur.client.api import Secateur
from secateur.client.views import NewKey

KeyId = Annotated[str, typer.Argument(metavar="KEY", help="The id of a key, such as key_3f9c...")]

app = typer.Typer(no_args_is_help=True, help="API keys, for admins.")
console = Console()
errors = Console(stderr=True)


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for.")],
    owner: Annotated[str | None, typer.Option(help="Whose things it works on. Default: yours.")] = None,
    scope: Annotated[list[str] | None, typer.Option(help="read, write, admin or metrics. Default: write.")] = None,
    days: Annotated[float | None, typer.Option(help="Expires after so many days. Default: never.")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Make a key. Its text is printed this once, alone on standard output."""
    with Secateur(url, api_key=api_key) as service:
        _show(service.create_key(name, owner=owner, scopes=scope or ("write",), expires_in_days=days))


@app.command(name="list")
def list_keys(url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """List the keys, newest first, revoked ones too."""
    with Secateur(url, api_key=api_key) as service:
        keys = service.keys()
    id_column = Column("id", min_width=24)  # an id that is cut cannot be copied
    table = Table(
        id_column, "prefix", "name", "owner", "scopes", "last used", Column("state", no_wrap=True, min_width=16)
    )
    for key in keys:
        used = f"{key.last_used_at:%Y-%m-%d %H:%M}" if key.last_used_at else "never"
        state = "revoked" if key.revoked_at else f"until {key.expires_at:%Y-%m-%d}" if key.expires_at else "valid"
        table.add_row(key.id, f"sk_{key.prefix}", escape(key.name), key.owner, ", ".join(key.scopes), used, state)
    console.print(table)


@app.command()
def rotate(
    key_id: KeyId,
    grace_seconds: Annotated[float, typer.Option(help="How long the secret before stays valid.")] = 86_400,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Give a key a new secret, printed this once."""
    with Secateur(url, api_key=api_key) as service:
        _show(service.rotate_key(key_id, grace_seconds=grace_seconds))


@app.command()
def revoke(key_id: KeyId, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Make a key unusable, for good."""
    with Secateur(url, api_key=api_key) as service:
        service.revoke_key(key_id)
    console.print(f"{key_id} is revoked")


def _show(key: NewKey) -> None:
    errors.print(f"{key.id} of {key.owner} ({', '.join(key.scopes)}); keep the text, it is shown this once:")
    typer.echo(key.key)
