"""Asks every request for its API key and counts it, before anything of it is read and whatever it is for.

What is open is listed; what is not listed is not open, so that a new endpoint cannot be forgotten. A service that has
never had a key lets everybody in: it listens to its own machine only (``may_bind``).
"""

import hmac
import ipaddress
import threading
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from infra.accounts import api_keys, owner_limits
from infra.accounts.rate_limits import Allowance, Rates
from infra.db.database import Database, now
from infra.db.tables import ApiKey
from secateur.errors import RateLimited, ScopeMissing, SecateurError, ServiceError, Unauthorized, Unavailable
from secateur.protocol import keys
from service.accounts.caller import LOCAL, MONITOR, Caller
from service.components import Components
from service.http.problems import problem_response
from service.monitoring.bounded_checks import within_time_limit

OPEN_FILES = "/docs/static/"
OPEN = frozenset({"/", "/docs", "/redoc", "/openapi.json", "/health/live", "/health/ready"})
READING = frozenset({"GET", "HEAD", "OPTIONS"})
TELLS_ADMINS_MORE = "/health/ready"
FOR_MONITORS = "/metrics"
FOR_ADMINS = ("/v1/keys", "/v1/limits")
MOST_LOOKS = 8
"""For keys of those who ask for what is open to all."""

CREATE_COMMAND = "python -m service keys create --admin"


