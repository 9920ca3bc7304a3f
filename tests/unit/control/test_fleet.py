"""The fleet against a backend that fails in every way."""

import pytest

from inferry.control.fleet import Fleet
from inferry.control.room import Room
from inferry.errors import InvalidModel, Unavailable
from inferry.testing.store_contract import make_commit
from inferry.types.devices import Devices
from inferry.types.registry import RevisionConfig, Version


class Failing:
    def __init__(self, error):
        self.error = error

    async def prepare(self, environment, runtime):
        return None

    async def start(self, spec):
        raise self.error


def version():
    commit = make_commit()
    return Version(
        model="fraud", number=1, bundle=commit.bundle, source=commit.manifest.source, runtime="onnx", size=1,
        created=0.0, created_by="me", manifest=commit.manifest,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (InvalidModel("It is broken."), InvalidModel, "It is broken."),
        (OSError(28, "No space left on device"), Unavailable, "No space left on device"),
        (TimeoutError(), Unavailable, "it took too long"),
    ],
)
async def test_a_start_that_fails_is_counted_and_told(error, raised, words):
    fleet = Fleet(Failing(error), lambda: Devices(cores=2), Room(1 << 40))
    with pytest.raises(raised, match=words):
        await fleet.start(version(), "fraud", RevisionConfig())
    (failures,) = fleet.failures.values()
    assert failures.deaths == 1
    assert words in next(iter(fleet.problems.values()))
    assert sum(fleet.starting.values()) == 0
    assert fleet.changed.is_set()


async def test_news_of_a_replica_that_is_gone_is_passed_over():
    fleet = Fleet(Failing(OSError()), lambda: Devices(cores=2), Room(1 << 40))
    fleet.stuck("unknown")
    await fleet._recheck("unknown")
    assert not fleet.suspect
