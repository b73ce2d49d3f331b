"""A real worker process with a real broker; with the real engine where that is the point, else with a fake one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from sqlalchemy import text, update

from infra.broker import Publisher, celery_app, connect
from infra.db.database import now
from infra.db.tables import Job
from infra.jobs import lifecycle
from tests.badfiles import good_npz
from tests.workers.conftest import Bench, eventually
from tests.workers.fake_engine import FILES, UNTIL_CONTINUED
from workers.__main__ import main as work
from workers.background.reaper import RESEND_SECONDS

REAL, FAKE_ENGINE = "workers", "tests.workers.fake_engine"
"""The modules that a worker can be."""
JOBS = ("--queues", "jobs")

EMBEDDED = pytest.mark.only("embedded", reason="how processes start and end is the same with every database and store")


@contextmanager
def worker(
    bench: Bench, broker: str, *arguments: str, module: str = FAKE_ENGINE, lease_seconds: str = "2"
) -> Iterator[subprocess.Popen[bytes]]:
    """A worker process; ended when the block ends."""
    changes = {
        "SECATEUR_BROKER_URL": broker,
        "SECATEUR_MAX_ATTEMPTS": "3",
        "SECATEUR_HEARTBEAT_SECONDS": "0.1",
        "SECATEUR_LEASE_SECONDS": lease_seconds,
        "SECATEUR_SWEEP_SECONDS": "0.5",
        "SECATEUR_WARM_CHILDREN": str(module == REAL),
    }
    environment = os.environ | bench.settings.environment() | changes
    process = subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)
        for leftover in bench.scratch.glob(".lock"):
            leftover.unlink()


def send(bench: Bench, broker: str, job_id: str) -> None:
    """Publish a job as the gateway does."""
    Publisher(celery_app(broker)).publish(bench.job(job_id))
    with bench.database.write() as session:
        lifecycle.mark_published(session, job_id, now=now())


@EMBEDDED
def test_a_worker_runs_what_it_is_sent_and_never_loads_the_engine_itself(bench: Bench, broker: str) -> None:
    """TensorFlow in the worker process would be a fork bomb and a memory leak."""
    upload_id, check_id = bench.upload("dataset", good_npz())
    send(bench, broker, check_id)

    with worker(bench, broker, module=REAL) as process:
        assert eventually(lambda: bench.job(check_id).state == "succeeded", within_seconds=30)
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
        process.terminate()
        assert process.wait(timeout=10) == 0

    assert bench.find_upload("dataset", upload_id).state == "ready"
    assert "python" in mapped
    assert not any(name in mapped for name in ("tensorflow", "numpy", "h5py"))


def sent(bench: Bench, broker: str, inputs: dict[str, str], **labels: str) -> str:
    """A job with these labels that waits at the broker."""
    job_id = bench.submit(inputs, steps=[{"kind": "prune", "sparsity": 0.5}], labels=labels)
    send(bench, broker, job_id)
    return job_id


def begun(bench: Bench, broker: str, inputs: dict[str, str]) -> str:
    """A job that goes no further than its first step before ``go_on``."""
    return sent(bench, broker, inputs, **{UNTIL_CONTINUED: "yes"})


def is_at_work(bench: Bench, job_id: str) -> bool:
    return any(step["state"] == "running" for step in bench.job(job_id).steps)


def go_on(worker: subprocess.Popen[bytes]) -> None:
    for child in psutil.Process(worker.pid).children(recursive=True):
        child.send_signal(signal.SIGCONT)


@EMBEDDED
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_worker_that_is_told_to_stop_gives_its_job_back(bench: Bench, broker: str, number: signal.Signals) -> None:
    """A rolling update must cost nobody their job."""
    job_id = begun(bench, broker, bench.inputs())

    with worker(bench, broker, *JOBS) as process:
        assert eventually(lambda: is_at_work(bench, job_id))
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(number)
        process.send_signal(number)
        assert process.wait(timeout=20) == 0

    assert bench.job(job_id).state == "queued"
    assert eventually(lambda: not any(child.is_running() for child in children))


def test_the_job_of_a_killed_worker_is_done_by_the_next(bench: Bench, broker: str) -> None:
    """``kill -9`` is what out-of-memory killers and impatient operators do."""
    job_id = begun(bench, broker, bench.inputs())
    with worker(bench, broker, *JOBS) as first:
        assert eventually(lambda: is_at_work(bench, job_id))
        first.kill()

    with worker(bench, broker, *JOBS) as second:
        assert eventually(lambda: bench.job(job_id).attempt == 2 and is_at_work(bench, job_id))
        go_on(second)
        assert eventually(lambda: bench.job(job_id).state == "succeeded")

    assert bench.job(job_id).attempt == 2
    assert {artifact.name for artifact in bench.artifacts(job_id)} == set(FILES)


@EMBEDDED
def test_a_broker_that_lost_everything_loses_no_job(bench: Bench, broker: str) -> None:
    """The job that runs goes on, and the one that waits is sent again."""
    inputs = bench.inputs()
    runs = begun(bench, broker, inputs)
    with worker(bench, broker, *JOBS, "--slots", "1", lease_seconds="30") as process:
        assert eventually(lambda: is_at_work(bench, runs))
        waits = sent(bench, broker, inputs)

        with connect(broker) as client:
            client.flushall()
        with bench.database.write() as session:  # as if the while had passed after which a message counts as lost
            session.execute(update(Job).values(published_at=now() - timedelta(seconds=RESEND_SECONDS + 1)))
        go_on(process)

        assert eventually(lambda: {bench.job(job).state for job in (runs, waits)} == {"succeeded"})

    assert [bench.job(job).attempt for job in (runs, waits)] == [1, 1]


@pytest.mark.parametrize("arguments", [["--queues", "jobs,nonsense"], ["--slots", "0"]], ids=" ".join)
def test_a_worker_refuses_arguments_that_cannot_work(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A typo in a queue's name would leave jobs waiting for ever."""
    with pytest.raises(SystemExit) as ended:
        work(arguments)

    assert ended.value.code == 2
    assert "error: argument" in capsys.readouterr().err


@EMBEDDED
def test_a_worker_that_requires_a_sandbox_it_cannot_have_does_not_start(bench: Bench, tmp_path: Path) -> None:
    """The sentence in its log says what to install; running on would confine strangers' models by nothing."""
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "pyseccomp.py").write_text("raise RuntimeError('Unable to find libseccomp')")
    environment = (
        os.environ
        | bench.settings.environment()
        | {
            "SECATEUR_SANDBOX": "require",
            "PYTHONPATH": os.pathsep.join([str(broken), str(Path(__file__).parents[2])]),
        }
    )

    done = subprocess.run(
        [sys.executable, "-m", "workers"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )

    (bench.scratch / ".lock").unlink()
    assert done.returncode == os.EX_CONFIG
    assert "libseccomp.so.2 is not installed" in done.stdout + done.stderr


@EMBEDDED
@pytest.mark.parametrize("module", [FAKE_ENGINE, "workers.webhooks"])
def test_a_worker_does_not_start_on_tables_of_another_version(bench: Bench, broker: str, module: str) -> None:
    """It would fail each job with an error of SQL. Its supervisor starts it again until the database is migrated."""
    with bench.database.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0015'"))

    with worker(bench, broker, module=module) as process:
        assert process.wait(timeout=60) == os.EX_CONFIG
