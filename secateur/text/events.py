"""An event of a job as one line of a terminal."""

from collections.abc import Mapping
from typing import Any, Final

from rich.text import Text

from secateur.protocol.events import JobEvent, Level

COLOURS: Final[Mapping[Level, str]] = {"info": "", "warning": "yellow", "error": "bold red"}


def line(event: JobEvent) -> Text:
    """When, which attempt, and what."""
    return Text.assemble(
        (f"{event.at:%Y-%m-%d %H:%M:%S} ", "dim"), (f"#{event.attempt} ", "dim"), (words(event), COLOURS[event.level])
    )


def words(event: JobEvent) -> str:
    """What happened, in words.

    >>> from datetime import UTC, datetime
    >>> body = {"step": "finetune", "progress": 0.5, "epoch": 2, "epochs": 4, "metrics": {"val_accuracy": 0.98123}}
    >>> at = datetime(2030, 1, 1, tzinfo=UTC)
    >>> words(JobEvent(number=7, attempt=1, at=at, kind="progress", level="info", body=body))
    'finetune 50 %, epoch 2 of 4, val_accuracy 0.9812'
    """
    body = event.body
    match event.kind:
        case "state":
            reason = body.get("detail") or (body.get("failure") or {}).get("detail")
            return ": ".join(filter(None, (str(body["state"]), body.get("why"), reason)))
        case "step":
            took = f" after {body['seconds']:.1f} s" if body.get("seconds") is not None else ""
            return ": ".join(filter(None, (f"{body['step']} {body['state']}{took}", body.get("message"))))
        case "progress":
            return _progress(body)
        case "trial":
            return _trial(body)
        case "log":
            return f"{body.get('logger') or 'log'}: {body['message']}"


def _progress(body: Mapping[str, Any]) -> str:
    parts = [f"{body['step']} {body['progress']:.0%}".replace("%", " %")]
    if body.get("epoch") is not None:
        parts.append(f"epoch {body['epoch']}" + (f" of {body['epochs']}" if body.get("epochs") else ""))
    parts += [f"{name} {value:.4g}" for name, value in body.get("metrics", {}).items()]
    return ", ".join([*parts, *filter(None, [body.get("message")])])


def _trial(body: Mapping[str, Any]) -> str:
    return f"{body['num_trials']} trials queued" if "num_trials" in body else f"trial {body['job_id']} {body['state']}"
