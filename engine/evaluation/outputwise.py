"""What becomes of each output of a model with several, not only of the one that is judged."""

from collections.abc import Iterator, Sequence

from engine.evaluation import measure
from engine.objectives.objectives import AnyObjective, Objectives
from engine.parts import Outputs, Parts
from secateur.reports.report import OutputQuality, Quality
from secateur.specs.metrics import in_words
from secateur.text import words


def table(
    aim: AnyObjective, labels: Outputs, baseline: measure.Baseline, outputs: Outputs
) -> tuple[OutputQuality, ...]:
    """Every output before and after; nothing for a model with one.

    Args:
        labels: of the test split.
        outputs: what the exported file said of it.
    """
    if not isinstance(aim, Objectives):
        return ()
    assert isinstance(outputs, Parts)
    assert isinstance(baseline.outputs, Parts)
    after = measure.qualities(aim, labels, outputs, baseline.outputs)
    return tuple(
        OutputQuality(
            name=output.name,
            judged=output.name == aim.judged,
            weight=output.weight,
            before=baseline.by_output.get(output.name),
            after=after.get(output.name),
            metric=output.objective.metric,
            agreement=output.objective.agreement(baseline.outputs.named(output.name), outputs.named(output.name)),
        )
        for output in aim.outputs
    )


def lost(before: Quality, after: Quality) -> float:
    """How much a score has lost: of a score of which more is better the difference, of an error the share it grew by.

    >>> from secateur.reports.report import Interval
    >>> error = Quality(metric="mean_absolute_error", higher_is_better=False, num_samples=9, agreement=1,
    ...                 score=Interval(value=2.0, low=1.9, high=2.1))
    >>> lost(error, error.model_copy(update={"score": Interval(value=3.0, low=2.9, high=3.1)}))
    0.5
    """
    change = after.score.value - before.score.value
    if before.higher_is_better:
        return -change
    return change / before.score.value if before.score.value else float(change > 0)


def output_verdicts(outputs: Sequence[OutputQuality]) -> Iterator[str]:
    """A sentence for each output that lost more than the one that is judged, and more than chance explains."""
    measured = [(each, each.before, each.after) for each in outputs if each.before and each.after]
    head = next((lost(before, after) for each, before, after in measured if each.judged), 0.0)
    for each, before, after in measured:
        outside = not before.score.low <= after.score.value <= before.score.high
        if not each.judged and outside and lost(before, after) > max(head, 0.0):
            change = words.score_change(before, after)
            yield (
                f"Outputs: {each.name!r} lost more than the output that is judged: its {in_words(each.metric)} went "
                f"from {words.score(each.metric, before.score.value)} to {words.score(each.metric, after.score.value)} "
                f"({change}). Give it more weight in objective.outputs, or judge it."
            )
