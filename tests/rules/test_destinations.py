"""What goes to a registry of any kind, and under which name."""

import pytest

from mirror.rules.destinations import DestinationRule


@pytest.mark.parametrize(
    ("strip", "prefix", "name", "target"),
    [
        ("", "", "team/app", "team/app"),
        ("team", "", "team/app", "app"),
        ("team", "mirror", "team/app", "mirror/app"),
        ("team", "mirror", "other/app", "mirror/other/app"),
        ("tea", "", "team/app", "team/app"),
        ("", "a/b", "app", "a/b/app"),
    ],
)
def test_a_repository_is_renamed_by_whole_parts_of_its_path(strip: str, prefix: str, name: str, target: str) -> None:
    """Issue 4, section 3: renaming."""
    assert DestinationRule("backup", "https://r.example", strip=strip, prefix=prefix).target(name) == target


def test_a_destination_chooses_repositories_and_tags() -> None:
    """Issue 4, section 3: repository and tag filters."""
    rule = DestinationRule("backup", "https://r.example", repositories=("team/*", "!team/tmp*"), tags=("v*",))
    assert [rule.covers(name) for name in ("team/app", "team/tmp1", "app")] == [True, False, False]
    assert [rule.wants(tag) for tag in ("v1", "latest")] == [True, False]
    assert not rule.wants_all
