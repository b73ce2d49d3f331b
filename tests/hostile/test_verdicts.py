"""Every hostile file meets its own typed error, in the gateway or in a confined child that lives on."""

import io
import json
import sys

import pytest

from screening import screen
from secateur.errors import SecateurError
from tests.badfiles import BadUpload
from tests.hostile.costly import ALL, ALL_HOSTILE
from tests.hostile.files import CVES
from workers.sandbox.level import FULL, Sandbox, hand_over
from workers.supervision.process import LOG_NAME, Child, ChildExit

SCREENED = [bad for bad in ALL_HOSTILE if bad.where == "screening"]
CHECKED = [bad for bad in ALL if bad.where == "check"]


def test_there_is_a_file_for_each_advisory_and_at_least_sixty_in_all() -> None:
    """A name in the list of advisories that no table has would answer nothing."""
    ids = [bad.id for bad in ALL]

    assert len(ids) == len(set(ids)) >= 60
    assert {id for answers in CVES.values() for id in answers} <= set(ids)


@pytest.mark.parametrize("bad", SCREENED, ids=lambda bad: bad.id)
def test_the_gateway_refuses_it_before_it_is_kept(bad: BadUpload) -> None:
    """And says what to do instead, as it does to those who mean no harm."""
    with pytest.raises(SecateurError) as caught:
        screen(bad.kind, bad.name, io.BytesIO(bad.build()))

    assert caught.value.code == bad.code
    assert caught.value.suggestions


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What one confined process says of all files that only a library can judge."""
    folder = tmp_path_factory.mktemp("judge")
    for bad in CHECKED:
        place = folder / f"{bad.kind}-{bad.id}"
        place.mkdir()
        (place / bad.name).write_bytes(bad.build())
    confinement = Sandbox(FULL, file_bytes=1 << 30).confinement(folder, 0)
    assert confinement is not None
    hand_over(folder, confinement)

    command = [sys.executable, "-P", "-s", "-m", "tests.hostile.judge", confinement.to_json()]
    child = Child.spawn(command, folder=folder)
    while not isinstance(child.next_event(10), ChildExit):
        continue
    child.kill()
    lines = (folder / LOG_NAME).read_text().splitlines()
    return dict(json.loads(line) for line in lines if line.startswith('["'))


@pytest.mark.parametrize("bad", CHECKED, ids=lambda bad: bad.id)
def test_the_confined_check_refuses_it_and_lives_on(bad: BadUpload, verdicts: dict[str, str]) -> None:
    """All of them in one process, one behind the other: none of them ends it."""
    assert verdicts[bad.id] == bad.code
