"""Much is told, little is written: what a heartbeat takes along of what a child said."""

import pytest

from infra.jobs.events import Entry
from secateur.protocol.progress import LogLine, StepAdvanced, StepFinished, StepProgress, StepStarted
from workers.supervision.recorder import MAX_PENDING, Recorder

STEPS = (StepProgress(name="prune"), StepProgress(name="measure"))


class Clock:
    """A time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def record(clock: Clock) -> Recorder:
    return Recorder(STEPS, clock)


def taken(record: Recorder) -> list[Entry]:
    with record.to_write() as entries:
        return list(entries)


def advanced(progress: float) -> StepAdvanced:
    return StepAdvanced(step="prune", progress=progress, epoch=1, metrics={"loss": 0.5})


def test_steps_are_told_when_they_begin_and_end_and_folded_into_the_list(record: Recorder) -> None:
    record.record_event(StepStarted(step="prune"))
    record.record_event(StepFinished(step="prune", seconds=2.0, message="half is gone"))

    assert [entry.body for entry in taken(record)] == [
        {"step": "prune", "state": "running"},
        {"step": "prune", "state": "succeeded", "seconds": 2.0, "message": "half is gone"},
    ]
    assert record.steps[0].state == "succeeded"


def test_of_progress_the_newest_is_written_once_a_second(record: Recorder, clock: Clock) -> None:
    record.record_event(advanced(0.1))
    record.record_event(advanced(0.2))
    first = taken(record)
    record.record_event(advanced(0.3))
    clock.now += 0.5
    too_soon = taken(record)
    record.record_event(advanced(0.4))
    clock.now += 0.5
    second = taken(record)

    assert [entry.body["progress"] for entry in first] == [0.2]
    assert too_soon == []
    assert [(entry.body["progress"], entry.body["metrics"]) for entry in second] == [(0.4, {"loss": 0.5})]


def test_how_far_a_step_came_is_told_before_its_end(record: Recorder) -> None:
    record.record_event(StepStarted(step="prune"))
    record.record_event(advanced(0.9))
    record.record_event(StepFinished(step="prune", seconds=1.0))

    assert [entry.kind for entry in taken(record)] == ["step", "progress", "step"]


def test_what_was_not_planned_or_changes_nothing_is_not_told(record: Recorder) -> None:
    record.record_event(StepStarted(step="prune"))
    record.record_event(StepStarted(step="prune"))
    record.record_event(StepStarted(step="mine bitcoin"))

    assert len(taken(record)) == 1


def test_what_could_not_be_written_is_written_the_next_time_with_its_age(record: Recorder, clock: Clock) -> None:
    record.record_event(LogLine(level="warning", logger="engine", message="a layer is left alone"))

    with pytest.raises(ZeroDivisionError), record.to_write():
        raise ZeroDivisionError
    clock.now += 3

    assert taken(record) == [
        Entry("log", {"message": "a layer is left alone", "logger": "engine"}, "warning", age_seconds=3.0)
    ]
    assert taken(record) == []


def test_a_flood_is_counted_and_not_kept(record: Recorder) -> None:
    for number in range(MAX_PENDING + 50):
        record.record_event(LogLine(message=str(number)))

    entries = taken(record)

    assert len(entries) == MAX_PENDING + 1
    assert entries[-1].body["message"].startswith("50 events are left out")
    assert taken(record) == []
