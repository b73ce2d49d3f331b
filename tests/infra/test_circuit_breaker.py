"""Parts that hang instead of refusing: each wait has an end, and few wait."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, make_url, select, text

import screening
from infra.broker import Publisher, celery_app
from infra.circuit_breaker import PAUSE_SECONDS, CircuitBreaker
from infra.db import locks
from infra.db.database import MIGRATION_LOCK, Database
from infra.db.tables import Job
from infra.storage.store import Store
from infra.storage.timeouts import call_with_timeout
from secateur.errors import Unavailable
from stack.broker import broker_url
from tests.servers import Servers
from tests.waiting import eventually
from tests.wire import Wire, wire

SOON = 1.0
"""What a part has here to answer."""
PATIENCE = 30
"""Many times that: beyond it something waits for ever."""

pytestmark = pytest.mark.timeout(120)


class Clock:
    """Goes on when it is told to."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def silent() -> None:
    raise Unavailable("Still nothing.")


def test_while_a_part_is_silent_one_asks_and_all_others_are_refused_at_once() -> None:
    clock = Clock()
    breaker = CircuitBreaker("It does not answer.", clock)
    asked = list[str]()
    breaker.check(lambda: asked.append("while it answers"))
    breaker.open()

    with pytest.raises(Unavailable, match="It does not answer"):
        breaker.check(lambda: asked.append("too soon"))
    clock.seconds += PAUSE_SECONDS

    def ask() -> None:
        asked.append("first")
        with pytest.raises(Unavailable, match="It does not answer"):
            breaker.check(lambda: asked.append("beside another"))

    assert breaker.check(ask), "and tells its caller that it has just answered"
    assert not breaker.check(lambda: asked.append("when it has answered"))

    assert asked == ["first"]


def test_a_part_that_does_not_answer_when_asked_stays_silent_for_another_pause() -> None:
    clock = Clock()
    breaker = CircuitBreaker("It does not answer.", clock)
    breaker.open()
    clock.seconds += PAUSE_SECONDS

    with pytest.raises(Unavailable, match="Still nothing"):
        breaker.check(silent)
    with pytest.raises(Unavailable, match="It does not answer"):
        breaker.check(silent)

    assert breaker.is_open


def test_who_has_no_more_reason_to_wait_leaves_a_call_behind() -> None:
    """Otherwise a store that keeps silent keeps a job that its user cancelled."""
    answer = threading.Event()

    def told_to_stop() -> None:
        raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        call_with_timeout(lambda: answer.wait(PATIENCE), check=told_to_stop)

    assert not answer.is_set()


def test_a_call_that_fails_fails_for_who_waits_for_it() -> None:
    with pytest.raises(Unavailable, match="Still nothing"):
        call_with_timeout(silent, check=lambda: None)


def does(action: Callable[[], object]) -> bool:
    """Whether a part does something for us by now."""
    try:
        action()
    except Unavailable:
        return False
    return True


@contextmanager
def wired(url: str, **options: float) -> Iterator[tuple[Database, Wire]]:
    """A database behind a wire."""
    drawn = make_url(url)
    folder = Path(str(drawn.query["host"]))
    with wire(folder / ".s.PGSQL.5432") as between:
        over_tcp = drawn.set(host="127.0.0.1", port=between.port, query={})
        database = Database(over_tcp.render_as_string(hide_password=False), **options)
        try:
            yield database, between
        finally:
            database.close()


