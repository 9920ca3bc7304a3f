"""What a call takes by its number of rows, as it is measured when a model is inspected."""

import numpy as np
import pytest

from inferry.errors import InvalidInput
from inferry.runtimes import proof

INPUTS = {"x": np.zeros((3, 2))}


class Clock:
    """Time that passes while a model computes."""

    def __init__(self, monkeypatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(proof.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


def test_each_size_is_measured(clock):
    def predict(batch):
        clock.now += 0.001 + 0.0001 * len(batch["x"])
        return batch

    curve = proof.batch_curve(predict, INPUTS)
    assert curve == {str(rows): pytest.approx(1000 + 100 * rows) for rows in proof.CURVE_ROWS}


def test_a_moment_in_which_the_machine_is_slow_meets_all_sizes(clock):
    """Were the sizes measured one after the other, the slow moment would make one row dear and stacking cheap."""

    def predict(batch):
        clock.now += 0.003 * len(batch["x"]) * (2 if clock.now < 0.2 else 1)
        return batch

    curve = proof.batch_curve(predict, INPUTS)
    assert curve["1"] == pytest.approx(3000)
    assert curve["4"] == pytest.approx(12000)


def test_a_slow_model_is_not_called_often(clock):
    calls = []

    def predict(batch):
        calls.append(len(batch["x"]))
        clock.now += 5.0
        return batch

    assert proof.batch_curve(predict, INPUTS) == {"1": 5e6}
    assert len(calls) == 2


def test_sizes_that_are_refused_end_the_curve(clock):
    def predict(batch):
        if len(batch["x"]) > 4:
            raise InvalidInput("at most four")
        clock.now += 0.001
        return batch

    assert list(proof.batch_curve(predict, INPUTS)) == ["1", "2", "4"]
