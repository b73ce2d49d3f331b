"""Requests to a service, whose every error arrives as the exception that the service raised."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import httpx

from secateur.client import error_answers
from secateur.client.addresses import checked
from secateur.client.views import View
from secateur.errors import InternalError

CONNECT_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 90.0

V = TypeVar("V", bound=View)


class Connection:
    """A service under its address, asked with one key. Connects when it is first asked."""

    def __init__(self, base_url: str, *, api_key: str | None, transport: httpx.BaseTransport | None) -> None:
        """With this API key, else that of ``SECATEUR_API_KEY``; an empty one is none.

        Raises:
            InvalidRequest: the address is none, with what is wrong with it.
        """
        key = os.environ.get("SECATEUR_API_KEY", "") if api_key is None else api_key
        headers = {"Authorization": f"Bearer {key.strip()}"} if key.strip() else {}
        self.base_url = checked(base_url)
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(base_url=self.base_url, timeout=timeout, headers=headers, transport=transport)

    def close(self) -> None:
        """Let go of what is open."""
        self._http.close()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer, whatever it is.

        Raises:
            Unavailable: there is none.
        """
        with self._translated():
            return self._http.request(method, path, **options)

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """The answer to a request that went well. Raises what the service raised."""
        response = self.ask(method, path, **options)
        if not response.is_success:
            raise error_answers.from_response(response)
        return response

    def asked(self, method: str, path: str, *, view: type[V], **options: Any) -> V:
        """The answer to a request that went well, as what it should be."""
        return self.parse(self.send(method, path, **options), view)

    def get(self, path: str, view: type[V], **params: Any) -> V:
        """What lies at a path."""
        return self.asked("GET", path, view=view, params=params)

    def pages(self, path: str, view: type[V], **params: Any) -> Iterator[V]:
        """All pages of a list, one after the other. ``view`` has ``next_cursor``."""
        cursor: dict[str, str] = {}
        while True:
            page = self.get(path, view, limit=200, **params, **cursor)
            yield page
            if (following := getattr(page, "next_cursor", None)) is None:
                return
            cursor = {"cursor": following}

    def parse(self, response: httpx.Response, view: type[V]) -> V:
        """An answer as what it should be.

        Raises:
            InternalError: it is something else.
        """
        try:
            return view.model_validate_json(response.content)
        except ValueError as fault:
            raise InternalError(
                f"{response.url} does not answer like a Secateur service.",
                suggestions=[error_answers.ELSEWHERE],
            ) from fault

    def stream(self, path: str, piece_bytes: int) -> Iterator[bytes]:
        """What lies at a path, in pieces."""
        with self._translated(), self._http.stream("GET", path) as response:
            if not response.is_success:
                response.read()
                raise error_answers.from_response(response)
            yield from response.iter_bytes(piece_bytes)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as fault:
            raise error_answers.from_transport(fault, self.base_url) from fault
