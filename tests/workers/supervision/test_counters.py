"""What attempts add to the counts, however they end."""

import pytest

from infra.db import counters
from tests.workers.conftest import Bench


def counts(bench: Bench) -> dict[counters.Key, float]:
    with bench.database.read() as session:
        return counters.read(session)


def test_an_attempt_counts_how_it_ended_how_long_it_waited_and_ran(bench: Bench) -> None:
    bench.supervisor("succeed").run(bench.compress())

    found = counts(bench)
    assert found["attempts", ("compress", "succeeded")] == 1
    for name in ("job_wait_seconds", "job_run_seconds"):
        assert sum(value for (counted, _), value in found.items() if counted == f"{name}_bucket") == 1
        assert 0 <= found[f"{name}_sum", ("compress",)] < 60


@pytest.mark.parametrize(("behaviour", "cause"), [("crash", "SIGKILL"), ("quit_quietly", "exit")])
def test_a_child_that_dies_counts_by_its_cause(bench: Bench, behaviour: str, cause: str) -> None:
    job_id = bench.compress()
    for _ in range(2):
        bench.supervisor(behaviour).run(job_id)

    found = counts(bench)
    assert found["child_deaths", (cause,)] == 2
    assert found["attempts", ("compress", "child_died")] == 2
    waits = [value for (counted, _), value in found.items() if counted == "job_wait_seconds_bucket"]
    assert sum(waits) == 1, "a job that is tried again waited once"
