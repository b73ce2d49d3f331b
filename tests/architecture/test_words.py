"""Retired words stay out: the field's word is used instead (docs/architecture.md, Glossary).

Words that are still in the product are counted for each file in still_there.json. The counts may only shrink. Renew
them with: python -m tests.architecture.test_words
"""

import io
import json
import re
import subprocess
import tokenize
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

from tests.architecture.test_shape import ROOT, SOURCES

IDENTIFIERS: Final = {
    "trail": "checkpoint",
    "take_up": "load_state_dict",
    "doorbell": "dispatch, notify",
    "courier": "webhook delivery",
    "lapses": "recovery",
    "families": "trials",
    "surgeon": "obs",
    "regime": "config",
    "lesson": "distillation",
    "likeness": "agreement",
    "Book": "CouplingBuilder",
    "Means": "WorkerContext",
    "Lent": "Lease",
    "Death": "ChildExit",
    "Silence": "CircuitBreaker",
    "waited_for": "with_timeout",
    "turns": "fair_scheduler",
    "say_alive": "record_heartbeat",
    "say_goodbye": "remove_heartbeat",
    "goodbye": "remove_heartbeat",
    "tell_job": "queue_job_notice",
    "tell_upload": "queue_upload_notice",
    "left_behind": "artifact_digests",
    "NotReached": "Unreachable",
    "Between": "BeforeChunk",
    "Keeper": "Processes",
    "Speaker": "EventWriter",
    "Upwards": "ForwardingHandler",
    "send_up": "forward_logs",
    "has_spoken": "has_event",
    "how_it_died": "exit_reason",
    "LAST_WORDS_SECONDS": "FINAL_WRITE_SECONDS",
    "told_so": "failed",
    "_patiently": "_retry",
    "_go_on": "_check_stop",
    "_spread": "_fan_out",
    "_set_right": "_recover",
    "_until_none_goes": "_remove_in_batches",
    "_num_lent": "_num_leased",
    "Cutting": "Pruner",
    "Narrowed": "RemovedChannels",
    "readers_of": "consumers_of",
    "why_not": "reason_not_reconstructable",
    "not_a_product": "reason_not_a_matrix_product",
    "share_out": "distribute",
    "keep_of": "mask_function",
    "solve_readers": "reconstruct_consumers",
    "mean_shifts": "bias_corrections",
    "cut_and_solve": "select_and_solve",
}
"""Names in code: the retired word, and what to write instead."""

METHODS: Final = {"told": "state_dict"}
"""Names that are retired for methods and functions only; a variable may have them."""

PROSE: Final = {
    "somebody": "the owner, the user, another process",
    "whoever": "the caller, the reader, the process that",
    "nobody": "no owner, no process, no reader",
}
"""Words in docstrings, comments, messages and documents: name the subject instead."""

COUNTS = Path(__file__).parent / "still_there.json"
STILL_THERE: Final[dict[str, int]] = json.loads(COUNTS.read_text())
"""How many retired words each file still holds. A file that is not named here may hold none."""


def names_in(source: str) -> list[str]:
    """The retired names that Python code uses, once for each place.

    >>> names_in("def told(trail): return trail.told")
    ['told', 'trail', 'trail', 'told']
    >>> names_in("told = 'the trail'  # of families")
    []
    """
    found, before = [], ""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        retired = token.string in IDENTIFIERS or (token.string in METHODS and before in ("def", "."))
        if token.type == tokenize.NAME and retired:
            found.append(token.string)
        before = token.string
    return found


def prose_in(text: str) -> list[str]:
    """The retired words of a text, once for each place.

    >>> prose_in("Nobody knows whoever that is.")
    ['nobody', 'whoever']
    """
    return [word.lower() for word in re.findall(rf"\b(?:{'|'.join(PROSE)})\b", text, flags=re.IGNORECASE)]


def retired_words() -> dict[str, Counter[str]]:
    """The retired words of each file of the product and of each document."""
    listed = subprocess.run(["git", "ls-files", "*.md"], capture_output=True, text=True, cwd=ROOT, check=True)
    documents = {name: (ROOT / name).read_text() for name in listed.stdout.split()}
    found = {name: Counter(names_in(text) + prose_in(text)) for name, text in SOURCES.items()}
    found |= {name: Counter(prose_in(text)) for name, text in documents.items()}
    return {name: words for name, words in sorted(found.items()) if words}


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param("self.trail = None", ["trail"], id="attribute"),
        pytest.param("class Told:\n    def told(self) -> None: ...", ["told"], id="method"),
        pytest.param("told = 1", [], id="variable"),
    ],
)
def test_retired_names_are_found(source: str, words: list[str]) -> None:
    """A check that finds nothing anywhere would always pass."""
    assert names_in(source) == words


def test_no_file_gains_a_retired_word() -> None:
    instead = IDENTIFIERS | METHODS | PROSE

    assert not [
        f"{name}: {word} {times}x, write instead: {instead[word]}"
        for name, words in retired_words().items()
        if words.total() > STILL_THERE.get(name, 0)
        for word, times in words.items()
    ]


if __name__ == "__main__":
    counts = {name: words.total() for name, words in retired_words().items()}
    if STILL_THERE and sum(counts.values()) > sum(STILL_THERE.values()):
        raise SystemExit("more retired words than before; use the words of the glossary")
    COUNTS.write_text(json.dumps(counts, indent=2) + "\n")
