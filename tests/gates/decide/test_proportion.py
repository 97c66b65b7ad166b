import pytest

from harness.gates.decide.proportion import clopper_pearson


@pytest.mark.parametrize(
    ("hits", "trials", "low", "high"),
    [
        # scipy 1.17.1, scipy.stats.binomtest(hits, trials).proportion_ci()
        (5, 100, 0.016431879181728, 0.112834911105463),
        (1, 400, 6.32925169048988e-05, 0.013849769962076),
        (398, 400, 0.982055855394414, 0.999393902190684),
    ],
)
def test_the_bounds_are_those_of_an_independent_implementation(hits: int, trials: int, low: float, high: float) -> None:
    assert clopper_pearson(hits, trials) == pytest.approx((low, high), abs=1e-9)


def test_no_hits_have_the_one_sided_upper_bound() -> None:
    assert clopper_pearson(0, 300) == pytest.approx((0.0, 1 - 0.05 ** (1 / 300)))


def test_only_hits_have_the_one_sided_lower_bound() -> None:
    assert clopper_pearson(300, 300) == pytest.approx((0.05 ** (1 / 300), 1.0))


def test_counts_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="should be counts"):
        clopper_pearson(3, 2)
    with pytest.raises(ValueError, match="should be counts"):
        clopper_pearson(0, 0)
