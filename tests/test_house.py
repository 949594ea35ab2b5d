"""The structure of the packages: no circles, few entries on each level."""

from tests.house import circles, entries, floors, imports

MENUS = {"figures", "tables", "claims", "search_spaces"}
"""Folders whose files are one of a kind each: they grow with the study."""


def test_no_files_import_each_other_in_a_circle() -> None:
    found = imports("study", "search_spaces", "analysis")
    assert len(found) > 200
    assert circles(found) == []


def test_a_circle_is_found() -> None:
    found = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set(), "e": {"a"}}
    assert circles(found) == [{"a", "b", "c"}]
    assert floors({"a": {"b", "d"}, "b": {"c"}, "c": {"d"}, "d": set()}) == 4


def test_each_level_of_study_has_at_most_nine_entries() -> None:
    counts = entries("study")
    assert len(counts) > 20
    assert {str(folder): count for folder, count in counts.items() if count > 9} == {}
