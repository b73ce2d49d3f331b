"""What compress, search and sensitivity jobs share: the clock, the checkpoint, loading and the baseline."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras

from engine.checkpoint.sections import Checkpoint, Section
from engine.evaluation import measure
from engine.pipeline.clock import Clock
from engine.run.baseline import original
from engine.run.context import Run
from engine.run.load import load
from secateur.protocol.progress import Event
from secateur.specs.reading import Reading
from secateur.specs.search import SearchRecipe
from secateur.specs.sensitivity import SensitivityRecipe
from secateur.specs.spec import Recipe


@dataclass(frozen=True)
class Runner:
    """The clock and the checkpoint of one job, from its first step to its last."""

    clock: Clock
    checkpoint: Checkpoint

    @classmethod
    def start(cls, seed: int, emit: Callable[[Event], None], checkpoint: Checkpoint | None) -> "Runner":
        """Seed all random generators, and continue the clock of an earlier process if there is one.

        Args:
            seed: of the recipe.
            emit: called with the events of every step.
            checkpoint: where to resume from, and where to save the state; None for neither.
        """
        keras.utils.set_random_seed(seed)
        checkpoint = checkpoint or Checkpoint()
        clock = Clock(emit)
        clock.load_state_dict(checkpoint.restore("clock"))
        return cls(clock, checkpoint)

    @contextmanager
    def loaded(
        self,
        recipe: Recipe,
        *,
        model: Path,
        dataset: Path,
        reading: Reading,
        asked: SensitivityRecipe | SearchRecipe | None = None,
        job_id: str | None = None,
    ) -> Iterator[tuple[Run, list[str]]]:
        """Load a job in the step ``baseline``. The block checks and measures it, still inside that step.

        Args:
            recipe: the steps of the job.
            model: the uploaded model.
            dataset: the uploaded data set.
            reading: the declarations of the data set.
            asked: the spec of the user if the recipe was derived from it; errors name its fields.
            job_id: for the report; None outside the service.

        Yields:
            The run, and the list that becomes the closing message of the step.

        Raises:
            RequestError: see ``compress``.
        """
        with self.clock.step("baseline", silent=self.checkpoint.is_resumed) as message:
            yield (
                load(
                    recipe,
                    model=model,
                    dataset=dataset,
                    reading=reading,
                    asked=asked,
                    checkpoint=self.checkpoint,
                    job_id=job_id,
                ),
                message,
            )

    def baseline(self, run: Run, message: list[str], known: Path | None = None) -> measure.Baseline:
        """The baseline of a run, restored or measured; its score is added to the message.

        Args:
            known: the baseline that a sweep measured for all of its trials.
        """
        found = original(run, known, self.checkpoint.restore("baseline"))
        message.append(f"{found.quality.metric.replace('_', ' ')} {found.quality.score.value:.4f}")
        return found

    @contextmanager
    def saving(self, **state_dicts: Callable[[], Section]) -> Iterator[None]:
        """While the block runs, every checkpoint holds the clock and these sections."""
        with ExitStack() as stack:
            for name, state_dict in {"clock": self.clock.state_dict, **state_dicts}.items():
                stack.enter_context(self.checkpoint.section(name, state_dict))
            yield
