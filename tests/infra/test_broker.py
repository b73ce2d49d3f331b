"""Messages reach the right queue, and a broker that is away is noticed at once."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.broker import Publisher, celery_app, connect
from infra.db.tables import Job
from secateur.errors import Unavailable
from secateur.protocol.work import RUN_TASK
from tests import valkey


@pytest.mark.parametrize(
    ("kind", "queue", "other"),
    [
        pytest.param("compress", "jobs", "checks", id="a user's job"),
        pytest.param("check_model", "checks", "jobs", id="the check of a model"),
        pytest.param("check_dataset", "checks", "jobs", id="the check of a data set"),
    ],
)
def test_a_message_arrives_in_the_queue_of_its_kind(broker: str, kind: str, queue: str, other: str) -> None:
    """Checks take seconds and jobs hours: they must not stand in one line."""
    publisher = Publisher(celery_app(broker))

    publisher.publish(Job(id="job_1", kind=kind))

    assert publisher.waiting(queue) == 1  # type: ignore[arg-type]
    assert publisher.waiting(other) == 0  # type: ignore[arg-type]


def test_a_message_carries_an_id_and_nothing_more(broker: str) -> None:
    """What stands in a row must not stand in a message as well: it would get old there."""
    app = celery_app(broker)

    Publisher(app).publish(Job(id="job_1", kind="compress", spec={"secret": 1}))

    [queue] = [queue for queue in app.conf.task_queues if queue.name == "jobs"]
    with app.connection_for_read() as connection, connection.SimpleQueue(queue) as inbox:
        message = inbox.get(timeout=20)
        message.ack()
    assert message.headers["task"] == RUN_TASK
    assert message.payload[:2] == [["job_1"], {}]


@pytest.fixture
def full_broker(broker: str) -> Iterator[str]:
    with connect(broker) as client:
        client.config_set("maxmemory", "1")
        yield broker
        client.config_set("maxmemory", "256mb")


def test_a_full_broker_takes_no_message_and_says_so(full_broker: str) -> None:
    """The job is safe in its row; the gateway must accept it all the same."""
    with pytest.raises(Unavailable, match="takes no message"):
        Publisher(celery_app(full_broker)).publish(Job(id="job_1", kind="compress"))


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("redis+socket://{folder}/none.sock", id="no socket"),
        pytest.param("redis://127.0.0.1:1", id="nobody listens"),
    ],
)
@pytest.mark.timeout(60)
def test_a_broker_that_is_away_is_noticed_at_once(url: str, tmp_path: Path) -> None:
    """A user who posts a job must not wait until a library gives up."""
    publisher = Publisher(celery_app(url.format(folder=tmp_path)))

    with pytest.raises(Unavailable):
        publisher.publish(Job(id="job_1", kind="compress"))
    with pytest.raises(Unavailable):
        publisher.ping()
    with pytest.raises(Unavailable):
        publisher.waiting("jobs")


@pytest.mark.timeout(60)
def test_a_broker_that_hangs_is_given_up() -> None:
    """It takes the connection and says nothing, as a machine does that swaps."""
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(Unavailable):
        Publisher(celery_app(f"redis://127.0.0.1:{listener.getsockname()[1]}")).ping()


def test_a_publisher_survives_a_restart_of_its_broker() -> None:
    """The gateway lives longer than the broker; its first message afterwards must not wait for a sweep."""
    with valkey.short_folder() as folder:
        with valkey.running(folder) as url:
            publisher = Publisher(celery_app(url))
            publisher.publish(Job(id="job_1", kind="compress"))
        with pytest.raises(Unavailable):
            publisher.publish(Job(id="job_2", kind="compress"))

        with valkey.running(folder):
            publisher.publish(Job(id="job_3", kind="compress"))

            assert publisher.waiting("jobs") == 2
