"""What a worker's check says of many files: ``python -m tests.hostile.judge RULES FD``, confined as every child is.

One process for all, because each takes seconds to import Keras. Verdicts go to standard output, a line each.
"""

import json
import os
import sys
import traceback
from pathlib import Path

from secateur.errors import SecateurError
from secateur.specs.reading import Reading
from workers.child.main import as_error, confine


def main() -> None:
    """Judge all files below the working folder, in order of their names, until the word ``end``."""
    confine(sys.argv[1], int(sys.argv[2]))
    from engine.inspection.inspect import inspect_dataset, inspect_model

    for folder in sorted(Path.cwd().iterdir()):
        for path in folder.glob("*.*"):
            kind, _, name = folder.name.partition("-")
            if kind not in ("model", "dataset"):
                continue
            try:
                inspect_model(path) if kind == "model" else inspect_dataset(path, Reading())
                verdict = "accepted"
            except Exception as fault:  # noqa: BLE001 - as in the child
                error: SecateurError = as_error(fault)
                verdict = error.code
                if verdict == "internal_error":
                    traceback.print_exc()
            sys.stdout.write(json.dumps([name, verdict]) + "\n")
            sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
