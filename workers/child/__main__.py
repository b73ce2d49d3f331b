"""``python -m workers.child``: the child process."""

import sys

from workers.child.main import main

if __name__ == "__main__":
    main(sys.argv[1:])
