import pytest
from pydantic import ValidationError

from jobspec.errors import InternalError
from jobspec.progress import EVENT, Failed, ProducedFile, StepAdvanced, StepFinished, StepStarted, advance, planned
from jobspec.spec import Recipe
from jobspec.states import StepState

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
    ],
)
def test_events_that_are_none_are_refused(line: str) -> None:
    with pytest.raises(ValidationError):
        EVENT.validate_json(line)


@pytest.mark.parametrize("name", ["../model.keras", "/etc/passwd", ".hidden", "a/b", "", "x" * 200])
def test_produced_files_cannot_name_a_path(name: str) -> None:
    with pytest.raises(ValidationError):
        ProducedFile(name=name, media_type="text/plain")
