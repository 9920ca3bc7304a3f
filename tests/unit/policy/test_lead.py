"""Who leads: decisions over a lease, and what holds whatever processes, clocks and the database do."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from inferry.policy.lead import decide, may_act, next_epoch
from inferry.types.lead import Claim, Lease

LEASE_S = 10.0
LEASE = Lease(epoch=4, holder="a", name="A", place="p", since=0.0, until=100.0)


@pytest.mark.parametrize(
    ("lease", "me", "now", "gone", "step"),
    [
        (None, Claim(holder="b"), 0.0, False, "lead"),
        (LEASE, Claim(holder="b"), 99.9, False, "follow"),
        (LEASE, Claim(holder="b"), 100.0, False, "lead"),
        (LEASE, Claim(holder="b"), 50.0, True, "lead"),  # its process has ended
        (LEASE, Claim(holder="a", epoch=4), 99.0, False, "lead"),
        (LEASE, Claim(holder="a", epoch=4), 500.0, False, "lead"),  # it has run out, and nobody took it
        (LEASE, Claim(holder="a", epoch=3), 50.0, False, "step down"),
        (LEASE, Claim(holder="b", epoch=4), 50.0, False, "step down"),
        (None, Claim(holder="a", epoch=4), 50.0, False, "step down"),
    ],
)
def test_who_leads(lease, me, now, gone, step) -> None:
    assert decide(lease, me, now, gone=gone) == step


def test_epochs_go_up_by_one_and_never_back() -> None:
    assert next_epoch(None, 0) == 1
    assert next_epoch(LEASE, 0) == 5
    assert next_epoch(LEASE, 7) == 8  # the database was set back to an older state


def test_a_leader_acts_until_a_lease_after_it_last_asked() -> None:
    assert may_act(5.0, LEASE_S, 14.9)
    assert not may_act(5.0, LEASE_S, 15.0)


class Process:
    def __init__(self, name: str) -> None:
        self.name, self.epoch, self.confirmed, self.stopped = name, 0, 0.0, False


class Elections(RuleBasedStateMachine):
    """Three processes, a database and what they act on. Each step is one that a real process takes at once; between
    two of them it may be stopped for any time. What is acted on remembers the latest epoch it heard of."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.up = 1000.0, True
        self.lease: Lease | None = None
        self.noted = 0  # the run folder
        self.heard = 0  # gateway, zygotes, replicas
        self.processes = [Process(name) for name in "abc"]
        self.written: list[int] = []
        self.acted: list[int] = []

    who = st.integers(0, 2)

    @rule(seconds=st.floats(0.1, 12.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule(up=st.booleans())
    def the_database_goes_or_comes(self, up: bool) -> None:
        self.up = up

    @rule(who=who, stopped=st.booleans())
    def stop_or_go_on(self, who: int, stopped: bool) -> None:
        self.processes[who].stopped = stopped

    @rule(who=who)
    def end(self, who: int) -> None:
        self.processes[who] = Process(self.processes[who].name + "'")

    @rule(who=who)
    def contend_or_renew(self, who: int) -> None:
        me = self.processes[who]
        if me.stopped:
            return
        if not self.up:
            if me.epoch and self.noted <= me.epoch:
                me.confirmed = self.now
            return
        gone = self.lease is not None and self.lease.holder not in {one.name for one in self.processes}
        step = decide(self.lease, Claim(holder=me.name, epoch=me.epoch), self.now, gone=gone)
        if step == "step down":
            me.epoch = 0
        elif step == "lead" and me.epoch:
            assert self.lease is not None
            self.lease = msgspec.structs.replace(self.lease, until=self.now + LEASE_S)
            me.confirmed = self.now
        elif step == "lead":
            me.epoch = next_epoch(self.lease, self.noted)
            self.lease = Lease(
                epoch=me.epoch, holder=me.name, name=me.name, place="p", since=self.now, until=self.now + LEASE_S
            )
            me.confirmed = self.now

    @rule(who=who)
    def note_and_greet(self, who: int) -> None:
        me = self.processes[who]
        if me.epoch and not me.stopped:
            self.noted = max(self.noted, me.epoch)
            self.heard = max(self.heard, me.epoch)

    @rule(who=who)
    def write(self, who: int) -> None:
        me = self.processes[who]
        if me.epoch and not me.stopped and self.up and self.lease is not None and self.lease.epoch == me.epoch:
            self.written.append(me.epoch)

    @rule(who=who, checked=st.booleans())
    def act(self, who: int, checked: bool) -> None:
        """`checked`: else it was stopped between its check and its act, and the act arrives now."""
        me = self.processes[who]
        may = may_act(me.confirmed, LEASE_S, self.now) and self.noted <= me.epoch
        if me.epoch and not me.stopped and (may or not checked) and me.epoch >= self.heard:
            self.heard = me.epoch
            self.acted.append(me.epoch)

    @invariant()
    def nobody_writes_or_acts_after_a_later_one(self) -> None:
        assert self.written == sorted(self.written)
        assert self.acted == sorted(self.acted)

    @invariant()
    def no_epoch_is_led_twice(self) -> None:
        led = [one.epoch for one in self.processes if one.epoch]
        assert len(led) == len(set(led))


TestElections = Elections.TestCase
TestElections.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
