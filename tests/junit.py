"""What a test run has written down of itself."""

from xml.etree import ElementTree


def failed(report: str) -> list[str]:
    """The tests that failed, as a report in JUnit's format names them.

    >>> bad, good = (f'<testcase classname="tests.a" name="{name}">' for name in "xy")
    >>> failed(f"<testsuites>{bad}<failure/></testcase>{good}</testcase></testsuites>")
    ['tests.a::x']
    """
    cases = ElementTree.fromstring(report).iter("testcase")
    wrong = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    return [f"{case.get('classname')}::{case.get('name')}" for case in wrong]
