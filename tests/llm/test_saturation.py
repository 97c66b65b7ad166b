import pytest

from harness.llm.saturation import Bracket, search


def searched(limit: float, **changes: float) -> Bracket:
    """The search on a service whose limit is known."""
    knobs = {"lowest": 1.0, "highest": 100.0, "growth": 2.0, "resolution": 0.05, "most_tries": 40, **changes}
    return search(
        lambda rate: rate <= limit,
        lowest=knobs["lowest"],
        highest=knobs["highest"],
        growth=knobs["growth"],
        resolution=knobs["resolution"],
        most_tries=int(knobs["most_tries"]),
    )


@pytest.mark.parametrize("limit", [1.0, 3.7, 10.0, 63.9, 99.0])
def test_the_limit_lies_in_the_bracket(limit: float) -> None:
    found = searched(limit)
    assert found.kept is not None
    assert found.missed is not None
    assert found.kept <= limit < found.missed
    assert found.missed - found.kept <= 0.05 * found.kept
    assert found.estimate == pytest.approx(limit, rel=0.05)


def test_a_service_that_keeps_nothing_has_no_limit_above_zero() -> None:
    found = searched(0.5)
    assert (found.kept, found.missed, found.estimate) == (None, 1.0, 0.0)
    assert len(found.tried) == 1


def test_a_service_that_keeps_everything_leaves_the_bracket_open() -> None:
    found = searched(1e9)
    assert (found.kept, found.missed, found.estimate) == (100.0, None, 100.0)


def test_the_search_ends_after_so_many_tries() -> None:
    assert len(searched(50.0, resolution=1e-9, most_tries=7).tried) == 7
