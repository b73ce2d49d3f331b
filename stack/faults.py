"""The error of a stack, for the person at the terminal."""


class StackError(Exception):
    """A stack cannot start or continue: what happened, how to fix it, and the end of a log."""

    def __init__(self, what: str, fix: str, log_tail: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.log_tail = log_tail
