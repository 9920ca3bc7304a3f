"""kill -9 while writing: every acknowledged row is there afterwards, and no half-made one."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from inferry.storage import open_store

WRITER = """
import sys
from inferry.storage import open_store
from inferry.testing.store_contract import make_commit, make_key
store = open_store(sys.argv[1])
number = int(sys.argv[2])
while True:
    number += 1
    version, revision, made = store.commit_deploy(make_commit(f"s{number}"), now=number)
    print("version", version.number, revision.number, flush=True)
    store.add_key(make_key(f"k{number}"))
    print("key", number, flush=True)
"""


@pytest.mark.slow
def test_acknowledged_rows_survive_kill(database_url):
    url = database_url
    chance = random.Random(7)
    versions, keys, start = set(), set(), 0
    for _ in range(12):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, url, str(start)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        first = writer.stdout.readline()  # from now on it writes as fast as it can
        time.sleep(chance.uniform(0.0, 0.15))
        writer.kill()
        rest, errors = writer.communicate()
        assert errors == ""
        lines = (first + rest).splitlines(keepends=True)
        for line in lines:
            if line.endswith("\n"):
                kind, number, *_ = line.split()
                (versions if kind == "version" else keys).add(int(number))
        start += len(lines) + 10
        store = open_store(url)
        assert store.check() == []
        assert versions <= {version.number for version in store.versions("fraud")}
        stored = store.keys()
        assert {f"k{number}" for number in keys} <= {key.name for key in stored}
        assert store.endpoint("fraud").revision == store.revisions("fraud")[-1].number
        store.close()
    assert len(versions) > 12
