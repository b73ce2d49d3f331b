"""What is read from the environment, and what of it is told to whom."""

import pytest
from pydantic import ValidationError

from infra.settings import Settings
from secateur.protocol.cost_bounds import CostBounds


@pytest.mark.parametrize("token", ["tooshort", "with a space in the middle", "with-an-\u00fcmlaut-in-it"])
def test_a_token_that_is_refused_is_not_printed(token: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error goes to the log of every process that reads the settings."""
    monkeypatch.setenv("SECATEUR_METRICS_TOKEN", token)

    with pytest.raises(ValidationError, match="metrics_token") as refusal:
        Settings()

    assert token not in str(refusal.value)


def test_a_token_is_not_shown_with_the_settings() -> None:
    token = "0123456789abcdef"

    assert token not in repr(Settings(metrics_token=token))


def test_every_bound_on_costs_is_a_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the same name behind MAX_, and as large where the operator sets none."""
    for number, name in enumerate(CostBounds.model_fields):
        monkeypatch.setenv(f"SECATEUR_MAX_{name.upper()}", str(number + 2))

    moved = Settings().cost_bounds

    assert tuple(moved.model_dump().values()) == tuple(range(2, 2 + len(CostBounds.model_fields)))
    assert Settings.model_construct().cost_bounds == CostBounds()
