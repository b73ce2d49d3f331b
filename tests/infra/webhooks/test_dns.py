"""Looking up a name ends in time, and whoever names slow name servers keeps only themselves waiting."""

from collections.abc import Iterator, Sequence
from threading import Event

import pytest

from infra.webhooks.dns import MAX_LOOKUPS, MAX_LOOKUPS_OF_AN_OWNER, LookupFailed, Lookups, resolve
from tests.waiting import eventually


class NameServer:
    """Knows every name; of slow ones it tells nothing until it may."""

    def __init__(self) -> None:
        self.may_answer = Event()
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host.startswith("slow"):
            assert self.may_answer.wait(30)
        if host.startswith("no"):
            raise LookupFailed(f"{host} has no address: never heard of it")
        return ["93.184.215.14"]


@pytest.fixture
def server() -> Iterator[NameServer]:
    server = NameServer()
    yield server
    server.may_answer.set()


def test_a_name_is_found_or_not(server: NameServer) -> None:
    lookups = Lookups(server)

    assert lookups.find("quick.example", 443, owner="ann") == ["93.184.215.14"]
    with pytest.raises(LookupFailed, match="never heard"):
        lookups.find("none.example", 443, owner="ann")
    assert eventually(lambda: lookups.num_under_way == 0, within_seconds=10)


def test_who_names_slow_servers_waits_in_vain_and_alone(server: NameServer) -> None:
    """The look-ups that were given up are still under way; more of the same owner would pile up."""
    lookups = Lookups(server, timeout_seconds=0.05)
    for number in range(10):
        with pytest.raises(LookupFailed):
            lookups.find(f"slow-{number}.example", 443, owner="mallory")

    assert len(server.asked) == lookups.num_under_way == MAX_LOOKUPS_OF_AN_OWNER
    assert Lookups(server).find("quick.example", 443, owner="ann") == ["93.184.215.14"]
    server.may_answer.set()
    assert eventually(lambda: lookups.num_under_way == 0, within_seconds=10)


def test_there_are_never_more_than_so_many_under_way(server: NameServer) -> None:
    lookups = Lookups(server, timeout_seconds=0.01)
    for number in range(2 * MAX_LOOKUPS):
        with pytest.raises(LookupFailed):
            lookups.find("slow.example", 443, owner=f"owner-{number}")

    assert lookups.num_under_way == MAX_LOOKUPS


def test_the_system_is_asked_for_real() -> None:
    assert set(resolve("localhost", 80)) & {"127.0.0.1", "::1"}
    with pytest.raises(LookupFailed, match="has no address"):
        resolve("a" * 64 + ".example", 80)
