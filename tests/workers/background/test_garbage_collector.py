"""The collector of a worker: what dead workers left goes, what living ones have stays."""

from datetime import timedelta
from pathlib import Path

from infra.db.database import now
from infra.db.tables import Upload
from tests.workers.conftest import Bench, eventually
from workers.background.garbage_collector import Collector, collecting
from workers.supervision.scratch import scratch


def test_it_removes_what_has_expired_and_folders_of_dead_workers(bench: Bench, tmp_path: Path) -> None:
    upload_id, _ = bench.upload("model", b"old model")
    with bench.database.write() as session:
        session.get_one(Upload, upload_id).expires_at = now() - timedelta(seconds=1)
    folders = tmp_path / "folders"
    abandoned = folders / "worker-dead"
    (abandoned / "job").mkdir(parents=True)
    collector = Collector(bench.database, bench.store, bench.settings.model_copy(update={"scratch_dir": folders}))

    with scratch(folders) as own, collecting(collector, every_seconds=0.05):
        assert eventually(lambda: not abandoned.exists() and not bench.has_blob(b"old model"))
        assert own.exists()


def test_it_goes_on_after_a_fault(bench: Bench, tmp_path: Path) -> None:
    """A database that does not answer now does so later."""
    upload_id, _ = bench.upload("model", b"old model")
    ticks = 0

    class Failing(Collector):
        def tick(self) -> None:
            nonlocal ticks
            ticks += 1
            if ticks < 3:
                raise ZeroDivisionError
            super().tick()

    with bench.database.write() as session:
        session.get_one(Upload, upload_id).expires_at = now() - timedelta(seconds=1)
    settings = bench.settings.model_copy(update={"scratch_dir": tmp_path / "folders"})
    with collecting(Failing(bench.database, bench.store, settings), every_seconds=0.02):
        assert eventually(lambda: not bench.has_blob(b"old model"))
