"""Traffic: any history of changes leaves an endpoint whole."""

import contextlib
from collections import Counter
from functools import partial

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.errors import Conflict, InvalidInput
from inferry.policy import traffic
from inferry.types.registry import Endpoint
from inferry.types.traffic import PLACES, Mirror, TrafficPlan

NEW = Endpoint(name="fraud", model="fraud", traffic={}, created=0, updated=0)


def whole(endpoint):
    assert sum(endpoint.traffic.values()) == 100
    assert all(0 < percent <= 100 for percent in endpoint.traffic.values())
    shares = Counter()
    for number, size in endpoint.split.places:
        shares[number] += size
    assert shares == {number: percent * PLACES // 100 for number, percent in endpoint.traffic.items()}
    assert not set(endpoint.split.warm) & set(endpoint.traffic)
    assert endpoint.split.mirror is None or endpoint.traffic.get(endpoint.split.mirror.revision) != 100


@given(st.data())
def test_any_history_of_changes_leaves_an_endpoint_whole(data):
    endpoint, last = traffic.introduce(NEW, 1), 1
    for _ in range(data.draw(st.integers(1, 12))):
        known = st.integers(1, last)
        kind = data.draw(st.sampled_from(["introduce", "supersede", "return", "arrange"]))
        if kind == "introduce":
            last += 1
            percent, warm = data.draw(st.integers(0, 100)), data.draw(st.booleans())
            endpoint = traffic.introduce(endpoint, last, percent, keep_warm=warm)
        elif kind == "supersede":
            last += 1
            endpoint = traffic.supersede(endpoint, endpoint.revision, last)
        elif kind == "return":
            endpoint = traffic.return_to(endpoint, data.draw(known))
            assert len(endpoint.traffic) == 1
        else:
            first = data.draw(st.integers(0, 100))
            one, two = data.draw(known), data.draw(known)
            plan = TrafficPlan(
                weights=data.draw(st.sampled_from([None, {one: 100}, {one: first, two: 100 - first}])),
                warm=data.draw(st.none() | st.lists(known, max_size=3).map(tuple)),
                pin=data.draw(st.dictionaries(st.sampled_from(["a", "b"]), known, max_size=2)),
                mirror=data.draw(st.sampled_from([msgspec.UNSET, None, Mirror(revision=last)])),
            )
            with contextlib.suppress(InvalidInput):  # refused, and so unchanged
                endpoint = traffic.arrange(endpoint, plan)
        whole(endpoint)
        assert max(endpoint.running) <= last


def test_the_first_revision_takes_all_and_cannot_be_a_canary():
    assert traffic.introduce(NEW, 1).traffic == {1: 100}
    with pytest.raises(Conflict, match="takes all traffic"):
        traffic.introduce(NEW, 1, 10)


def test_a_revision_kept_warm_takes_over_without_being_started():
    endpoint = traffic.introduce(traffic.introduce(NEW, 1), 2, keep_warm=True)
    assert (endpoint.traffic, endpoint.running) == ({2: 100}, {1, 2})
    endpoint = traffic.return_to(endpoint, 1)
    assert (endpoint.traffic, endpoint.running) == ({1: 100}, {1})


def test_going_back_takes_the_pins_of_those_who_lose_their_share():
    endpoint = traffic.introduce(traffic.introduce(NEW, 1), 2, 10)
    endpoint = traffic.arrange(endpoint, TrafficPlan(pin={"qa": 2, "old": 1}))
    assert traffic.return_to(endpoint, 1).split.pins == {}


def test_a_new_config_takes_over_all_that_the_old_one_was():
    endpoint = traffic.introduce(traffic.introduce(NEW, 1), 2, 10)
    endpoint = traffic.arrange(endpoint, TrafficPlan(pin={"qa": 1}, mirror=Mirror(revision=2, percent=5)))
    made = traffic.supersede(endpoint, 1, 3)
    assert made.traffic == {3: 90, 2: 10}
    assert made.split.pins == {"qa": 3}
    assert made.split.mirror == Mirror(revision=2, percent=5)
    assert traffic.newest(made) == 3


@pytest.mark.parametrize(
    "key", ["header:", "header:a b", "body:", "body:a..b", "cookie:x", "header", "body:" + "a." * 20]
)
def test_a_place_of_keys_that_cannot_be_is_refused(key):
    with pytest.raises(InvalidInput, match="does not say where"):
        traffic.arrange(traffic.introduce(NEW, 1), TrafficPlan(key=key))


@pytest.mark.parametrize("key", ["", "header:X-User-Id", "body:user", "body:instances.0.user_id"])
def test_places_of_keys(key):
    change = partial(traffic.arrange, plan=TrafficPlan(key=key))
    assert change(traffic.introduce(NEW, 1)).split.key == key


def test_too_many_pins_are_refused():
    pins = {f"user-{number}": 1 for number in range(traffic.MAX_PINS + 1)}
    with pytest.raises(InvalidInput, match="can be pinned"):
        traffic.arrange(traffic.introduce(NEW, 1), TrafficPlan(pin=pins))
