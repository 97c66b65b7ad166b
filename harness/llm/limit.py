"""The search for the longest prompt that fits, from a guess that is usually right."""

from collections.abc import Callable


def longest(fits: Callable[[int], bool], guess: int, least: int, most: int) -> tuple[int | None, int | None]:
    """The largest length that fits and the smallest that does not; they differ by 1 unless the range ends first.

    From the guess the steps double until the answer changes, then the gap is halved: a good guess takes a handful of
    tries, a bad one twice the logarithm of its error. None stands for a bound that the range from `least` to `most`
    does not hold.
    """
    at = min(max(guess, least), most)
    good, bad = (at, None) if fits(at) else (None, at)
    step = 1
    while bad is None and good is not None and good < most:
        at = min(good + step, most)
        good, bad = (at, None) if fits(at) else (good, at)
        step *= 2
    while good is None and bad is not None and bad > least:
        at = max(bad - step, least)
        good, bad = (at, bad) if fits(at) else (None, at)
        step *= 2
    while good is not None and bad is not None and bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (middle, bad) if fits(middle) else (good, middle)
    return good, bad
