"""Options that every command has: where the service is, and the key for it."""

from typing import Annotated

import typer

DEFAULT_URL = "http://127.0.0.1:8000"
Url = Annotated[str, typer.Option("--url", envvar="SECATEUR_URL", help="Where the service is.")]
ApiKey = Annotated[
    str | None,
    typer.Option("--api-key", envvar="SECATEUR_API_KEY", show_envvar=True, help="A key, if the service asks for one."),
]
