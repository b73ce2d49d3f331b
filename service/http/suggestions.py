"""What to write instead: one line for one finding of pydantic, or for an address that leads nowhere."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from secateur import ids
from secateur.protocol import keys

LONGEST: Final = 200
"""Characters of what is compared with names: nobody means one by more."""

_AMOUNT: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(%|[a-zA-Z]+)\s*")
_UNITS: Final[Mapping[str, float]] = {
    "%": 0.01,
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
}
PATTERNS: Final[Mapping[str, str]] = {
    ids.pattern("mdl"): "expected the id of a model, as POST /v1/models answers it: mdl_ and 20 digits",
    ids.pattern("dst"): "expected the id of a data set, as POST /v1/datasets answers it: dst_ and 20 digits",
    ids.pattern("job"): "expected the id of a job, as POST /v1/jobs answers it: job_ and 20 digits",
    keys.OWNER_PATTERN: f"expected {keys.OWNER_WORDS}",
}
"""What a text must look like, in words."""


def message(error: Mapping[str, Any]) -> str:
    """What is wrong, in words that need no knowledge of regular expressions."""
    pattern = error.get("ctx", {}).get("pattern") if error["type"] == "string_pattern_mismatch" else None
    return PATTERNS.get(pattern or "", error["msg"])


def hint(error: Mapping[str, Any], field: str, known: Collection[str]) -> str | None:
    """What to write instead, if that can be told.

    Args:
        known: the names of the fields that there are.

    >>> hint({"type": "float_parsing", "input": "90%"}, "sparsity", ())
    'Write 0.9 for 90%.'
    >>> hint({"type": "less_than", "input": 90, "ctx": {"lt": 1.0}}, "sparsity", ())
    'sparsity is a share: write 0.9 for 90 %.'
    >>> hint({"type": "literal_error", "input": "magnitud", "ctx": {"expected": "'magnitude' or 'fpgm'"}}, "x", ())
    'Did you mean magnitude instead of magnitud?'
    """
    given, context = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case "extra_forbidden":
            return meant(field, known)
        case "literal_error" | "enum" if isinstance(given, str):
            return meant(given, re.findall(r"'([^']*)'", context["expected"]))
        case "int_parsing" | "float_parsing" if isinstance(given, str):
            return _in_numbers(given)
        case "less_than" | "less_than_equal" if context.get("lt", context.get("le")) == 1:
            return _as_share(field, given)
    return None


def _as_share(field: str, given: Any) -> str | None:
    is_percentage = isinstance(given, int | float) and 1 < given <= 100
    return f"{field} is a share: write {given / 100:g} for {given:g} %." if is_percentage else None


def meant(given: str, known: Iterable[str]) -> str | None:
    """Which of the known names somebody may have meant.

    >>> meant("sparsty", ["sparsity", "steps"])
    'Did you mean sparsity instead of sparsty?'
    """
    close = difflib.get_close_matches(given, sorted(known), n=2) if len(given) <= LONGEST else []
    return f"Did you mean {' or '.join(close)} instead of {given}?" if close and given not in close else None


def _in_numbers(given: str) -> str | None:
    amount = _AMOUNT.fullmatch(given)
    if amount is None or (unit := _UNITS.get(amount[2].lower())) is None:
        return None
    value = float(amount[1]) * unit
    return f"Write {int(value) if value.is_integer() else f'{value:g}'} for {given.strip()}."


def address(given: str, paths: Iterable[str]) -> str | None:
    """The address that somebody may have meant, of those that there are, with names in braces for what varies.

    >>> address("/v1/job/job_1", ["/v1/jobs", "/v1/jobs/{job_id}"])
    'Did you mean /v1/jobs/job_1?'
    >>> address("/jobs/", ["/v1/jobs", "/v1/jobs/{job_id}"])
    'Did you mean /v1/jobs?'
    """
    if len(given) > LONGEST:
        return None
    parts = given.strip("/").split("/")
    wanted = {"/" + "/".join(parts): parts, "/v1/" + "/".join(parts): ["v1", *parts]}
    for text, words in wanted.items():
        known = (path.strip("/").split("/") for path in paths)
        filled = {
            "/" + "/".join(word if part.startswith("{") else part for part, word in zip(path, words, strict=True))
            for path in known
            if len(path) == len(words)
        }
        if close := difflib.get_close_matches(text, sorted(filled - {given}), n=1, cutoff=0.8):
            return f"Did you mean {close[0]}?"
    return None
