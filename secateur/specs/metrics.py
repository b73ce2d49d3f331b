"""The metrics that a report can measure: which labels each fits, and whether more of it is better."""

from typing import Final, Literal

Metric = Literal[
    "accuracy",
    "top_5_accuracy",
    "balanced_accuracy",
    "f1",
    "auc",
    "exact_match",
    "label_accuracy",
    "mean_squared_error",
    "mean_absolute_error",
    "root_mean_squared_error",
    "r2",
    "mean_iou",
    "psnr",
]

Labels = Literal["classes", "multi_label", "values"]
"""What labels are, however they are stored: one of several classes, any of several labels, or numbers."""

METRICS: Final[dict[Labels, tuple[Metric, ...]]] = {
    "classes": ("accuracy", "top_5_accuracy", "balanced_accuracy", "f1", "auc", "mean_iou"),
    "multi_label": ("f1", "auc", "exact_match", "label_accuracy", "mean_iou"),
    "values": ("mean_squared_error", "mean_absolute_error", "root_mean_squared_error", "r2", "psnr"),
}
"""Which metrics fit which labels."""

ERRORS: Final = frozenset({"mean_squared_error", "mean_absolute_error", "root_mean_squared_error"})
"""The metrics of which less is better."""

SHARES: Final = frozenset({"accuracy", "top_5_accuracy", "balanced_accuracy", "exact_match", "label_accuracy"})
"""The metrics that are shares of samples, or of labels, and read best in percent."""


def higher_is_better(metric: str) -> bool:
    """
    >>> higher_is_better("auc"), higher_is_better("mean_absolute_error")
    (True, False)
    """
    return metric not in ERRORS


def is_of_values(metric: str) -> bool:
    """Whether a metric is one of numbers rather than of classes or labels.

    >>> is_of_values("r2"), is_of_values("f1")
    (True, False)
    """
    return metric in METRICS["values"]


def in_words(metric: str) -> str:
    """
    >>> in_words("top_5_accuracy"), in_words("auc"), in_words("f1")
    ('top 5 accuracy', 'AUC', 'F1')
    """
    return {"auc": "AUC", "f1": "F1", "r2": "R2", "mean_iou": "mean IoU", "psnr": "PSNR"}.get(
        metric, metric.replace("_", " ")
    )
