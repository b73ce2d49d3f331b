"""What became of each output of a model with several, as the cells of a table."""

from collections.abc import Sequence
from typing import Final

from secateur.reports.report import OutputQuality
from secateur.specs.metrics import in_words
from secateur.text import words

TITLES: Final = ("output", "metric", "before", "after", "change", "agreement")


def output_lines(outputs: Sequence[OutputQuality]) -> list[tuple[str, ...]]:
    """A row for each output, under ``TITLES``."""
    return [_cells(each) for each in outputs]


def _cells(each: OutputQuality) -> tuple[str, ...]:
    name = f"{each.name} (judged)" if each.judged else each.name
    alike = words.agreement(each.metric, each.agreement)
    if each.before is None or each.after is None:
        return name, "no labels", words.EN_DASH, words.EN_DASH, words.EN_DASH, alike
    before, after = (words.score(each.metric, found.score.value) for found in (each.before, each.after))
    return name, in_words(each.metric), before, after, words.score_change(each.before, each.after), alike
