"""Reads many damaged copies of one model file; run as a process of its own, because libraries may die of such files.

    python -m tests.engine.importers.mutants FILE FOLDER COUNT SEED

Prints what became of each copy: the code of an error of the tree, ``read``, or the name of another exception.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np

from engine.importers import load_model
from engine.importers.formats import probe
from secateur.errors import RequestError


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy that is cut short, or has some bytes replaced; the first block, with the signature, stays mostly whole."""
    out = bytearray(data)
    if rng.random() < 0.2:
        return bytes(out[: int(rng.integers(1, len(out)))])
    for _ in range(int(rng.integers(1, 12))):
        start = int(rng.integers(8, len(out)))
        size = int(rng.choice([1, 1, 2, 8, 64]))
        out[start : start + size] = rng.bytes(min(size, len(out) - start))
    return bytes(out)


def fate(path: Path) -> str:
    """What reading this file comes to."""
    try:
        load_model.load_model(path)
    except RequestError as error:
        return error.code
    except Exception as fault:  # noqa: BLE001 - this is what we look for
        return f"{type(fault).__name__}: {fault}"[:200]
    return "read"


def main() -> None:
    source, folder = Path(sys.argv[1]), Path(sys.argv[2])
    probe.BASE_SECONDS = 2.0  # type: ignore[misc] # some copies lead the library in circles until the time is up
    count, rng = int(sys.argv[3]), np.random.default_rng(int(sys.argv[4]))
    found: Counter[str] = Counter()
    path = folder / f"mutant{source.suffix}"
    for _ in range(count):
        path.write_bytes(mutated(source.read_bytes(), rng))
        found[fate(path)] += 1
    for what, times in found.most_common():
        sys.stdout.write(f"{times} {what}\n")


if __name__ == "__main__":
    main()
