"""What is left of a load after its server was away, to the request and to its time."""

import time

from harness.llm.engines.remaining import Remaining
from harness.llm.exchange import Exchange, Failure
from harness.llm.schedule import Closed, Open
from tests.llm.engines.asking import reasons, request

LOST = Failure("lost", "it was killed")
FAR_NS = 3_600_000_000_000


def came(load: Remaining, *indexes: int, intended_ns: int = 0, failure: Failure | None = None) -> list[Exchange]:
    return [Exchange(index, load.requests[index], intended_ns, failure=failure) for index in indexes]


def test_at_first_everything_is_left_and_the_schedule_is_as_it_was() -> None:
    schedule = Open((0, 5, 9))
    load = Remaining([request()] * 3, schedule)
    assert load.schedule is schedule
    assert len(load.requests) == 3


def test_indexes_of_a_later_part_are_those_of_the_whole_load() -> None:
    requests = [request(str(number)) for number in range(4)]
    load = Remaining(requests, Closed((0, 0)))
    load.take(came(load, 0, 2))
    assert [each.text for each in load.requests] == ["1", "3"]
    load.take(came(load, 1))
    load.take(came(load, 0))
    assert [(each.index, each.request.text) for each in load.exchanges] == [(0, "0"), (1, "1"), (2, "2"), (3, "3")]


def test_users_of_a_closed_loop_go_on_at_once_and_still_think() -> None:
    load = Remaining([request()] * 5, Closed((0, 10, 20, 30), think_ns=7))
    load.take(came(load, 0, 1, 2))
    assert load.schedule == Closed((0, 0), think_ns=7)


def test_the_times_of_an_open_loop_stay_what_they_were() -> None:
    load = Remaining([request()] * 3, Open((0, 5, FAR_NS)))
    origin_ns = time.monotonic_ns() - 1_000_000
    load.take(came(load, 0, intended_ns=origin_ns))
    load.miss(LOST)
    schedule = load.schedule
    assert isinstance(schedule, Open)
    (offset_ns,) = schedule.offsets_ns
    assert 0 <= origin_ns + FAR_NS - (time.monotonic_ns() + offset_ns) + 10**9 < 2 * 10**9
    assert reasons(load.exchanges) == [None, "lost"]
    assert load.exchanges[1].intended_ns == origin_ns + 5
    assert load.exchanges[1].sent_ns == 0


def test_a_closed_loop_misses_nothing() -> None:
    load = Remaining([request()] * 2, Closed((0,)))
    load.miss(LOST)
    assert load.exchanges == []


def test_giving_up_fails_what_is_left_and_says_that_it_was_not_sent() -> None:
    load = Remaining([request()] * 3, Closed((0,)))
    load.take(came(load, 0))
    load.give_up(LOST)
    assert reasons(load.exchanges) == [None, "lost", "lost"]
    failure = load.exchanges[2].failure
    assert failure is not None
    assert failure.message == "not sent: it was killed"
    assert load.requests == []


def test_who_found_nobody_waits_in_a_closed_loop_only() -> None:
    """Trap: a server killed once used up a whole closed load in the milliseconds before its end was noticed."""
    refused = Failure("refused", "nobody listens")
    closed, open_ = Remaining([request()] * 2, Closed((0,))), Remaining([request()] * 2, Open((0, 1)))
    for load, left in ((closed, 0), (open_, 2)):
        part = came(load, 0, 1, failure=refused)
        assert len(load.without_unread(part, part)) == left
    under_way = came(closed, 0, failure=LOST)
    under_way[0].sent_ns, under_way[0].ended_ns = 10, 20
    assert closed.without_unread(under_way, under_way) == under_way


def test_who_was_let_in_by_a_dying_server_waits_too() -> None:
    """Trap: its connections are accepted for some milliseconds more, and then reset."""
    load = Remaining([request()] * 2, Closed((0,)))
    first, second = came(load, 0, 1, failure=Failure("reset", "it broke off"))
    first.sent_ns, first.ended_ns = 10, 20
    second.sent_ns, second.ended_ns = 30, 40
    assert load.without_unread([first, second], [first, second]) == [first]
