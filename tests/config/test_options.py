"""Groups and options as the folders have them, read as plain text."""

from pathlib import Path

import pytest

from harness.config.options import ENVIRONMENT, Groups, defaults, first_comment, folders, groups, missing


@pytest.fixture(autouse=True)
def no_folder_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)


def found_in(*config_dirs: Path) -> Groups:
    return groups(folders(config_dirs))


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_shipped_folder_has_the_groups_of_the_configuration_and_no_catalogue() -> None:
    found = found_in()
    assert {"scenario", "device", "telemetry", "lock", "affinity", "suite", "experiment"} <= set(found)
    assert "metrics" not in found
    assert all(option.shipped for options in found.values() for option in options.values())


def test_a_users_option_is_added_and_one_of_a_shipped_name_is_hidden(tmp_path: Path) -> None:
    write(
        tmp_path / "scenario" / "mine.yaml", "# @package _global_\n# What I measure:  python -m harness scenario=mine\n"
    )
    write(tmp_path / "device" / "cpu.yaml")
    found = found_in(tmp_path)
    assert not found["scenario"]["mine"].shipped
    assert found["scenario"]["mine"].description == "What I measure"
    assert found["device"]["cpu"].shipped
    assert found["device"]["cpu"].shadowed == (f"{tmp_path}/device/cpu.yaml",)


def test_groups_may_be_nested(tmp_path: Path) -> None:
    write(tmp_path / "scenario" / "deep" / "one.yaml")
    assert "one" in found_in(tmp_path)["scenario/deep"]


def test_folders_are_searched_in_order_and_each_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, f"{tmp_path / 'b'}:{tmp_path / 'a'}")
    assert [folder.path.name for folder in folders([tmp_path / "a"])] == ["conf", "a", "b"]


def test_a_missing_folder_is_named_as_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (problem,) = missing(folders([Path("absent")]))
    assert str(problem).startswith("folder absent: no such folder")


def test_the_defaults_are_those_of_the_defaults_list() -> None:
    assert defaults()["device"] == "cpu"
    assert defaults()["telemetry"] == "full"
    assert "scenario" not in defaults()
    assert "suite" not in defaults()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("# @package _global_\n\n# About it.\n# More.\na: 1\n", "About it."),
        ("a: 1  # not this\n# nor this\n", ""),
        ("", ""),
        ("#\n# \n# x\n", "x"),
    ],
)
def test_the_first_comment_is_what_a_file_says_about_itself(tmp_path: Path, text: str, expected: str) -> None:
    assert first_comment(write(tmp_path / "a.yaml", text)) == expected


def test_a_file_that_went_away_says_nothing(tmp_path: Path) -> None:
    assert first_comment(tmp_path / "absent.yaml") == ""
