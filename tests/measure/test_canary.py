from harness.measure.canary import CANARY, Canary
from harness.measure.catalogue import load_catalogue
from harness.results import baseline


def test_it_gives_a_time_every_time() -> None:
    canary = Canary()
    assert all(canary.duration_ms() > 0 for _ in range(5))


def test_its_metric_is_declared_and_is_the_one_that_baselines_keep() -> None:
    assert CANARY == baseline.CANARY
    assert load_catalogue({})[CANARY].better == "none"
