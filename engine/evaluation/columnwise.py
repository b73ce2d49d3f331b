"""What becomes of each column of a regression: a pooled score hides the column with the smallest numbers."""

from collections.abc import Iterator, Sequence
from typing import Final

from engine.arrays import Array
from engine.objectives.agreement import determination
from engine.objectives.objective import Objective
from secateur.reports.report import ColumnQuality

MOST: Final = 100
"""Columns of which a report lists each."""

MUCH: Final = 0.05
"""How much R2 a column must lose to be named."""

NAMED: Final = 3


def columns(objective: Objective, labels: Array, before: Array, after: Array) -> tuple[ColumnQuality, ...]:
    """The coefficient of determination of each output column, before and after.

    Args:
        objective: of the output.
        labels: values, shape (n, columns).
        before: outputs of the original, shape (n, columns).
        after: outputs of the result, shape (n, columns).

    Returns:
        One for each column; nothing for classes, for one column, and for more than ``MOST``.
    """
    truths, ours, theirs = objective.truths(labels), objective.decided(before), objective.decided(after)
    if objective.task != "regression" or not 2 <= truths.shape[1] <= MOST:
        return ()
    return tuple(
        ColumnQuality(
            column=place,
            deviation=float(truths[:, place].std()),
            r2_before=determination(truths[:, place], ours[:, place]),
            r2_after=determination(truths[:, place], theirs[:, place]),
            is_constant=bool(
                (theirs[:, place] == theirs[0, place]).all() and not (ours[:, place] == ours[0, place]).all()
            ),
        )
        for place in range(truths.shape[1])
    )


def column_verdicts(found: Sequence[ColumnQuality]) -> Iterator[str]:
    """A sentence when columns lost much, or became constant."""
    worst = sorted(
        (each for each in found if each.is_constant or each.r2_before - each.r2_after >= MUCH),
        key=lambda each: each.r2_after - each.r2_before,
    )
    if worst:
        told = ", ".join(
            f"column {each.column} from {each.r2_before:.3f} to {each.r2_after:.3f}"
            f"{' (it is constant now)' if each.is_constant else ''}"
            for each in worst[:NAMED]
        )
        more = f", and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
        yield f"Columns: the R2 of some output columns fell, whatever the score of all together: {told}{more}."
