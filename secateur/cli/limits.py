"""``secateur limits``: what single owners may use, where that is not what the settings say. With an admin's key."""

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from secateur.cli.options import DEFAULT_URL, ApiKey, Url
from secateur.client.api import Secateur
from secateur.client.views import Limits

UNITS = {
    "stored_bytes": "bytes",
    "requests_per_minute": "a minute",
    "max_upload_bytes": "bytes",
    "running_jobs": "at once",
}

OwnerName = Annotated[str, typer.Argument(metavar="OWNER", help="Whose limits, such as vision.")]

app = typer.Typer(no_args_is_help=True, help="Limits of single owners, for admins.")
console = Console()


def _limit(text: str) -> int | str:
    """A number, or ``default``."""
    if text == "default" or (text.isascii() and text.isdigit()):
        return text if text == "default" else int(text)
    raise typer.BadParameter(f"{text!r} is neither a whole number nor the word default")


def _option(what: str) -> Any:
    return typer.Option(parser=_limit, metavar="N", help=f"{what}; default: what the settings say.")


@app.command(name="list")
def list_limits(url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """List the owners that have limits of their own, by name."""
    with Secateur(url, api_key=api_key) as service:
        found = service.limits()
    if not found:
        console.print("No owner has limits of its own.")
        return
    table = Table("owner", "own limits")
    for limits in found:
        own = {name: value for name, value in limits.own.items() if value is not None}
        table.add_row(escape(limits.owner), ", ".join(f"{name} {_amount(name, value)}" for name, value in own.items()))
    console.print(table)


@app.command()
def show(owner: OwnerName, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Show what an owner may use, and what of it was set for this owner."""
    with Secateur(url, api_key=api_key) as service:
        _show(service.limits_of(owner))


@app.command(name="set")
def set_limits(
    owner: OwnerName,
    stored_bytes: Annotated[str | None, _option("Of uploads and files of jobs; 0: any")] = None,
    queued_jobs: Annotated[str | None, _option("Jobs that wait; 0: any")] = None,
    running_jobs: Annotated[str | None, _option("Jobs that run at once; 0: any")] = None,
    queued_checks: Annotated[str | None, _option("Uploads that wait for their check; 0: any")] = None,
    requests_per_minute: Annotated[str | None, _option("Requests; 0: any")] = None,
    max_upload_bytes: Annotated[str | None, _option("Of one upload, at least 1")] = None,
    url: Url = DEFAULT_URL,
    api_key: ApiKey = None,
) -> None:
    """Set limits of an owner. Those that are not named stay as they are; of two who do so at once the last one wins."""
    given: Mapping[str, str | int | None] = {
        "stored_bytes": stored_bytes,
        "queued_jobs": queued_jobs,
        "running_jobs": running_jobs,
        "queued_checks": queued_checks,
        "requests_per_minute": requests_per_minute,
        "max_upload_bytes": max_upload_bytes,
    }
    wanted = {name: None if value == "default" else int(value) for name, value in given.items() if value is not None}
    if not wanted:
        raise typer.BadParameter(f"name at least one of {', '.join('--' + name.replace('_', '-') for name in given)}")
    with Secateur(url, api_key=api_key) as service:
        _show(service.set_limits(owner, {**service.limits_of(owner).own, **wanted}))


@app.command()
def remove(owner: OwnerName, url: Url = DEFAULT_URL, api_key: ApiKey = None) -> None:
    """Let the settings say again what an owner may use."""
    with Secateur(url, api_key=api_key) as service:
        service.remove_limits(owner)
    console.print(f"{escape(owner)} has no limits of its own any more")


def _show(limits: Limits) -> None:
    table = Table("limit", "in force", "set by", title=escape(limits.owner), title_justify="left")
    for name, value in limits.in_force.items():
        table.add_row(name, _amount(name, value), "the settings" if limits.own.get(name) is None else "an admin")
    console.print(table)


def _amount(name: str, value: int | None) -> str:
    return f"{value} {UNITS.get(name, '')}".strip() if value else "any"
