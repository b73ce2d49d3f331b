"""The trials of a sweep as CSV: a line each, plain numbers, for spreadsheets and pandas."""

import csv as writer
import io
from typing import Any, Final

from secateur.reports.sweep import SweepReport, TrialResult

COLUMNS: Final = (
    "method",
    "sparsity",
    "seed",
    "state",
    "metric",
    "score",
    "baseline_score",
    "agreement",
    "num_params",
    "num_nonzero_params",
    "num_macs",
    "tflite_bytes",
    "tflite_gzip_bytes",
    "p50_ms",
    "times_faster",
    "job_id",
    "failure",
)


def csv(report: SweepReport) -> str:
    """One line a trial; what a failed one lacks is empty."""
    text = io.StringIO()
    out = writer.DictWriter(text, COLUMNS, lineterminator="\n")
    out.writeheader()
    for trial in report.trials:
        out.writerow(_row(report, trial))
    return text.getvalue()


def _row(report: SweepReport, trial: TrialResult) -> dict[str, Any]:
    row: dict[str, Any] = {
        "method": _harmless(trial.method),
        "sparsity": trial.sparsity,
        "seed": trial.seed,
        "state": trial.state,
        "metric": report.metric,
        "baseline_score": report.baseline.quality.score.value,
        "job_id": trial.job_id,
        "failure": trial.failure.code if trial.failure else None,
    }
    if (found := trial.result) is not None:
        row |= {
            "score": found.quality.score.value,
            "agreement": found.quality.agreement,
            "num_params": found.num_params,
            "num_nonzero_params": found.num_nonzero_params,
            "num_macs": found.num_macs,
            "tflite_bytes": found.sizes.tflite_bytes,
            "tflite_gzip_bytes": found.sizes.tflite_gzip_bytes,
            "p50_ms": found.latency.p50_ms,
            "times_faster": trial.times_faster,
        }
    return row


def _harmless(name: str) -> str:
    """A name that no spreadsheet takes for a formula (CWE-1236)."""
    return "'" + name if name.startswith(("=", "+", "-", "@", "\t")) else name
