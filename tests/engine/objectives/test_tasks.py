"""Whole jobs of every kind of labels: trained, measured and reported by the metric that was asked for."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from tests.engine.pipeline.test_compress import compressed

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 6)).astype("f4")
SIGNS = (X[:, :3] > 0).astype("u1")
TASKS: dict[str, tuple[Any, int, str | None, str]] = {
    "several labels": (SIGNS, 3, "sigmoid", "f1"),
    "several labels, of logits": (SIGNS, 3, None, "exact_match"),
    "one unit": (SIGNS[:, 0], 1, "sigmoid", "auc"),
    "two units": (SIGNS[:, 0], 2, "softmax", "balanced_accuracy"),
    "values": (X[:, :2] * [2.0, -3.0], 2, None, "r2"),
}
IN_EVERY_RUN = ("several labels, of logits", "values")
"""The two that differ most; the others run in make test-all."""


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=() if task in IN_EVERY_RUN else pytest.mark.slow) for task in TASKS]
)
def test_a_job_measures_what_its_labels_and_its_spec_ask_for(task: str, tmp_path: Path) -> None:
    y, units, activation, metric = TASKS[task]
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(16, "relu"), keras.layers.Dense(units, activation=activation)]
    )
    bce = keras.losses.BinaryCrossentropy(from_logits=activation is None)
    loss = {"values": "mse", "two units": "sparse_categorical_crossentropy"}.get(task, bce)
    model.compile(keras.optimizers.Adam(0.03), loss)
    model.fit(X, y, epochs=15, batch_size=50, verbose=0)
    model.save(tmp_path / "m.keras")
    np.savez(tmp_path / "d.npz", x_train=X[:400], y_train=y[:400], x_test=X[400:], y_test=y[400:])

    report, _ = compressed(
        tmp_path / "m.keras",
        tmp_path / "d.npz",
        tmp_path,
        steps=[
            {"kind": "prune", "sparsity": 0.5, "schedule": {"kind": "constant", "epochs": 1}},
            {"kind": "finetune", "epochs": 2},
        ],
        objective={"metric": metric},
        data={"scale": "none"},
    )

    quality = report.result.quality
    assert (quality.metric, quality.higher_is_better) == (metric, True)
    assert 0.6 < quality.score.low <= quality.score.value <= quality.score.high <= 1.0
    assert 0.8 < quality.agreement <= 1.0
    assert all(0.5 < point.val_metric <= 1.0 for point in report.history)
    assert len(report.classes) == {"values": 0, "one unit": 2, "two units": 2}.get(task, 3)
    assert "Quality: the" in report.verdicts[0]
