"""Density: who leaves, and that it costs fewer seconds of loading than leaving by age alone."""

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.policy import density
from inferry.policy.density import Loaded, Uses
from inferry.simulation.density import Asked, Belady, Lru, Ours, Weight, replay

MB = 1_000_000


def test_the_least_worth_leave_and_no_more_than_needed() -> None:
    there = [Loaded("hot", 50, 9.0), Loaded("cold", 10, 0.1), Loaded("large", 80, 0.5), Loaded("small", 5, 0.2)]
    assert density.make_room(0, there) == ((), True)
    assert density.make_room(8, there) == (("cold",), True)
    assert density.make_room(60, there) == (("large",), True), "with it, the smaller ones need not leave"
    assert density.make_room(95, there).leave == ("cold", "small", "large")
    assert density.make_room(146, there) == ((), False), "nobody leaves in vain"


@given(
    st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 1e6)), max_size=30),
    st.integers(0, 20_000),
)
def test_what_leaves_is_enough_and_all_of_it_is_needed(sizes, needed) -> None:
    there = [Loaded(str(place), size, worth) for place, (size, worth) in enumerate(sizes)]
    room = density.make_room(needed, there)
    by_name = {one.name: one.size for one in there}
    came = sum(by_name[name] for name in room.leave)
    assert room.enough == (needed <= sum(by_name.values()))
    assert came >= needed * room.enough
    assert all(came - by_name[name] < needed for name in room.leave)


def test_uses_fade_with_loads_and_not_with_time() -> None:
    uses = density.used(Uses(), 1, loads=10, loaded=20)
    assert uses == (1.0, 10)
    assert density.faded(uses, 10, 20) == 1.0
    assert density.faded(uses, 10 + int(density.FADE * 20), 20) == 0.5
    many = density.used(Uses(), 1024, loads=10, loaded=20)
    assert many.amount == 11.0, "a crowd counts more than one, but not as many times"


def test_worth_is_seconds_saved_for_each_gigabyte() -> None:
    assert density.worth(2.0, 0.5, 100 * MB) == pytest.approx(10.0)
    assert density.worth(2.0, 0.0, 100 * MB) > 0, "a cost that is not known yet does not make a model worthless"


def zipf(seed: int, exponent: float, shift: int, count: int = 6000, models: int = 1000) -> list[Asked]:
    """Requests whose models are as popular as Zipf says; after each `shift` requests a fifth of them change places."""
    chance = random.Random(seed)
    names = [str(number) for number in range(models)]
    chance.shuffle(names)
    sums = list(accumulate((place + 1) ** -exponent for place in range(models)))
    trace: list[Asked] = []
    for number in range(count):
        if shift and number and number % shift == 0:
            places = chance.sample(range(models), models // 5)
            moved = [names[place] for place in chance.sample(places, len(places))]
            for place, name in zip(places, moved, strict=True):
                names[place] = name
        (place,) = chance.choices(range(models), cum_weights=sums)
        trace.append(Asked(number / 20, names[place]))
    return trace


def weights(seed: int) -> dict[str, Weight]:
    """Sizes over a factor of twenty; some models take long to load for their size."""
    chance = random.Random(seed)
    made = {}
    for number in range(1000):
        size = chance.choice((8, 12, 16, 24, 40, 80, 160))
        made[str(number)] = Weight(size * MB, 0.03 + size / 400 * chance.choice((0.3, 1, 3)))
    return made


@pytest.mark.parametrize(("exponent", "shift"), [(0.9, 0), (0.9, 1000), (1.3, 0), (1.3, 1000)])
def test_it_loads_for_fewer_seconds_than_lru_does(exponent, shift) -> None:
    models, trace = weights(1), zipf(1, exponent, shift)
    budget = 20 * sum(weight.size for weight in models.values()) // len(models)
    ours, lru = (replay(trace, models, budget, rule) for rule in (Ours(models), Lru()))
    best = replay(trace, models, budget, Belady(trace, models))
    assert ours.most <= budget
    assert ours.reload_s < 0.9 * lru.reload_s
    assert ours.hit_rate > lru.hit_rate
    assert best.reload_s < ours.reload_s, "who knows the future does better"


def test_it_is_no_worse_when_all_are_alike() -> None:
    models = {str(number): Weight(10 * MB, 0.05) for number in range(1000)}
    trace = zipf(2, 1.1, 0)
    ours, lru = (replay(trace, models, 200 * MB, rule) for rule in (Ours(models), Lru()))
    assert ours.reload_s < lru.reload_s
