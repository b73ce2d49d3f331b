"""``python -m workers.sandbox`` prints a table: which attacks succeed on this machine, with each set of parts."""

import sys
import tempfile
from pathlib import Path

from workers.sandbox.attack import ATTACKS
from workers.sandbox.confinement import PARTS, Part
from workers.sandbox.level import Sandbox, succeeded_attacks

SETS: tuple[tuple[Part, ...], ...] = ((), ("seccomp",), ("landlock",), PARTS)
FILE_BYTES = 1 << 30


def main() -> int:
    """Print a row for each attack and a column for each set.

    Return 1 if an attack succeeds against all parts together.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        succeeded = {
            parts: succeeded_attacks(Sandbox("", parts, file_bytes=FILE_BYTES), Path(folder)) for parts in SETS
        }
    lines = [
        f"| attack | {' | '.join('+'.join(parts) or 'limits only' for parts in SETS)} |",
        "|---" * (len(SETS) + 1) + "|",
    ]
    for attack in ATTACKS:
        cells = ("succeeds" if attack.__name__ in succeeded[parts] else "." for parts in SETS)
        lines.append(f"| {attack.__name__.replace('_', ' ')} | {' | '.join(cells)} |")
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(succeeded[PARTS]))


if __name__ == "__main__":
    sys.exit(main())
