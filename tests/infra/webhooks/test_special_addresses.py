"""Which addresses are of the internet: one of each row of IANA's registries is not."""

from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

import pytest

from infra.webhooks.outbound import allowed
from infra.webhooks.special_addresses import CLOUDS, SPECIAL, Block, embedded


@pytest.mark.parametrize("block", [*SPECIAL, *CLOUDS], ids=lambda block: f"{block.network} {block.name}")
def test_no_address_of_a_special_block_is_a_target(block: Block) -> None:
    """The first and the last address of the block."""
    network = ip_network(block.network)

    assert not allowed(network[0], "public")
    assert not allowed(network[-1], "public")


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("192.0.1.255", id="below a documentation block"),
        pytest.param("100.63.255.255", id="below the shared addresses"),
        pytest.param("100.128.0.0", id="above the shared addresses"),
        pytest.param("172.32.0.1", id="above a private block"),
        pytest.param("198.20.0.0", id="above benchmarking"),
        pytest.param("223.255.255.254", id="below multicast"),
        pytest.param("1.1.1.1", id="a resolver"),
        pytest.param("93.184.215.14", id="a web server"),
        pytest.param("2606:4700:4700::1111", id="a resolver by IPv6"),
        pytest.param("2a00:1450:4001:80b::200e", id="a web server by IPv6"),
        pytest.param("2001:200::1", id="above the protocol assignments"),
        pytest.param("2001:db9::1", id="above documentation"),
    ],
)
def test_an_ordinary_address_is_a_target(text: str) -> None:
    assert allowed(ip_address(text), "public")
    assert allowed(ip_address(text), "any")


@pytest.mark.parametrize("text", ["4000::1", "1000::1", "::2", "fe00::1"])
def test_an_address_that_nobody_was_given_is_no_target(text: str) -> None:
    """Only 2000::/3 is given out. The rest may be anything in a network of the operator."""
    assert not allowed(ip_address(text), "public")


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        pytest.param("::ffff:169.254.169.254", ["169.254.169.254"], id="mapped"),
        pytest.param("::169.254.169.254", ["169.254.169.254"], id="compatible"),
        pytest.param("2002:a9fe:a9fe::1", ["169.254.169.254"], id="6to4"),
        pytest.param("64:ff9b::169.254.169.254", ["169.254.169.254"], id="NAT64"),
        pytest.param("2001:0:5db8:d70e:0:0:5601:5601", ["93.184.215.14", "169.254.169.254"], id="Teredo"),
    ],
)
def test_an_embedded_address_is_judged_too(text: str, inner: list[str]) -> None:
    """Also where the operator has opened the own network: what is inside must never be where credentials are."""
    assert [str(found) for found in embedded(IPv6Address(text))] == inner
    assert not allowed(ip_address(text), "any")
    assert not allowed(ip_address(text), "public")


@pytest.mark.parametrize(
    "text", ["10.0.0.1", "192.168.1.1", "127.0.0.1", "100.64.0.1", "fd12::1", "::1", "::ffff:10.0.0.1"]
)
def test_an_operator_can_open_the_own_network(text: str) -> None:
    assert allowed(ip_address(text), "any")
    assert not allowed(ip_address(text), "public")


def test_the_tables_name_every_block_once() -> None:
    blocks = [block.network for block in (*SPECIAL, *CLOUDS)]

    assert len(blocks) == len(set(blocks))
    assert sum(isinstance(ip_network(network), IPv4Network) for network in blocks) == 30
