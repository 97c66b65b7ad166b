import itertools
import socket
import struct
from collections.abc import Iterator

from harness.llm.wire.stamps import OPTION, TOLERANCE_NS, Difference, Offsets, arrival, difference, stamp_of

DAY_NS = 86_400 * 10**9


class Clocks:
    """The difference of two clocks, of which somebody sets one."""

    def __init__(self, ns: int = DAY_NS) -> None:
        self.ns, self.width_ns = ns, 100

    def __call__(self) -> Difference:
        return Difference(self.ns, self.width_ns)


def test_a_stamp_is_found_beside_the_data() -> None:
    beside = [(socket.SOL_SOCKET, 1, b"x"), (socket.SOL_SOCKET, OPTION, struct.pack("@ll", 3, 7))]
    assert stamp_of(beside) == 3_000_000_007
    assert stamp_of([]) is None


def test_the_real_difference_is_read_closely() -> None:
    first, second = difference(50), difference(50)
    assert abs(first.ns - second.ns) <= first.width_ns + second.width_ns + TOLERANCE_NS


def test_a_stamp_moves_to_the_other_clock() -> None:
    offsets = Offsets(Clocks())
    assert offsets.monotonic(DAY_NS + 500, read_ns=600) == 500


def test_a_wall_clock_that_is_set_does_not_move_arrivals() -> None:
    """Trap: one offset for the whole run; whoever sets the clock then moves all later arrivals."""
    clocks = Clocks()
    offsets = Offsets(clocks)
    reads = _reads_around(offsets, clocks)
    before, between, after = next(reads), next(reads), next(reads)
    assert offsets.monotonic(DAY_NS + before - 10, before) == before - 10
    assert offsets.monotonic(DAY_NS + between - 10, between) is None  # nobody knows which difference held
    assert offsets.monotonic(2 * DAY_NS + after - 10, after) == after - 10
    assert offsets.steps == 1


def _reads_around(offsets: Offsets, clocks: Clocks) -> Iterator[int]:
    """A time before a check, one in the stretch in which the clock is set, and one after it."""
    import time

    offsets.check()
    at = [time.monotonic_ns()]
    offsets.check()
    at.append(time.monotonic_ns())
    clocks.ns *= 2
    offsets.check()
    at.append(time.monotonic_ns())
    return itertools.chain(at)


def test_a_disturbed_reading_of_the_clocks_says_nothing() -> None:
    clocks = Clocks()
    offsets = Offsets(clocks)
    clocks.ns, clocks.width_ns = 5 * DAY_NS, TOLERANCE_NS + 1
    offsets.check()
    assert offsets.steps == 0


def test_a_stamp_after_its_own_reading_is_not_believed() -> None:
    offsets = Offsets(Clocks())
    later = [(socket.SOL_SOCKET, OPTION, struct.pack("@ll", 86_400, 900_000_000))]
    assert arrival(later, 1000, offsets) is None
    slightly = [(socket.SOL_SOCKET, OPTION, struct.pack("@ll", 86_400, 1500))]
    assert arrival(slightly, 1000, offsets) == 1000  # by less than the clocks can be compared
