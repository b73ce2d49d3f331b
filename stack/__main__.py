"""``python -m stack``: Ctrl-C ends it at any moment, also while its imports run."""

import signal


def main() -> None:
    """Run the command line.

    An import that ``KeyboardInterrupt`` cuts in two may swallow it (the import system's callbacks cannot raise), and
    the service would start all the same. Until there is something to stop, the signal therefore simply ends the
    process; ``stack.interrupts`` takes it over after that.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from stack.cli import app

    app()


if __name__ == "__main__":
    main()