class Authentication:
    """Lets a request pass with its caller in ``request.state.caller``, or answers 401, 403 or 429."""

    def __init__(self, app: ASGIApp, parts: Components) -> None:
        self._app = app
        self._database = parts.database
        self._has_keys = not is_loopback(parts.settings.host)
        self._settings = parts.settings
        self._rates = Rates(parts.settings.broker)
        self._few = threading.BoundedSemaphore(MOST_LOOKS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == TELLS_ADMINS_MORE:
            scope.setdefault("state", {})["caller"] = await self._known(Request(scope))
        if scope["type"] == "http" and scope["path"] == FOR_MONITORS and self._is_monitor(Request(scope)):
            scope.setdefault("state", {})["caller"] = MONITOR
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http" or scope["path"] in OPEN or scope["path"].startswith(OPEN_FILES):
            await self._app(scope, receive, send)
            return
        request, allowance = Request(scope, receive), None
        try:
            caller, allowance = await run_in_threadpool(self._admit, request)
            if allowance is not None and not allowance.is_allowed:
                raise _TooMany(caller, allowance)
            _require(needed_scope(scope["method"], scope["path"]), caller)
        except SecateurError as error:
            answer = problem_response(request, error, getattr(error, "headers", None))
            await answer(scope, receive, _telling(send, allowance))
            return
        request.state.caller = caller
        await self._app(scope, receive, _telling(send, allowance))

    async def _known(self, request: Request) -> Caller | None:
        """Who asks, if that can be told soon; what is open stays open for a bad key, and without a database."""
        with suppress(Unauthorized, ServiceError):
            return (await within_time_limit(self._identify_one_of_few, request))[0]
        return None

    def _identify_one_of_few(self, request: Request) -> tuple[Caller, int]:
        """Anybody may ask, so that only so many threads may wait for the database; who comes beside is a stranger."""
        if not self._few.acquire(blocking=False):
            raise Unavailable("Too many ask at once.")
        try:
            return self._identify(request)
        finally:
            self._few.release()

    def _is_monitor(self, request: Request) -> bool:
        """Whether a request has the token that needs no database to be known."""
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        wanted = self._settings.metrics_token.encode()
        return bool(wanted) and scheme.lower() == "bearer" and hmac.compare_digest(text.strip().encode(), wanted)

    def _admit(self, request: Request) -> tuple[Caller, Allowance | None]:
        caller, per_minute = self._identify(request)
        return caller, self._rates.take(caller.owner, per_minute) if per_minute else None

    def _identify(self, request: Request) -> tuple[Caller, int]:
        """Who asks, and how many requests a minute it may send; 0: any number."""
        at, header = now(), request.headers.get("authorization")
        if header is None and self._has_keys:
            raise _keyless()
        with self._database.read() as session:
            self._has_keys = self._has_keys or api_keys.exist(session)
            if header is None and not self._has_keys:
                _check_own(request)
                return LOCAL, 0
            key = api_keys.identify(session, _bearer(header), now=at)
            limits = None if key is None else owner_limits.effective(session, key.owner, settings=self._settings)
        if key is None or limits is None:
            raise _Refused("The API key is unknown, expired or revoked.", 'error="invalid_token"')
        if api_keys.is_stale(key, now=at):
            self._touch(key)
        return Caller.of(key), limits.requests_per_minute

    def _touch(self, key: ApiKey) -> None:
        with suppress(ServiceError), self._database.write() as session:  # nobody should wait for this
            api_keys.touch(session, key.id, now=now())


def needed_scope(method: str, path: str) -> keys.Scope:
    """What a key must allow for this.

    >>> needed_scope("GET", "/v1/jobs"), needed_scope("DELETE", "/v1/models/mdl_0"), needed_scope("GET", "/v1/keys")
    ('read', 'write', 'admin')
    """
    if any(path == prefix or path.startswith(prefix + "/") for prefix in FOR_ADMINS):
        return "admin"
    if path == FOR_MONITORS:
        return "metrics"
    return "read" if method in READING else "write"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a listener on that address.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("0.0.0.0"), is_loopback("10.0.0.3")
    (True, True, False, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_open(host: str, database: Database) -> bool:
    """Whether a gateway on that address asks nobody for a key; not while its database does not answer."""
    if not is_loopback(host):
        return False
    with suppress(ServiceError), database.read() as session:
        return not api_keys.exist(session)
    return False


def may_bind(host: str, database: Database) -> str | None:
    """Why a gateway must not listen there, or None. A database that does not answer is no reason: the guard asks it."""
    if is_loopback(host):
        return None
    with suppress(ServiceError), database.read() as session:
        if not api_keys.exist(session):
            return (
                f"This service has no API keys, so it must not listen on {host}, where others could reach it. "
                f"Make the first key with: {CREATE_COMMAND}. Or leave SECATEUR_HOST at 127.0.0.1."
            )
    return None


def _check_own(request: Request) -> None:
    """Refuse what a web page from elsewhere makes a browser on this machine send: loopback alone does not keep it out.

    A page may send forms to any address, which its ``Origin`` tells, and may have its own name resolve to this machine
    (DNS rebinding), which ``Host`` tells.
    """
    for name, url in (("Host", f"//{request.headers.get('host', '')}"), ("Origin", request.headers.get("origin"))):
        if url is not None and not is_loopback(_host_of(url)):
            raise _Refused(f"Without keys the service answers to its own machine only, and {name} names another.")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def _bearer(header: str | None) -> str:
    scheme, _, text = (header or "").partition(" ")
    if header is None or scheme.lower() != "bearer":
        raise _keyless()
    return text.strip()


def _keyless() -> "_Refused":
    return _Refused("The request carries no API key.")


def _require(scope: keys.Scope, caller: Caller) -> None:
    if scope not in caller.scopes:
        raise _Lacking(scope)


def _telling(send: Send, allowance: Allowance | None) -> Send:
    """Sends answers with what is left (draft-ietf-httpapi-ratelimit-headers)."""
    if allowance is None:
        return send
    policy = f'"default";q={allowance.limit};w=60'
    left = f'"default";r={allowance.remaining};t={allowance.reset_seconds}'
    told = [(b"ratelimit-policy", policy.encode()), (b"ratelimit", left.encode())]

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *told]
        await send(message)

    return tell


class _TooMany(RateLimited):
    def __init__(self, caller: Caller, allowance: Allowance) -> None:
        super().__init__(
            f"{caller.owner} sent more than {allowance.limit} requests in a minute.",
            suggestions=["Wait as long as Retry-After says; GET /v1/jobs/{job_id}?wait=60 waits in one request."],
        )
        self.headers: Mapping[str, str] = {"Retry-After": str(allowance.reset_seconds)}


class _Refused(Unauthorized):
    def __init__(self, detail: str, more: str = "") -> None:
        hint = "Send the header Authorization: Bearer sk_...; an operator makes keys with POST /v1/keys."
        super().__init__(detail, suggestions=[hint])
        self.headers: Mapping[str, str] = {
            "WWW-Authenticate": ", ".join(filter(None, ('Bearer realm="secateur"', more)))
        }


class _Lacking(ScopeMissing):
    def __init__(self, scope: keys.Scope) -> None:
        super().__init__(f"The key lacks the scope {scope}.", suggestions=["Use a key that has it."])
        told = f'Bearer realm="secateur", error="insufficient_scope", scope="{scope}"'
        self.headers: Mapping[str, str] = {"WWW-Authenticate": told}
