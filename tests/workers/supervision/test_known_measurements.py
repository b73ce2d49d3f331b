"""What earlier jobs measured on the same model and data comes along with the inputs: artifacts are the cache."""

from typing import Any

import pytest

from tests.workers.conftest import Bench

MEASURED: dict[str, Any] = {"kind": "prune", "sparsity": 0.5, "distribution": "sensitivity"}


def left(bench: Bench, job_id: str) -> str:
    """What the job's child told of what it was given."""
    bench.supervisor("measure").run(job_id)
    assert bench.job(job_id).state == "succeeded", bench.job(job_id).failure
    (artifact,) = bench.artifacts(job_id)
    path = bench.scratch.parent / "read"
    bench.store.fetch(artifact.digest, path)
    return path.read_text()


@pytest.mark.parametrize(
    ("second", "known"),
    [
        pytest.param({"kind": "sensitivity"}, "1 of 1 known", id="another sensitivity job"),
        pytest.param({"steps": [MEASURED]}, "1 of 1 known", id="a compress job that needs it"),
        pytest.param(
            {"steps": [MEASURED | {"distribution": "erk"}]}, "0 of 0 known", id="a compress job that does not"
        ),
    ],
)
def test_a_job_is_given_what_was_measured_before(second: dict[str, Any], known: str, bench: Bench) -> None:
    inputs = bench.inputs()

    assert left(bench, bench.submit(inputs, kind="sensitivity")) == "0 of 0 known"
    assert left(bench, bench.submit(inputs, **second)) == known


def test_a_measurement_that_the_store_has_lost_costs_nobody_his_job(bench: Bench) -> None:
    """It is only a cache."""
    inputs = bench.inputs()
    first = bench.submit(inputs, kind="sensitivity")
    left(bench, first)
    bench.store.delete(bench.artifacts(first)[0].digest)

    assert left(bench, bench.submit(inputs, kind="sensitivity")) == "0 of 1 known"
