"""Lines that the child's own code logs reach its parent; those of the libraries that it uses do not."""

import logging
from collections.abc import Iterator

import pytest

from secateur.protocol.progress import LogLine
from secateur.report_limits import MAX_TEXT
from workers.child import log


@pytest.fixture
def lines() -> Iterator[list[LogLine]]:
    """What was sent up; at the end the loggers are as they were."""
    sent: list[LogLine] = []
    loggers = [logging.getLogger(name) for name in log.PACKAGES]
    before = [(logger, logger.level, list(logger.handlers)) for logger in loggers]
    log.forward_logs(sent.append)
    yield sent
    for logger, level, handlers in before:
        logger.setLevel(level)
        logger.handlers = handlers


def test_lines_come_with_their_level_and_the_name_of_their_logger(lines: list[LogLine]) -> None:
    logging.getLogger("engine.training").warning("%d layers are left alone", 3)
    logging.getLogger("engine").debug("details")
    logging.getLogger("tensorflow").warning("not ours")

    assert lines == [LogLine(level="warning", logger="engine.training", message="3 layers are left alone")]


def test_a_long_line_is_cut_and_says_so(lines: list[LogLine]) -> None:
    logging.getLogger("engine").info("x" * 10**6)

    assert len(lines[0].message) <= MAX_TEXT
    assert lines[0].message.endswith("(998040 characters left out)")
