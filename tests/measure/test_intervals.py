from itertools import accumulate
from math import comb

import pytest

from harness.measure.intervals import POPULATION_N, lower_rank, needed, ranks, student_t

# Two-sided quantiles as printed in statistical tables (for example NIST/SEMATECH e-Handbook 1.3.6.7.2).
T_TABLE = {
    (1, 0.95): 12.706,
    (2, 0.95): 4.303,
    (5, 0.95): 2.571,
    (9, 0.95): 2.262,
    (10, 0.99): 3.169,
    (29, 0.95): 2.045,
    (30, 0.99): 2.750,
    (60, 0.95): 2.000,
    (100, 0.95): 1.984,
    (1000, 0.95): 1.962,
}
# Ranks printed for the median's sign-test interval (Conover, Practical Nonparametric Statistics, table A3).
MEDIAN_RANKS = {6: (1, 6), 8: (1, 8), 10: (2, 9), 20: (6, 15), 30: (10, 21)}


@pytest.mark.parametrize(("freedom", "level"), T_TABLE, ids=lambda value: str(value))
def test_student_quantiles_are_those_of_the_tables(freedom: int, level: float) -> None:
    assert student_t(freedom, level) == pytest.approx(T_TABLE[freedom, level], abs=6e-4)


def test_the_closed_form_and_the_expansion_agree_where_they_meet() -> None:
    assert student_t(200) > student_t(201) > student_t(202)
    assert student_t(200) - student_t(201) == pytest.approx(student_t(201) - student_t(202), rel=0.02)


def test_no_degrees_of_freedom_is_an_error_that_names_the_value() -> None:
    with pytest.raises(ValueError, match=r"`freedom` should be at least 1\. Found `freedom = 0`"):
        student_t(0)


@pytest.mark.parametrize("n", MEDIAN_RANKS)
def test_median_ranks_are_those_of_the_sign_test(n: int) -> None:
    assert ranks(n, 0.5) == MEDIAN_RANKS[n]


def exact_tails(n: int, q: float) -> list[float]:
    """P(B <= k) for every k, summed without a shortcut."""
    return list(accumulate(comb(n, i) * q**i * (1 - q) ** (n - i) for i in range(n + 1)))


@pytest.mark.parametrize("q", [0.5, 0.9, 0.95, 0.99])
@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 35, 36, 37, 71, 72, 100, 367, 368, 500])
def test_ranks_are_the_tightest_that_keep_their_tail(n: int, q: float) -> None:
    for share in (q, 1 - q):
        rank = lower_rank(n, share)
        tails = exact_tails(n, share)
        within = [r for r in range(1, n + 1) if tails[r - 1] <= 0.025 + 1e-12]
        assert rank == (max(within) if within else None)


def test_so_many_samples_carry_both_bounds() -> None:
    for q, n in ((0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368)):
        assert needed(q) == n
        assert None not in ranks(n, q)
        assert None in ranks(n - 1, q)


def test_ranks_of_many_samples_are_near_the_normal_ones() -> None:
    low, high = ranks(1_000_000, 0.99)
    assert low is not None
    assert high is not None
    assert low == pytest.approx(990_000 - 1.96 * 99.5, abs=3)
    assert high == pytest.approx(990_000 + 1.96 * 99.5, abs=3)


@pytest.mark.parametrize(("stat", "q"), [("p90", 0.9), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999)])
def test_population_sizes_allow_one_overrun_at_99_percent_confidence(stat: str, q: float) -> None:
    def one_overrun(n: int) -> float:
        return q**n + n * (1 - q) * q ** (n - 1)

    assert one_overrun(POPULATION_N[stat]) <= 0.01 < one_overrun(POPULATION_N[stat] - 1)
