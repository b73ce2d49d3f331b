"""A training under way: what makes the next epoch the same in another process."""

from dataclasses import asdict, dataclass
from typing import Any

from engine.checkpoint.sections import Section, as_array, from_array
from engine.checkpoint.variables import take_up_variables, variables_told
from engine.pruning.masking import Masks
from engine.pruning.model_state import model_told, take_up_model
from engine.training.callbacks import Choice
from engine.training.config import Epochs, Held
from engine.training.progress import Watch
from secateur.reports.report import TrainingPoint


def epochs_done(section: Section | None) -> int:
    """How many epochs a training had behind it when it was told; 0 for one that begins."""
    return 0 if section is None else int(from_array(section["about"])["epochs"])


@dataclass
class Underway:
    """The parts of a training that epochs change, on a compiled model."""

    model: Any
    masks: Masks
    epochs: Epochs
    choice: Choice
    watch: Watch

    def told(self) -> Section:
        """Weights, masks, what the optimiser remembers, and what was found out, at the end of an epoch."""
        held = self.epochs.held
        about = {
            "epochs": len(self.watch.points),
            "points": [point.model_dump(mode="json") for point in self.watch.points],
            "seconds": self.watch.seconds,
            "best": self.epochs.best,
            "held": None if held is None else asdict(held),
        }
        best = {f"best/{place}": values for place, values in enumerate(self.choice.weights or ())}
        optimizer = variables_told(self.model.optimizer.variables, "optimizer")
        return {"about": as_array(about), **model_told(self.model, self.masks), **optimizer, **best}

    def take_up(self, section: Section | None) -> None:
        """Go on where the other one was, if there was one."""
        if section is None:
            return
        about = from_array(section["about"])
        take_up_model(section, self.model, self.masks)
        self.model.optimizer.build(self.model.trainable_variables)
        take_up_variables(section, self.model.optimizer.variables, "optimizer")
        self.watch.go_on(list(map(TrainingPoint.model_validate, about["points"])), seconds=about["seconds"])
        self.epochs.best = about["best"]
        self.epochs.held = None if about["held"] is None else Held(**about["held"])
        if about["best"] is not None and self.choice.keeps:
            self.choice.weights = [section[f"best/{place}"] for place in range(len(self.model.weights))]
