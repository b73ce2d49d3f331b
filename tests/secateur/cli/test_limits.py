"""``secateur limits`` as an admin uses it, on a gateway that runs."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from secateur.cli.limits import app
from secateur.client.api import Secateur
from tests.backing import Backing
from tests.service.conftest import Running, serving


@pytest.fixture
def gateway(backing: Backing, tmp_path: Path) -> Iterator[Running]:
    """It allows each owner nine jobs that wait."""
    settings = backing.settings(
        tmp_path / "var", broker_url=f"redis+socket://{tmp_path}/no-broker.sock", quota_queued_jobs=9
    )
    with serving(settings) as running:
        yield running


def secateur(gateway: Running, *words: str) -> str:
    """What the command prints."""
    done = CliRunner().invoke(app, [*words, "--url", gateway.url], env={"COLUMNS": "80"})
    assert done.exit_code == 0, done.output
    return done.stdout


def shown(output: str, limit: str) -> list[str]:
    """The cells of a limit's row."""
    (row,) = [line for line in output.splitlines() if limit in line]
    return [cell.strip() for cell in row.strip("│ ").split("│")][1:]


def test_what_is_set_stays_until_it_is_set_again_or_removed(gateway: Running) -> None:
    """An admin names what changes, and nothing else does."""
    assert "No owner" in secateur(gateway, "list")
    assert shown(secateur(gateway, "show", "vision"), "queued_jobs") == ["9", "the settings"]

    secateur(gateway, "set", "vision", "--queued-jobs", "4", "--stored-bytes", "0")
    second = secateur(gateway, "set", "vision", "--running-jobs", "2", "--queued-jobs", "default")

    assert shown(second, "queued_jobs") == ["9", "the settings"]
    assert shown(second, "stored_bytes") == ["any", "an admin"]
    assert shown(second, "running_jobs") == ["2 at once", "an admin"]
    assert "vision │ stored_bytes any, running_jobs 2 at once" in secateur(gateway, "list")
    secateur(gateway, "remove", "vision")
    assert "No owner" in secateur(gateway, "list")


@pytest.mark.parametrize("words", [["--queued-jobs", "many"], ["--queued-jobs", "-1"], []], ids=" ".join)
def test_what_is_no_limit_is_wrong_usage(words: list[str]) -> None:
    """Nothing is asked of a service before."""
    done = CliRunner().invoke(app, ["set", "vision", *words, "--url", "http://127.0.0.1:1"])

    assert done.exit_code == 2
    assert "queued-jobs" in done.output


def test_a_list_of_more_than_a_page_is_whole(gateway: Running) -> None:
    """The client follows the cursors: nobody reads half a list as all of it."""
    owners = [f"team-{number:03d}" for number in range(203)]
    with Secateur(gateway.url) as service:
        for owner in owners:
            service.set_limits(owner, {"queued_jobs": 1})

        assert [limits.owner for limits in service.limits()] == owners
