"""The delivery state machine: examples, and invariants under any sequence of events."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infra.embedded.pubsub.entries import Budget, Consumer, Entry, RetryPolicy, State
from infra.embedded.pubsub.model import SECOND, Pending
from infra.embedded.pubsub.subscription import DeliveryQueue

PLENTY = 1 << 40


def make_queue(*pending: Pending, is_ordered: bool = False) -> DeliveryQueue:
    queue = DeliveryQueue(is_ordered, itertools.count(1))
    for message in pending:
        queue.offer(message, now=0)
    return queue


def take(queue: DeliveryQueue, consumer: Consumer | None = None, count: int = 100, until: int = 10) -> list[Entry]:
    return queue.take(consumer or Consumer(), Budget(count, PLENTY), until)


def ids(entries: list[Entry]) -> list[int]:
    return [entry.message_id for entry in entries]


def pairs(entries: list[Entry]) -> list[tuple[int, int]]:
    return [(entry.message_id, entry.lease) for entry in entries]


def test_take__is_oldest_first_whatever_order_they_came_in() -> None:
    queue = make_queue(*(Pending(i, "", 1) for i in (3, 1, 2)))
    assert ids(take(queue)) == [1, 2, 3]


def test_take__stops_at_the_byte_budget_and_passes_one_that_exceeds_it() -> None:
    queue = make_queue(Pending(1, "", 60), Pending(2, "", 50), Pending(3, "", 500))
    assert ids(queue.take(Consumer(), Budget(10, 100), 10)) == [1]
    assert ids(queue.take(Consumer(), Budget(10, 100), 10)) == [2]
    assert ids(queue.take(Consumer(), Budget(10, 100), 10)) == [3]


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (6, 320), (7, 600), (100, 600)])
def test_backoff__doubles_up_to_the_maximum(failures: int, seconds: int) -> None:
    assert RetryPolicy(10 * SECOND, 600 * SECOND).backoff(failures) == seconds * SECOND


def test_backoff__is_nothing_without_a_policy() -> None:
    assert RetryPolicy().backoff(5) == 0


def test_tick__does_not_end_an_extended_lease_at_its_first_deadline() -> None:
    queue = make_queue(Pending(1, "", 1))
    leased = take(queue, until=10)
    queue.extend(pairs(leased), until=50)
    assert queue.tick(10)[0].again == []
    assert ids(queue.tick(50)[0].again) == [1]


def test_tick__does_not_end_a_shortened_lease_twice() -> None:
    queue = make_queue(Pending(1, "", 1))
    queue.extend(pairs(take(queue, until=50)), until=10)
    assert ids(queue.tick(10)[0].again) == [1]
    second = take(queue, until=100)
    assert queue.tick(50)[0].again == []
    assert second[0].failures == 1


def test_offer__holds_back_until_not_before() -> None:
    queue = make_queue(Pending(1, "", 1, failures=2, not_before=30))
    assert take(queue) == []
    queue.tick(30)
    (entry,) = take(queue)
    assert entry.attempt == 3


def test_fail__is_dead_at_the_last_attempt_and_revives_when_burial_fails() -> None:
    queue = make_queue(Pending(1, "", 1, failures=4))
    queue.max_attempts = 5
    failures = queue.fail(pairs(take(queue)), now=0)
    assert (ids(failures.dead), failures.again) == ([1], [])
    assert take(queue) == []
    queue.revive(failures.dead[0], now=0)
    (entry,) = take(queue)
    assert entry.attempt == 6


def test_acknowledge__late_settles_once() -> None:
    queue = make_queue(Pending(1, "", 1))
    late = pairs(take(queue))
    queue.tick(10)
    again = pairs(take(queue))
    assert ids(queue.acknowledge(late).settled) == [1]
    result = queue.acknowledge(again)
    assert (result.settled, result.unknown) == ([], [1])
    assert len(queue) == 0


def test_acknowledge__counts_a_message_that_is_not_held_as_unknown() -> None:
    assert make_queue().acknowledge([(7, 1)]).unknown == [7]
    assert make_queue(is_ordered=True).acknowledge([(7, 1)]).unknown == []


def test_lane__single_consumer_gets_one_message_of_a_key_at_a_time() -> None:
    queue = make_queue(*(Pending(i, "k", 1) for i in (1, 2)), Pending(3, "other", 1), is_ordered=True)
    push = Consumer(is_single=True)
    first = take(queue, push)
    assert ids(first) == [1, 3]
    assert take(queue, push) == []
    queue.acknowledge(pairs(first))
    assert ids(take(queue, push)) == [2]


def test_lane__is_freed_for_others_when_its_stream_lets_the_lease_end() -> None:
    queue = make_queue(*(Pending(i, "k", 1) for i in (1, 2)), is_ordered=True)
    gone, other = Consumer(is_sticky=True), Consumer(is_sticky=True)
    assert ids(take(queue, gone, count=1)) == [1]
    assert take(queue, other) == []
    queue.tick(10)
    assert ids(take(queue, other)) == [1, 2]


def test_remove__of_the_first_of_a_key_settles_what_waited_for_it() -> None:
    queue = make_queue(*(Pending(i, "k", 1) for i in (1, 2, 3)), is_ordered=True)
    leased = take(queue, Consumer(is_sticky=True))
    assert queue.acknowledge(pairs(leased[1:2])).settled == []
    assert ids(queue.remove([1])) == [2]
    assert ids(queue.acknowledge(pairs(leased[2:])).settled) == [3]
    assert len(queue) == 0


def test_entry__refuses_a_move_that_makes_no_sense() -> None:
    with pytest.raises(RuntimeError, match="cannot go from ready to acked"):
        Entry(1, "", 1).move(State.ACKED)


class Deliveries(RuleBasedStateMachine):
    """Any sequence of offers, takes, acknowledgements, refusals and time, with and without keys."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.next_id = 1
        self.keys: dict[int, str] = {}
        self.settled: list[int] = []
        self.leases: list[tuple[int, int]] = []
        self.consumers = [Consumer(is_sticky=True), Consumer(is_sticky=True), Consumer(is_single=True)]

    @initialize(is_ordered=st.booleans(), backoff=st.sampled_from([0, 3]), attempts=st.sampled_from([None, 3]))
    def begin(self, is_ordered: bool, backoff: int, attempts: int | None) -> None:
        self.queue = DeliveryQueue(is_ordered, itertools.count(1))
        self.queue.retry = RetryPolicy(backoff, backoff * 4)
        self.queue.max_attempts = attempts

    @rule(key=st.sampled_from(["", "a", "b"]), delay=st.sampled_from([0, 0, 0, 4]))
    def offer(self, key: str, delay: int) -> None:
        not_before = self.now + delay if delay else 0
        self.queue.offer(Pending(self.next_id, key, 1, not_before=not_before), self.now)
        self.keys[self.next_id] = key
        self.next_id += 1

    @rule(which=st.integers(0, 3), count=st.integers(1, 4))
    def take(self, which: int, count: int) -> None:
        consumer = self.consumers[which] if which < 3 else Consumer()
        for entry in self.queue.take(consumer, Budget(count, PLENTY), self.now + 5):
            self.leases.append((entry.message_id, entry.lease))
            self.check_order(entry, consumer)

    def check_order(self, entry: Entry, consumer: Consumer) -> None:
        """What precedes it in its key is settled, or handed to the same consumer."""
        if not self.queue.is_ordered or not entry.ordering_key:
            return
        for message_id, other in self.queue._held.items():
            if other.ordering_key == entry.ordering_key and message_id < entry.message_id:
                assert other.state in (State.LEASED, State.ACKED, State.DEAD)
                assert other.holder in (consumer, None)

    @precondition(lambda self: self.leases)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        self.settle(self.queue.acknowledge([data.draw(st.sampled_from(self.leases))]).settled)

    @precondition(lambda self: self.leases)
    @rule(data=st.data(), is_buried=st.booleans())
    def refuse(self, data: st.DataObject, is_buried: bool) -> None:
        failures = self.queue.fail([data.draw(st.sampled_from(self.leases))], self.now)
        self.bury(failures.dead, is_buried)

    @rule(by=st.integers(1, 6), is_buried=st.booleans())
    def wait(self, by: int, is_buried: bool) -> None:
        self.now += by
        self.bury(self.queue.tick(self.now)[0].dead, is_buried)

    @precondition(lambda self: self.next_id > 1)
    @rule(data=st.data())
    def purge(self, data: st.DataObject) -> None:
        message_id = data.draw(st.integers(1, self.next_id - 1))
        is_held = message_id in self.queue._held
        self.settle(self.queue.remove([message_id]))
        if is_held:
            self.settled.append(message_id)

    def bury(self, dead: list[Entry], is_buried: bool) -> None:
        for entry in dead:
            if is_buried:
                self.settle(self.queue.bury(entry))
            else:
                self.queue.revive(entry, self.now)

    def settle(self, entries: list[Entry]) -> None:
        self.settled += ids(entries)

    @invariant()
    def nothing_is_lost_or_settled_twice(self) -> None:
        if hasattr(self, "queue"):
            assert sorted([*self.settled, *self.queue._held]) == list(range(1, self.next_id))

    @invariant()
    def consumers_hold_what_is_leased_to_them(self) -> None:
        if hasattr(self, "queue"):
            for consumer in self.consumers:
                held = [e for e in self.queue._held.values() if e.holder is consumer]
                assert consumer.messages == len(held)
                assert all(e.state is State.LEASED for e in held)

    def teardown(self) -> None:
        """Whatever happened, everything can still be delivered and finished."""
        if not hasattr(self, "queue"):
            return
        self.queue.max_attempts = None
        for _ in range(4 * self.next_id + 4):
            self.now += 100
            self.queue.tick(self.now)
            taken = self.queue.take(Consumer(), Budget(1000, PLENTY), self.now + 5)
            self.settle(self.queue.acknowledge(pairs(taken)).settled)
        assert len(self.queue) == 0
        self.nothing_is_lost_or_settled_twice()


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
