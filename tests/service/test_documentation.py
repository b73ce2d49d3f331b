"""The pages that describe the API, as a browser without internet gets them."""

import re

import pytest

from tests.service.conftest import Running


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_everything_that_a_page_loads_comes_from_the_gateway(page: str, gateway: Running) -> None:
    """The page was blank without internet: its scripts came from another host."""
    answer = gateway.http.get(page)

    loaded = re.findall(r"""(?:src|href)=["']([^"']+)""", answer.text)
    assert answer.status_code == 200
    assert loaded
    assert [(address, gateway.http.get(address).status_code) for address in loaded] == [(each, 200) for each in loaded]
    assert "https://" not in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")


def test_a_file_that_there_is_not_is_a_problem_like_others(gateway: Running) -> None:
    assert gateway.http.get("/docs/static/nothing.js").json()["code"] == "not_found"
