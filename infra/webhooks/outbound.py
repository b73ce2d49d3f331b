"""Requests to URLs of users. They cannot reach the operator's own network.

A name is resolved once, all its addresses are checked, and the connection goes to a checked address. So a name that
resolves differently a moment later has no effect (DNS rebinding). Redirects are never followed. See the SSRF prevention
cheat sheet of OWASP.
"""

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import urlsplit

import httpx

from infra.webhooks import dns, special_addresses
from infra.webhooks.dns import LookupFailed, Resolve
from infra.webhooks.special_addresses import Address
from secateur.errors import WebhookUrlRefused

Targets = Literal["public", "any"]
"""public: https to addresses of the internet. any: also http, and the operator's own networks."""

TIMEOUT_SECONDS: Final = 15.0
MAX_READ_BYTES: Final = 1024
"""How much of an answer is read, for the log of deliveries."""

PORTS: Final = {"https": 443, "http": 80}
SCHEMES: Final[Mapping[Targets, Sequence[str]]] = {"public": ("https",), "any": ("https", "http")}


@dataclass(frozen=True)
class Answer:
    """The answer to a request."""

    status: int
    retry_after: str | None
    text: str


class Unreachable(Exception):
    """The request was not answered; the message says why."""


def check_url(url: str, targets: Targets) -> None:
    """Check a URL without looking up its name.

    Raises:
        WebhookUrlRefused: the URL is not allowed; says how to fix it.
    """
    try:
        parts, _ = urlsplit(url), httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as fault:
        raise _refused("is not valid") from fault
    schemes = SCHEMES[targets]
    if parts.scheme not in schemes or not parts.hostname:
        raise _refused(f"must begin with {' or '.join(f'{scheme}://' for scheme in schemes)} and name a host")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise _refused("must have no user, password or fragment")
    try:
        port, address = parts.port, _address(parts.hostname)
    except ValueError as fault:
        raise _refused("has an invalid port") from fault
    if port == 0 or (address is not None and not allowed(address, targets)):
        raise _refused("leads to an address that webhooks must not reach")


def _refused(reason: str) -> WebhookUrlRefused:
    return WebhookUrlRefused(
        f"The URL of a webhook {reason}.",
        suggestions=[
            "Use an https:// URL that the internet can reach.",
            "For receivers in your own network the operator sets SECATEUR_WEBHOOK_TARGETS=any.",
        ],
    )


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def allowed(address: Address, targets: Targets) -> bool:
    """Return whether webhooks may be sent to an address. Link-local addresses never: clouds keep credentials there.

    An IPv6 address that embeds an IPv4 address is judged by both.

    >>> [allowed(ipaddress.ip_address(text), "public") for text in ("93.184.215.14", "10.0.0.1", "::ffff:127.0.0.1")]
    [True, False, False]
    >>> [allowed(ipaddress.ip_address(text), "any") for text in ("10.0.0.1", "169.254.169.254", "::")]
    [True, False, False]
    """
    if not all(allowed(inner, targets) for inner in special_addresses.embedded(address)):
        return False
    return special_addresses.is_public(address) if targets == "public" else special_addresses.is_usable(address)


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, targets: Targets, resolve: Resolve = dns.resolve
) -> Answer:
    """Send a body as JSON to a URL.

    Args:
        url: a URL that ``check_url`` accepts.
        body: the JSON.
        headers: in addition to the usual ones.
        targets: which addresses are allowed.
        resolve: looks up the name, once.

    Raises:
        Unreachable: there was no answer in time, or the address is not allowed.
    """
    named = httpx.URL(url)
    name = named.raw_host.decode()  # names in other alphabets as DNS and TLS spell them
    there = named.copy_with(host=str(_allowed_address(name, named.port or PORTS[named.scheme], targets, resolve)))
    sent = {
        "host": named.netloc.decode(),
        "content-type": "application/json",
        "user-agent": "Secateur-Webhooks/1",
        **headers,
    }
    try:
        return asyncio.run(_post(there, name, body, sent))
    except TimeoutError as fault:
        raise Unreachable(f"no answer within {TIMEOUT_SECONDS:.0f} seconds") from fault
    except (httpx.HTTPError, OSError) as fault:
        raise Unreachable(f"{type(fault).__name__}: {str(fault)[:200]}") from fault


async def _post(there: httpx.URL, name: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send the request. One time limit covers all of it, so that a slow answer cannot last for ever."""
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        httpx.AsyncClient(timeout=TIMEOUT_SECONDS, follow_redirects=False, trust_env=False) as client,
        client.stream("POST", there, content=body, headers=headers, extensions={"sni_hostname": name}) as response,
    ):
        text = b""
        async for chunk in response.aiter_raw():
            text = chunk[:MAX_READ_BYTES]
            break
        return Answer(response.status_code, response.headers.get("retry-after"), text.decode("utf-8", "replace"))


def _allowed_address(host: str, port: int, targets: Targets, resolve: Resolve) -> Address:
    try:
        found = resolve(host, port)
    except LookupFailed as fault:
        raise Unreachable(str(fault)) from fault
    addresses = [ipaddress.ip_address(address.partition("%")[0]) for address in found]
    if not addresses or not all(allowed(address, targets) for address in addresses):
        raise Unreachable(f"{host} leads to an address that webhooks must not reach")
    return addresses[0]
