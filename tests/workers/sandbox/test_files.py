"""Which folders a confined process may read: all that Python needs, and no data that lies beside it."""

from pathlib import Path

import pytest

from workers.sandbox import files

ROOT = Path(__file__).parents[3]


def test_a_checkout_is_not_readable_as_a_whole() -> None:
    """Run in place, the service keeps its database and its store in a folder of the checkout."""
    readable = files.readable()

    assert ROOT / "engine" in readable
    assert ROOT not in readable
    assert not any((ROOT / "var").is_relative_to(path) for path in readable)


def test_installed_packages_are_readable_with_ours_among_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an image our packages lie where NumPy does."""
    site = tmp_path / "lib" / "site-packages"
    (site / "workers" / "sandbox").mkdir(parents=True)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setattr(files, "__file__", str(site / "workers" / "sandbox" / "files.py"))

    assert site in files.readable()


def test_a_folder_in_a_closed_home_is_out_of_reach_of_others(tmp_path: Path) -> None:
    """Then an account without rights needs the capability to read all, or Python would not find itself."""
    inner = tmp_path / "home" / "python"
    inner.mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)

    assert not files.reachable_by_others([inner])
    assert files.reachable_by_others([Path("/usr/lib/any")])
