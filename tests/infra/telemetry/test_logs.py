"""Log lines for machines are one JSON object each, whoever writes them."""

import json
import subprocess
import sys

PROGRAM = """
import logging
from infra.telemetry import logs
logs.configure({log_format!r}, "info")
logs.logger("gateway").info("job accepted", job_id="job_1", num_bytes=3)
logging.getLogger("some.library").warning("careful: %s", "two\\nlines")
logs.logger("gateway").debug("too much")
secret = "hunter2"
try:
    1 / 0
except ZeroDivisionError as fault:
    logs.logger("gateway").error("unexpected", exc_info=fault)
"""


def lines(log_format: str) -> list[str]:
    """What a process with this format writes on standard error."""
    program = PROGRAM.format(log_format=log_format)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == ""
    return done.stderr.splitlines()


def test_lines_for_machines_are_one_json_object_each() -> None:
    """Also those of libraries, and those with a traceback: a collector cuts at line ends."""
    ours, library, fault = map(json.loads, lines("json"))

    assert (ours["event"], ours["level"], ours["logger"]) == ("job accepted", "info", "gateway")
    assert (ours["job_id"], ours["num_bytes"]) == ("job_1", 3)
    assert ours["timestamp"].endswith("Z")
    assert (library["event"], library["level"]) == ("careful: two\nlines", "warning")
    assert "ZeroDivisionError" in fault["exception"]


def test_lines_for_people_show_tracebacks_without_the_values_of_variables() -> None:
    """A local variable may hold a key or a user's data."""
    text = "\n".join(lines("console"))

    assert "job accepted" in text
    assert "ZeroDivisionError" in text
    assert "hunter2" not in text
    assert "too much" not in text
