"""The state of a running training, from which another process continues with the same next epoch."""

from dataclasses import asdict, dataclass
from typing import Any

from engine.checkpoint.sections import Section, as_array, from_array
from engine.checkpoint.variables import load_variables, variables_state
from engine.pruning.masking import Masks
from engine.pruning.model_state import load_model_state, model_state
from engine.training.callbacks import BestWeightsCallback
from engine.training.config import EpochScore, EpochSelection
from engine.training.progress import ProgressTracker
from secateur.reports.report import TrainingPoint


def epochs_done(section: Section | None) -> int:
    """How many epochs a saved training had finished; 0 without a saved one."""
    return 0 if section is None else int(from_array(section["about"])["epochs"])


@dataclass
class TrainingState:
    """The parts of a training that change from epoch to epoch. The model is compiled."""

    model: Any
    masks: Masks
    selection: EpochSelection
    best_weights: BestWeightsCallback
    tracker: ProgressTracker

    def state_dict(self) -> Section:
        """Weights, masks, optimiser variables, history and best epoch, at the end of an epoch."""
        score = self.selection.best_score
        about = {
            "epochs": len(self.tracker.points),
            "points": [point.model_dump(mode="json") for point in self.tracker.points],
            "seconds": self.tracker.seconds,
            "best": self.selection.best,
            "held": None if score is None else asdict(score),
        }
        best = {f"best/{place}": values for place, values in enumerate(self.best_weights.weights or ())}
        optimizer = variables_state(self.model.optimizer.variables, "optimizer")
        return {"about": as_array(about), **model_state(self.model, self.masks), **optimizer, **best}

    def load_state_dict(self, section: Section | None) -> None:
        """Continue from a saved training, if there is one."""
        if section is None:
            return
        about = from_array(section["about"])
        load_model_state(section, self.model, self.masks)
        self.model.optimizer.build(self.model.trainable_variables)
        load_variables(section, self.model.optimizer.variables, "optimizer")
        self.tracker.resume(list(map(TrainingPoint.model_validate, about["points"])), seconds=about["seconds"])
        self.selection.best = about["best"]
        self.selection.best_score = None if about["held"] is None else EpochScore(**about["held"])
        if about["best"] is not None and self.best_weights.stores_best:
            self.best_weights.weights = [section[f"best/{place}"] for place in range(len(self.model.weights))]
