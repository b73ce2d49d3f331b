import json
from typing import Any

import pytest
from pydantic import ValidationError

from secateur.errors import InternalError
from secateur.protocol.progress import (
    EVENT,
    Failed,
    LogLine,
    ProducedFile,
    StepAdvanced,
    StepFinished,
    StepStarted,
    advance,
    planned,
)
from secateur.protocol.states import StepState
from secateur.specs.spec import Recipe

STEPS = planned(Recipe.model_validate({"preset": "balanced"}))


def test_a_recipe_is_wrapped_in_a_baseline_and_a_measurement() -> None:
    assert [step.name for step in STEPS] == ["baseline", "prune", "finetune", "quantize", "measure"]
    assert {step.state for step in STEPS} == {StepState.PENDING}


def test_events_fold_into_the_steps_that_users_see() -> None:
    steps = STEPS
    for event in (
        StepStarted(step="prune"),
        StepAdvanced(step="prune", progress=0.5, eta_seconds=3.0, epoch=2, epochs=4, metrics={"loss": 0.1}),
    ):
        steps = advance(steps, event)

    running = steps[1]
    assert (running.state, running.progress, running.epoch, running.metrics) == (
        StepState.RUNNING,
        0.5,
        2,
        {"loss": 0.1},
    )

    ended = advance(steps, StepFinished(step="prune", seconds=6.0, message="80 % zeros"))[1]
    assert (ended.state, ended.progress, ended.eta_seconds, ended.message) == (
        StepState.SUCCEEDED,
        1.0,
        None,
        "80 % zeros",
    )
    assert ended.metrics == {"loss": 0.1}


def test_a_failure_marks_the_step_that_was_running() -> None:
    steps = advance(advance(STEPS, StepStarted(step="prune")), Failed(failure=InternalError("no").failure()))

    assert [step.state for step in steps[:3]] == [StepState.PENDING, StepState.FAILED, StepState.PENDING]


def test_events_of_unknown_steps_change_nothing() -> None:
    """A child may lie; what it says of steps that were never planned is not shown."""
    assert advance(STEPS, StepStarted(step="mine_bitcoin")) == STEPS


@pytest.mark.parametrize(
    "line",
    [
        '{"event": "step_advanced", "step": "a", "progress": 1.5}',
        '{"event": "step_advanced", "step": "a", "progress": NaN}',
        '{"event": "reboot"}',
        '{"event": "ready", "and": "more"}',
        "[]",
        json.dumps({"event": "step_started", "step": "x" * 10_000}),
        json.dumps({"event": "log", "message": "", "logger": "x" * 10_000}),
        json.dumps({"event": "step_advanced", "step": "a", "progress": 0.5, "epoch": 10**30}),
    ],
)
def test_events_that_are_none_are_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_json(line)


LONG = "x" * 500_000


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"event": "log", "message": LONG}, id="a line of the log"),
        pytest.param({"event": "step_advanced", "step": "a", "progress": 0.5, "message": LONG}, id="progress"),
        pytest.param({"event": "step_finished", "step": "a", "seconds": 1, "message": LONG}, id="the end of a step"),
        pytest.param(
            {"event": "step_advanced", "step": "a", "progress": 0, "metrics": {f"m{n}": 0 for n in range(40_000)}},
            id="many metrics",
        ),
        pytest.param(
            {"event": "step_advanced", "step": "a", "progress": 0, "metrics": {LONG: 0.0}}, id="a metric's name"
        ),
        pytest.param(
            {
                "event": "failed",
                "failure": {
                    "code": LONG,
                    "title": LONG,
                    "detail": LONG,
                    "blame": "request",
                    "retryable": False,
                    "errors": [{"field": "f", "messages": ["m"] * 1000}] * 10,
                    "suggestions": ["s"] * 50_000,
                },
            },
            id="a failure",
        ),
    ],
)
def test_what_is_kept_of_an_event_is_small_and_says_what_is_missing(event: Any) -> None:
    """Each event is written to a row and sent to every reader; a child may say a megabyte, many times a second."""
    kept = EVENT.validate_json(json.dumps(event))

    assert len(kept.model_dump_json()) < 50_000
    assert ("characters left out" in kept.model_dump_json()) == (LONG in json.dumps(event))


def test_a_short_text_stays_as_it_is_and_a_null_character_does_not() -> None:
    """PostgreSQL has no room for the latter; a job must not fail for what its library logged."""
    kept = EVENT.validate_json(json.dumps({"event": "log", "message": "ends here\0not"}))

    assert isinstance(kept, LogLine)
    assert kept.message == "ends here\N{REPLACEMENT CHARACTER}not"


@pytest.mark.parametrize("name", ["../model.keras", "/etc/passwd", ".hidden", "a/b", "", "x" * 200])
def test_produced_files_cannot_name_a_path(name: str) -> None:
    with pytest.raises(ValidationError):
        ProducedFile(name=name, media_type="text/plain")
