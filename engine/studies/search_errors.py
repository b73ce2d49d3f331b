"""The errors of a search that has found nothing to deliver."""

from collections.abc import Sequence

from secateur.errors import GoalsMissed, TrialsFailed
from secateur.reports.search import SearchTrial
from secateur.specs.search import SearchRecipe
from secateur.text import words


def goals_missed(recipe: SearchRecipe, trials: Sequence[SearchTrial], nearest: SearchTrial) -> GoalsMissed:
    lost = "; ".join(
        f"{words.grid_point(trial.sparsity)}: {'failed' if trial.drop is None else f'{trial.drop:.4f}'}"
        for trial in sorted(trials, key=lambda trial: trial.sparsity)
    )
    return GoalsMissed(
        f"None of {len(trials)} trials met the goal, a drop of at most {recipe.goals.max_accuracy_drop:g}. "
        f"Drop by sparsity: {lost}.",
        suggestions=[
            f"Raise goals.max_accuracy_drop to {nearest.drop or 0.0:.4f}, or set on_goals_missed to deliver.",
            "Add a finetune step after the prune step.",
        ],
    )


def all_failed(trials: Sequence[SearchTrial]) -> TrialsFailed:
    return TrialsFailed(
        f"All {len(trials)} trials failed. The first failure: {trials[0].why}",
        suggestions=["Run one trial as a compress job to see the details."],
    )
