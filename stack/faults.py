"""Why a stack cannot start or go on, for the person at the terminal."""


class StackError(Exception):
    """What happened, how to fix it, and the end of the log that tells more."""

    def __init__(self, what: str, fix: str, log_tail: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.log_tail = log_tail
