"""``python -m tests.chaos --jobs 200``: the long form, with its log. Exit code 1 when anything is lost."""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from infra.settings import Settings
from tests.chaos.storm import storm


def main() -> None:
    """Run one storm and tell what became of the jobs."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--shots", type=int, default=10_000, help="after so many nothing more is killed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause-seconds", type=float, default=5.0, help="mean time between two shots")
    parser.add_argument("--limit-seconds", type=float, default=3600.0)
    options = parser.parse_args()
    console = Console(highlight=False, soft_wrap=True)
    with tempfile.TemporaryDirectory(prefix="storm-") as folder:
        result = storm(
            Settings(data_dir=Path(folder) / "var", host="127.0.0.1", port=0),
            num_jobs=options.jobs,
            num_shots=options.shots,
            seed=options.seed,
            pause_seconds=options.pause_seconds,
            limit_seconds=options.limit_seconds,
            say=console.print,
        )
    console.print(result)
    found = result.faults(options.jobs)
    console.print("\n".join(found) or "0 lost, 0 doubled, 0 stuck, every artifact right")
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
