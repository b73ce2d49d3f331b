"""What the readers of one job share: the newest events, and the knowledge of how far back they reach."""

from datetime import UTC, datetime

from infra.jobs.events import EventPosition
from secateur.protocol.events import JobEvent
from secateur.protocol.states import JobState
from service.event_feed import MAX_RECENT, Channel

AT = datetime(2030, 1, 1, tzinfo=UTC)


def pulse(last: int) -> EventPosition:
    return EventPosition(last, JobState.RUNNING)


def log(first: int, last: int) -> list[JobEvent]:
    return [
        JobEvent(number=number, attempt=1, at=AT, kind="log", level="info", body={})
        for number in range(first, last + 1)
    ]


def test_a_channel_keeps_the_newest_and_knows_from_where_they_are_complete() -> None:
    """A reader that is further behind must read from the database, or it would miss some."""
    channel = Channel("job_1", pulse(10), complete_after=10)

    channel.take(pulse(210), log(11, 210))
    at_first = channel.complete_after
    channel.take(pulse(410), log(211, 410))

    assert at_first == 10
    assert [event.number for event in channel.recent] == list(range(411 - MAX_RECENT, 411))
    assert channel.complete_after == 410 - MAX_RECENT


def test_what_is_too_much_to_be_kept_is_left_in_the_database() -> None:
    channel = Channel("job_1", pulse(10), complete_after=10)
    channel.take(pulse(12), log(11, 12))

    channel.take(pulse(5000), None)

    assert (channel.recent, channel.complete_after) == ((), 5000)
