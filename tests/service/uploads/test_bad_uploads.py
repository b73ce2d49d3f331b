"""Every bad file that we know of, sent to a gateway: its own code, a way out, and nothing left behind."""

import pytest

from secateur.errors import catalogue
from tests.badfiles import BAD_UPLOADS, BadUpload
from tests.service.conftest import Running

pytestmark = pytest.mark.only("embedded", reason="it is about HTTP; tests/infra hold the same rows on every backing")

REFUSED_AT_ONCE = [bad for bad in BAD_UPLOADS if bad.where == "screening"]


@pytest.mark.parametrize("bad", REFUSED_AT_ONCE, ids=lambda bad: bad.id)
def test_a_bad_file_is_refused_with_its_own_code_and_leaves_nothing(bad: BadUpload, gateway: Running) -> None:
    before = gateway.traces()

    answer = gateway.http.post(f"/v1/{bad.kind}s", params={"name": bad.name}, content=bad.build())

    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (catalogue()[bad.code].status, bad.code), problem
    assert problem["suggestions"]
    assert gateway.traces() == before
