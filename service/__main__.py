"""``python -m service``: the gateway as a process, from settings in the environment.

``python -m service openapi`` writes the OpenAPI document to standard output instead.
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

from infra import logs
from infra.settings import Settings
from service.app import create_app

GRACE_SECONDS = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what was asked for: serve, or print the document."""
    parser = argparse.ArgumentParser(prog="python -m service", description="The gateway.")
    parser.add_argument("action", choices=["serve", "openapi"], nargs="?", default="serve")
    if parser.parse_args(arguments).action == "openapi":
        sys.stdout.write(document())
    else:
        serve(Settings())


def document() -> str:
    """The OpenAPI document as it is kept in docs/openapi.json."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(Settings(data_dir=Path(folder), database_url="", broker_url="", store_url=""))
        return json.dumps(app.openapi(), indent=1, ensure_ascii=False) + "\n"


def serve(settings: Settings) -> None:
    """Bind, say where, serve until SIGTERM or SIGINT."""
    logs.configure(settings.log_format, settings.log_level)
    listener = bind(settings.host, settings.port)
    host, port = listener.getsockname()[:2]
    logs.logger("gateway").info("listening", url=f"http://{host}:{port}")
    app = create_app(settings)
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
    listener = socket.socket(family)
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
