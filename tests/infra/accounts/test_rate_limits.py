"""Counting requests: together over the broker, alone without it."""

from infra.accounts.rate_limits import Rates


def allowed(rates: Rates, owner: str, times: int, per_minute: int = 3) -> list[bool]:
    return [rates.take(owner, per_minute).is_allowed for _ in range(times)]


def test_requests_beyond_the_limit_are_told_and_others_are_not_concerned(broker: str) -> None:
    rates = Rates(broker)

    assert allowed(rates, "ann", 5) == [True, True, True, False, False]
    assert allowed(rates, "bob", 1) == [True]
    assert allowed(rates, "ann", 1, per_minute=4) == [True], "an admin gave more"


def test_several_gateways_count_together(broker: str) -> None:
    """Otherwise a limit would mean something else behind two of them."""
    one, two = Rates(broker), Rates(broker)

    assert allowed(one, "ann", 2) + allowed(two, "ann", 2) == [True, True, True, False]


def test_an_allowance_tells_what_is_left_and_for_how_long(broker: str) -> None:
    rates = Rates(broker)

    first, second = rates.take("ann", 10), rates.take("ann", 10)

    assert (first.limit, first.remaining, second.remaining) == (10, 9, 8)
    assert 0 < second.reset_seconds <= 120


def test_without_a_broker_a_gateway_counts_for_itself() -> None:
    """A broker that is down must neither close the API nor open it without limit."""
    rates = Rates("redis://127.0.0.1:1")

    assert allowed(rates, "ann", 3, per_minute=2) == [True, True, False]
