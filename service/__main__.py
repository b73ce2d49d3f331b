"""``python -m service``: the gateway as a process, from settings in the environment.

``python -m service openapi`` writes the OpenAPI document to standard output instead; ``python -m service keys create
--admin`` makes the first API key.
"""

import argparse
import asyncio
import json
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType

import uvicorn

from infra.settings import Settings
from infra.telemetry import logs
from service.accounts import keys_command
from service.app import create_app
from service.middleware.authentication import CREATE_COMMAND, is_open, may_bind

GRACE_SECONDS = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what was asked for: serve, print the document, or see to keys and limits."""
    parser = argparse.ArgumentParser(prog="python -m service", description="The gateway.")
    actions = parser.add_subparsers(dest="action")
    actions.add_parser("serve", help="serve until SIGTERM; also without any action")
    actions.add_parser("openapi", help="print the OpenAPI document")
    keys_command.add_parser(actions)
    options = parser.parse_args(arguments)
    if options.action == "openapi":
        sys.stdout.write(document())
    elif options.action == "keys":
        keys_command.run(options, Settings())
    else:
        serve(Settings())


def document() -> str:
    """The OpenAPI document as it is kept in docs/openapi.json."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder), database_url="", broker_url="", store_url=""))
        return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


def serve(settings: Settings) -> None:
    """Bind, say where, serve until SIGTERM or SIGINT.

    Raises:
        SystemExit: there are no keys and others could reach the address, or the port is taken; with what to do.
    """
    logs.configure(settings.log_format, settings.log_level)
    app = create_app(settings)
    if (reason := may_bind(settings.host, app.state.parts.database)) is not None:
        raise SystemExit(reason)
    listener = bind(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    logs.logger("gateway").info("listening", url=f"http://{host}:{port}")
    if is_open(settings.host, app.state.parts.database):
        logs.logger("gateway").warning("no API keys: open to everybody on this machine", first_key=CREATE_COMMAND)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        server_header=False,
    )
    with suppress(KeyboardInterrupt):  # uvicorn raises it again when it has shut down
        _Server(config, app.state.parts.leaving).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells those who wait that it was told to go, and waits for those that it cut off."""

    def __init__(self, config: uvicorn.Config, leaving: threading.Event) -> None:
        super().__init__(config)
        self._leaving = leaving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._leaving.set()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        requests = set(self.server_state.tasks)
        await super().shutdown(sockets)
        if requests:  # those that took too long were cancelled: let them take away what they had half written
            await asyncio.wait(requests, timeout=GRACE_SECONDS)


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        SystemExit: the port is taken, with what to do.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # named, since asyncio sends small answers at once (TCP_NODELAY) only where it reads that this is TCP
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as fault:
        advice = "Set SECATEUR_PORT to a free port, or to 0 for any."
        raise SystemExit(f"Cannot listen on {host}:{port}: {fault.strerror}. {advice}") from fault
    listener.listen(1024)
    return listener


if __name__ == "__main__":
    main()
