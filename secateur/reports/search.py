"""The report of a search, and which sparsity the next trial tries."""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from secateur.frozen import Frozen
from secateur.reports.report import Host, Provenance, Report, Variant
from secateur.specs.search import SearchRecipe


class SearchTrial(Frozen):
    """One sparsity that was tried, and what came of it."""

    sparsity: float
    started_from: float = Field(default=0.0, description="Sparsity of the trial that this one trained on from.")
    result: Variant | None = Field(default=None, description="Nothing: the cut could not be made.")
    drop: float | None = Field(default=None, description="Of the metric, in its own unit; below zero where it rose.")
    met: bool
    why: str | None = Field(default=None, description="Why the cut could not be made.")
    seconds: float


def next_sparsity(trials: Sequence[SearchTrial], *, highest: float, resolution: float) -> float | None:
    """Where to look next: halfway, by the ratio of what stays, between the best that met the goals and the next above.

    Halves of what stays are equal steps: 0.9 is as far from 0.8 as 0.95 from 0.9. None: the two are close enough.

    >>> next_sparsity([], highest=0.99, resolution=0.01)
    0.9
    >>> next_sparsity([SearchTrial(sparsity=0.9, met=False, seconds=1)], highest=0.99, resolution=0.01)
    0.684
    """
    kept = max((trial.sparsity for trial in trials if trial.met), default=0.0)
    refused = min((trial.sparsity for trial in trials if not trial.met and trial.sparsity > kept), default=highest)
    middle = round(1 - math.sqrt((1 - kept) * (1 - refused)), 3)
    tried = {trial.sparsity for trial in trials}
    return None if refused - kept <= resolution or middle in tried or not kept < middle < refused else middle


class SearchReport(Frozen):
    """What a search found."""

    schema_version: Literal[1] = 1
    provenance: Provenance | None = Field(default=None, description="None in reports of before this was stored.")
    kind: Literal["search"] = "search"
    model_name: str
    metric: str
    metric_label: str = Field(description="What the metric is called in words.")
    higher_is_better: bool
    spec: SearchRecipe
    baseline: Variant = Field(description="The original, as file.")
    goals_met: bool
    sparsity: float = Field(description="Of the file that is handed out.")
    best: Report = Field(description="The report of that file, as a compress job would have given it.")
    trials: tuple[SearchTrial, ...] = Field(description="All of them, in the order in which they ran.")
    stopped_by: Literal["resolution", "trials", "seconds"]
    verdicts: tuple[str, ...] = Field(description="What the numbers mean, in plain words.")
    notes: tuple[str, ...] = ()
    host: Host
    seconds: Mapping[str, float] = Field(description="Wall time by step.")