@pytest.mark.only("servers", "a file answers, or is locked")
def test_a_database_that_hangs_counts_as_away_until_it_answers(database_url: str) -> None:
    """Nobody waits for ever, those who come later do not wait at all, and it is used again without any help."""
    with wired(database_url, answer_seconds=SOON) as (database, between), ThreadPoolExecutor(40) as threads:
        database.migrate()
        with between.held():
            answers = [threads.submit(database.ping) for _ in range(40)]
            faults = [answer.exception(timeout=PATIENCE) for answer in answers]
            tried = between.num_accepted
            later = [threads.submit(database.ping) for _ in range(400)]
            faults += [answer.exception(timeout=PATIENCE) for answer in later]
            assert between.num_accepted - tried < len(later) / 4
        assert {type(fault) for fault in faults} == {Unavailable}

        assert eventually(lambda: does(database.ping), within_seconds=PATIENCE)
        answers = [threads.submit(database.ping) for _ in range(40)]
        assert [answer.exception(timeout=PATIENCE) for answer in answers] == [None] * 40


@pytest.mark.only("servers", "a file answers, or is locked")
def test_a_transaction_that_hangs_is_undone(database_url: str) -> None:
    """What was said to be unavailable must not happen later, when the server wakes up."""
    with wired(database_url, answer_seconds=SOON) as (database, between):
        with database.write() as session:
            session.execute(text("CREATE TABLE told (number integer)"))

        def tell() -> None:
            with database.write() as session:
                session.execute(text("INSERT INTO told VALUES (1)"))
                with between.held():
                    session.execute(text("INSERT INTO told VALUES (2)"))

        with pytest.raises(Unavailable):
            tell()

        def look() -> None:
            with database.write() as session:
                session.execute(text("LOCK TABLE told"))  # so what was under way has come to its end
                assert session.scalar(text("SELECT count(*) FROM told")) == 0

        assert eventually(lambda: does(look), within_seconds=PATIENCE)


@pytest.mark.only("servers", "SQLite waits for locks by itself")
def test_a_statement_that_takes_too_long_is_ended_by_the_server_and_a_migration_is_not(database_url: str) -> None:
    """Also one that waits for a lock; whoever brings tables to another version may have to wait, and to work, long."""
    database, other = (Database(database_url, answer_seconds=SOON) for _ in range(2))
    with other.engine.connect() as holder, holder.begin(), ThreadPoolExecutor() as threads:
        holder.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        migrated = threads.submit(database.migrate)
        with pytest.raises(Unavailable, match="busy"), database.write() as session:
            session.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK)))
        assert not migrated.done()
        holder.rollback()

        migrated.result(timeout=PATIENCE)

    database.ping()
    for each in (database, other):
        each.close()


@pytest.mark.only("servers", "SQLite waits for locks by itself")
def test_whoever_waits_for_somebody_elses_turn_waits_longer_than_for_an_answer(database_url: str) -> None:
    """To make a large upload a blob takes a bucket its time, and the owner's next request must not fail for it."""
    database = Database(database_url, answer_seconds=SOON)
    has_it = threading.Event()

    def wait_for_ones_turn() -> str:
        has_it.wait(PATIENCE)
        with database.write() as session:
            locks.hold(session, "owner", ["ann"])
            return str(session.scalar(text("SHOW statement_timeout")))

    with ThreadPoolExecutor() as threads:
        with database.write() as session:
            locks.hold(session, "owner", ["ann"])
            has_it.set()
            waiting = threads.submit(wait_for_ones_turn)
            for _ in range(5):  # in all longer than an answer may take, and never silent for so long
                time.sleep(SOON / 2)
                session.execute(text("SELECT 1"))
            assert not waiting.done()

        assert waiting.result(PATIENCE) == f"{round(SOON * 800)}ms", "and only for that"
    database.close()


@pytest.mark.only("servers", "only a server has sessions")
def test_a_server_lets_go_of_what_a_client_holds_that_is_gone(database_url: str) -> None:
    """Behind a network that is cut locks would be held for hours; what the URL says goes before."""
    own = f"{database_url}&options=-c%20statement_timeout%3D77"
    names = ("idle_in_transaction_session_timeout", "statement_timeout")
    found = dict[str, list[str]]()
    for url in (database_url, own):
        database = Database(url)
        with database.read() as session:
            found[url] = [str(session.scalar(text(f"SHOW {name}"))) for name in names]
        database.close()

    assert found == {database_url: ["5min", "8s"], own: ["5min", "77ms"]}


