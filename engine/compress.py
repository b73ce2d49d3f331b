"""Run a recipe: load, check, prune, fine-tune, quantise, and measure the files that come out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, assert_never

import keras
import numpy as np

from engine import dataset as datasets
from engine import litert
from engine import model as models
from engine.arrays import Array
from engine.chance import check_baseline
from engine.criterion import CRITERIA
from engine.delivery import check_delivered
from engine.distribution import DISTRIBUTIONS
from engine.feed import Feed
from engine.masking import Masks
from engine.objective import Objective, resolve
from engine.prunable import prunable_kernels
from engine.reporting import Measured, measure, write_report
from engine.schedule import plan
from engine.train import DEFAULT_LEARNING_RATE, Advance, make_optimizer, num_steps, original_learning_rate, train
from jobspec.fit import check_fit
from jobspec.progress import Event, ProducedFile, StepAdvanced, StepFinished, StepStarted, step_names
from jobspec.report import TrainingPoint
from jobspec.spec import Finetune, OneShot, Polynomial, Prune, Quantize, Recipe, Scale, Scheme

KERAS_FILE: Final = "model.keras"
FILES: Final = (
    ProducedFile(name="model.tflite", media_type="application/vnd.tflite"),
    ProducedFile(name=KERAS_FILE, media_type="application/vnd.keras"),
    ProducedFile(name="report.json", media_type="application/json"),
    ProducedFile(name="report.html", media_type="text/html; charset=utf-8"),
)
RETRAIN: Final = 0.1
"""Fine-tuning's learning rate as a share of the original's (Han 2015)."""


@dataclass
class _Run:
    """A job under way: what the steps share and what they change."""

    recipe: Recipe
    model: Any
    dataset: datasets.Dataset
    feed: Feed
    objective: Objective
    masks: Masks
    learning_rate: float
    emit: Callable[[Event], None]
    scheme: Scheme = "none"
    calibration_samples: int = 1
    targets: dict[str, float] = field(default_factory=dict)
    history: list[TrainingPoint] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[list[str]]:
        """Tell that a step begins and ends. What is put into the list is its closing message."""
        self.emit(StepStarted(step=name))
        start, message = time.monotonic(), list[str]()
        yield message
        self.seconds[name] = time.monotonic() - start
        self.emit(StepFinished(step=name, seconds=self.seconds[name], message="; ".join(message) or None))
