"""Where a value was written: the last file or override that set it, also behind a reference."""

from pathlib import Path

import pytest

from harness.config.composed import Assignment, Composed, Layer
from harness.config.locate import Locator, deepest, node_of


def composed(tmp_path: Path, files: dict[str, tuple[str, tuple[str, ...]]], **fields: object) -> Composed:
    layers = []
    for name, (text, package) in files.items():
        (tmp_path / name).write_text(text)
        layers.append(Layer(tmp_path / name, name, package))
    base = {"config": {}, "choices": {}, "sources": {}, "overrides": [], "mode": "RUN", "trace": lambda: layers}
    return Composed(**(base | fields))  # type: ignore[arg-type]


def test_the_last_file_that_has_the_key_wins(tmp_path: Path) -> None:
    files = {"a.yaml": ("x: {y: 1}\nz: 2\n", ()), "b.yaml": ("\nx:\n  y: 3\n", ())}
    locator = Locator(composed(tmp_path, files))
    assert locator.place(("x", "y")) == "b.yaml:3"
    assert locator.place(("z",)) == "a.yaml:2"


def test_a_key_that_is_missing_is_placed_at_its_parent(tmp_path: Path) -> None:
    locator = Locator(composed(tmp_path, {"a.yaml": ("x:\n  y: 1\n", ()), "b.yaml": ("z: 1\n", ())}))
    assert locator.place(("x", "absent", "deeper")) == "a.yaml:1"


def test_the_package_of_a_file_is_part_of_the_path(tmp_path: Path) -> None:
    files = {"config.yaml": ("a: 1\n", ()), "rules.yaml": ("rules:\n  - {m: 1}\n  - {n: 2}\n", ("threshold",))}
    assert Locator(composed(tmp_path, files)).place(("threshold", "rules", "1", "n")) == "rules.yaml:3"


def test_an_override_of_the_key_or_above_wins_over_files(tmp_path: Path) -> None:
    assignments = (Assignment("x={y: 4}", ("x",)), Assignment("z=5", ("z",)), Assignment("x.y=6", ("x", "y")))
    locator = Locator(composed(tmp_path, {"a.yaml": ("x: {y: 1}\n", ())}, assignments=assignments))
    assert locator.place(("x", "y")) == "override x.y=6"
    assert locator.place(("x", "w")) == "override x={y: 4}"


def test_the_choice_of_an_option_is_not_the_place_of_its_values(tmp_path: Path) -> None:
    assignments = (Assignment("x=option", ("x",), group=True),)
    assert (
        Locator(composed(tmp_path, {"a.yaml": ("x: {y: 1}\n", ())}, assignments=assignments)).place(("x", "y"))
        == "a.yaml:1"
    )


def test_a_value_behind_a_reference_is_placed_where_it_stands(tmp_path: Path) -> None:
    files = {"a.yaml": ("scenario:\n  model: ${model}\n", ()), "m.yaml": ("\n\nhidden: 0\n", ("model",))}
    locator = Locator(composed(tmp_path, files, references={("scenario", "model"): "${model}"}))
    assert locator.place(("scenario", "model", "hidden")) == "m.yaml:3"


def test_references_that_go_round_end(tmp_path: Path) -> None:
    references = {("a",): "${b}", ("b",): "${a}"}
    assert Locator(composed(tmp_path, {"a.yaml": ("a: ${b}\nb: ${a}\n", ())}, references=references)).place(("a", "x"))


@pytest.mark.parametrize(
    ("keys", "expected"),
    [(("a", "0", "b"), (3, 2)), (("a", "7"), (1, 1)), (("c",), (0, 0)), (("a", "0", "b", "d"), (3, 2))],
)
def test_the_deepest_existing_key_and_its_line(
    tmp_path: Path, keys: tuple[str, ...], expected: tuple[int, int]
) -> None:
    (tmp_path / "a.yaml").write_text("a:\n  - b: 1\n")
    assert deepest(node_of(tmp_path / "a.yaml"), keys) == expected


def test_a_file_that_cannot_be_read_has_no_nodes(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {b\n")
    assert node_of(tmp_path / "a.yaml") is None
    assert node_of(tmp_path / "absent.yaml") is None