class Unasked(Publisher):
    """Sends without a look at the broker, as if that fell silent between the look and the message."""

    def ping(self) -> None:
        return


def test_a_broker_that_hangs_takes_no_message_and_keeps_nobody_for_long(broker: str) -> None:
    """Whoever submits a job is answered; a sweep sends the message later."""
    job, plug = Job(id="job_1", kind="compress"), Path(broker.removeprefix("redis+socket://"))
    with wire(plug, plug.with_name("wire.sock")) as between, ThreadPoolExecutor() as threads:
        publishers = [kind(celery_app(broker_url(plug.with_name("wire.sock")))) for kind in (Publisher, Unasked)]
        for publisher in publishers:
            publisher.publish(job)
        with between.held():
            sent = [threads.submit(publisher.publish, job) for publisher in publishers]
            sent.append(threads.submit(publishers[0].waiting, "jobs"))
            faults = [each.exception(timeout=PATIENCE / 2) for each in sent]
        assert [type(fault) for fault in faults] == [Unavailable] * 3

        assert eventually(lambda: does(lambda: publishers[0].publish(job)), within_seconds=PATIENCE)
        assert publishers[0].waiting("jobs") >= 3


@contextmanager
def wired_store(servers: Servers, url: str) -> Iterator[tuple[Store, Wire]]:
    """A bucket behind a wire."""
    parts = urlsplit(servers.s3)
    with wire((str(parts.hostname), int(parts.port or 0))) as between, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{between.port}")
        yield Store.from_url(url, answer_seconds=SOON), between


@pytest.mark.only("servers", "a folder answers")
def test_a_bucket_that_hangs_counts_as_away_until_it_answers(
    real_servers: Servers, s3_url: str, tmp_path: Path
) -> None:
    for name in ("file", "other"):
        (tmp_path / name).write_bytes(name.encode() * 100)
    with wired_store(real_servers, s3_url) as (store, between), ThreadPoolExecutor(8) as threads:
        digest, _ = store.put(tmp_path / "file")
        other, _ = store.put(tmp_path / "other")
        with between.held():
            calls = [threads.submit(store.ping), threads.submit(store.fetch, digest, tmp_path / "copy")]
            calls += [threads.submit(store.delete, other), threads.submit(store.put, tmp_path / "file")]
            faults = [call.exception(timeout=PATIENCE) for call in calls]
            faults += [threads.submit(store.ping).exception(timeout=PATIENCE) for _ in range(50)]
        assert {type(fault) for fault in faults} == {Unavailable}

        assert eventually(lambda: does(store.ping), within_seconds=PATIENCE)
        store.fetch(digest, tmp_path / "copy")


@pytest.mark.only("servers", "a folder answers")
def test_a_bucket_that_falls_silent_while_an_upload_is_screened_is_no_fault_of_the_upload(
    real_servers: Servers, s3_url: str
) -> None:
    async def content() -> AsyncIterator[bytes]:
        yield b"PK" + bytes(1 << 20)

    with wired_store(real_servers, s3_url) as (store, between):
        staged = asyncio.run(store.stage(content(), limit_bytes=1 << 21))

        with pytest.raises(Unavailable), store.open_staged(staged) as file, between.held():
            screening.screen("dataset", "data.npz", file)


@pytest.mark.only("servers", "a folder answers")
def test_a_transfer_may_take_longer_than_an_answer(real_servers: Servers, s3_url: str, tmp_path: Path) -> None:
    """Only silence counts: a large file over a slow wire is no fault."""
    (tmp_path / "file").write_bytes(b"0123456789abcdef" * (3 << 16))
    pause = threading.Event()
    with wired_store(real_servers, s3_url) as (store, _):
        digest, size = store.put(tmp_path / "file")

        store.fetch(digest, tmp_path / "copy", before_chunk=lambda: pause.wait(0.6))

    assert (tmp_path / "copy").stat().st_size == size
