"""The table of protocol versions."""

from __future__ import annotations

from wsdriver.driver.versions import HYBI_13, VERSIONS


def test_version_13_is_in_the_table() -> None:
    assert VERSIONS["13"] is HYBI_13
    assert HYBI_13.name == "hybi-13"
    assert HYBI_13.pingable is True
    assert HYBI_13.supports_close_codes is True


def test_versions_are_found_by_their_number() -> None:
    assert all(version.number == number for number, version in VERSIONS.items())
    names = [version.name for version in VERSIONS.values()]
    assert len(set(names)) == len(names)
