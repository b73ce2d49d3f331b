"""``python -m stack``. Ctrl-C ends it at any moment, also during imports."""

import signal


def main() -> None:
    """Run the command line.

    A ``KeyboardInterrupt`` during an import may be lost, because callbacks of the import system cannot raise, and the
    service would still start. So SIGINT ends the process at once until there is something to stop. From then on
    ``stack.interrupts`` handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from stack.cli import app

    app()


if __name__ == "__main__":
    main()
