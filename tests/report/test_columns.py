from harness.report.columns import columns


def test_each_column_is_as_wide_as_its_widest_cell() -> None:
    assert columns(("a", "long", "c"), [("wide cell", "b", ""), ("d", "e\nf", "g")]).splitlines() == [
        "a          long  c",
        "wide cell  b",
        "d          e f   g",
    ]


def test_without_rows_there_is_the_heading() -> None:
    assert columns(("a", "b"), []) == "a  b"
