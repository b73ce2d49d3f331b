"""What it costs a job to keep how far it is: the same training with checkpoints and without, in one run.

    python benchmarks/service/checkpoint_cost.py
    python benchmarks/service/checkpoint_cost.py --model resnet8.h5 --data cifar10.npz --samples 5000 --scale none

``never`` keeps nothing, ``usual`` as the service does by default, ``always`` at every safe point. Each file is hashed
and stored by another process, with the worker's own code, as long as nothing else is kept. The order of the three
changes from one repetition to the next, and all must come to the same ``.tflite`` file. Prints JSON.
"""

import argparse
import json
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from infra.settings import Settings
from infra.storage.store import Store
from secateur.protocol.progress import ProducedFile
from secateur.protocol.work import CHECKPOINT
from workers.supervision import outputs

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "mnist"
MODES: dict[str, float | None] = {"never": None, "usual": Settings().checkpoint_seconds, "always": 0.0}
"""The least seconds between two that are kept."""


@dataclass
class Run:
    """One run: what it took, and what it kept, with the seconds that the job stood still for each."""

    wall: float = 0.0
    processor: float = 0.0
    """Seconds of all of the job's threads: a busy machine changes them less than the time on the wall."""
    seconds: list[float] = field(default_factory=list)
    num_bytes: list[int] = field(default_factory=list)


def take(folder: str, store: str, told: Connection) -> None:
    """The worker's part, in a process of its own: store each checkpoint that is announced, then remove it."""
    blobs = Store.from_url(store)
    file = ProducedFile(name=CHECKPOINT, media_type="application/octet-stream")
    limits = outputs.OutputLimits(num_files=1, num_bytes=8 * 1024**3)
    while told.recv():
        outputs.collect(blobs, Path(folder), [file], announce=lambda _: None, limits=limits, before_chunk=lambda: None)
        (Path(folder) / CHECKPOINT).unlink()


def one_run(
    recipe: Any, files: dict[str, Path], out: Path, path: Path, every: float | None, tell: Callable[[bool], None]
) -> Run:
    """Carry out one job."""
    from engine.checkpoint import file
    from engine.checkpoint.sections import Checkpoint, Sections
    from engine.pipeline.compress import compress
    from secateur.specs.reading import Reading

    run = Run()

    class Timed(file.CheckpointFile):
        def save(self, state_dict: Callable[[], Sections]) -> None:
            began = time.perf_counter()
            super().save(state_dict)
            run.seconds.append(time.perf_counter() - began)

    def announce() -> None:
        run.num_bytes.append(path.stat().st_size)
        tell(True)

    writer = None if every is None else Timed(path, recipe, every_seconds=every, announce=announce)
    began, used = time.perf_counter(), time.process_time()
    compress(recipe, reading=Reading(), out=out, emit=lambda _: None, checkpoint=Checkpoint(writer), **files)
    run.wall, run.processor = time.perf_counter() - began, time.process_time() - used
    return run


def some_of(data: Path, samples: int | None, folder: Path) -> Path:
    """The data set with the first so many training samples, and a thousand to test with."""
    if samples is None:
        return data
    import numpy as np

    with np.load(data) as given:
        bounds = {name: samples if name.endswith("_train") else 1000 for name in given.files}
        np.savez(path := folder / "some.npz", **{name: given[name][:bound] for name, bound in bounds.items()})
    return path


def recipe_of(options: argparse.Namespace) -> Any:
    """Half of the epochs cut, half of them train on."""
    from secateur.specs.spec import Recipe

    half = options.epochs // 2
    return Recipe.model_validate(
        {
            "steps": [
                {"kind": "prune", "sparsity": 0.8, "schedule": {"kind": "polynomial", "epochs": half}},
                {"kind": "finetune", "epochs": options.epochs - half},
                {"kind": "quantize", "scheme": "int8"},
            ],
            "data": {"scale": options.scale},
            "training": {"batch_size": options.batch_size},
        }
    )


def summary(runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Medians over the repetitions, by mode."""
    found: dict[str, Any] = {}
    for mode, those in runs.items():
        pairs = list(zip(those, runs["never"], strict=True))
        saves = [each for run in those for each in run.seconds]
        found[mode] = {
            "wall_seconds": [round(run.wall, 2) for run in those],
            "wall_ratio_to_never": round(statistics.median(run.wall / without.wall for run, without in pairs), 3),
            "processor_seconds": [round(run.processor, 2) for run in those],
            "processor_ratio_to_never": round(
                statistics.median(run.processor / without.processor for run, without in pairs), 3
            ),
            "saves_per_job": statistics.median(len(run.seconds) for run in those),
            "share_of_the_job_in_saves": round(statistics.median(sum(run.seconds) / run.wall for run in those), 4),
            "save_seconds_median": round(statistics.median(saves), 4) if saves else None,
            "save_seconds_max": round(max(saves), 4) if saves else None,
            "file_bytes_max": max((each for run in those for each in run.num_bytes), default=None),
        }
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=EXAMPLE / "model.keras")
    parser.add_argument("--data", type=Path, default=EXAMPLE / "mnist.npz")
    parser.add_argument("--scale", default="1/255")
    parser.add_argument("--samples", type=int, default=None, help="of the training split; all when left out")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--repetitions", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {mode: [] for mode in MODES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        here, there = multiprocessing.Pipe()
        taker = multiprocessing.get_context("spawn").Process(
            target=take, args=(name, f"file://{name}/store", there), daemon=True
        )
        taker.start()
        files = {"model": options.model, "dataset": some_of(options.data, options.samples, folder)}
        recipe, results = recipe_of(options), set[bytes]()
        for number in range(options.repetitions + 1):  # the first warms up
            order = list(MODES)[number % 3 :] + list(MODES)[: number % 3]
            for mode in order if number else ["never"]:
                (out := folder / f"{mode}_{number}").mkdir()
                run = one_run(recipe, files, out, folder / CHECKPOINT, MODES[mode], here.send)
                results.add((out / "model.tflite").read_bytes())
                if number:
                    runs[mode].append(run)
        here.send(False)
        taker.join()
    if len(results) > 1:
        raise SystemExit("keeping how far the job is has changed what came out of it")
    print(json.dumps({"model": options.model.name, "epochs": options.epochs, **summary(runs)}, indent=2))


if __name__ == "__main__":
    main()
