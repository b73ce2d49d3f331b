"""One version, wherever it is named."""

import tomllib

from secateur.version import VERSION
from tests.architecture.test_shape import ROOT


def test_the_code_and_the_installation_name_one_version() -> None:
    """The code names it, because a sandboxed job cannot read the metadata of the installation."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
