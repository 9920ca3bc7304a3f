"""SqlStore keeps the store's contract, and what only a database on disk can get wrong."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from inferry.errors import Conflict, InternalError, StorageFull
from inferry.storage import SqlStore, open_store
from inferry.storage.schema import REVISIONS
from inferry.testing.memory_store import MemoryStore
from inferry.testing.store_contract import StoreContract, make_commit, make_key


class TestSqlStore(StoreContract):
    @pytest.fixture
    def store(self, database_url):
        store = open_store(database_url)
        yield store
        store.close()


class TestMemoryStore(StoreContract):
    @pytest.fixture
    def store(self):
        return MemoryStore()


@pytest.fixture
def url(database_url):
    return database_url


@pytest.fixture
def store(url):
    store = open_store(url)
    yield store
    store.close()


@pytest.fixture
def file_store(tmp_path):
    store = open_store(f"sqlite:///{tmp_path}/inferry.db")
    yield store
    store.close()


def pragma(store: SqlStore, name: str):
    with store._database.reader.connect() as connection:
        return connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()


def edit(store: SqlStore, *statements: str) -> None:
    """What a person with a SQL shell may do, with foreign keys off."""
    with store._database.writer.connect() as connection:
        if connection.dialect.name == "sqlite":
            off, on = "PRAGMA foreign_keys=OFF", "PRAGMA foreign_keys=ON"
        else:
            off, on = "SET session_replication_role = replica", "SET session_replication_role = DEFAULT"
        raw = connection.connection.dbapi_connection.cursor()
        for statement in (off, *statements, on):
            raw.execute(statement)
        connection.connection.dbapi_connection.commit()


def test_everything_is_there_after_opening_again(url):
    first = open_store(url)
    version, revision, _ = first.commit_deploy(make_commit(), now=1)
    first.add_key(make_key("ci"))
    first.close()
    second = open_store(url)
    assert second.versions("fraud") == [version]
    assert second.revisions("fraud") == [revision]
    assert second.keys() == [make_key("ci")]
    second.close()


def test_sqlite_is_durable_and_checks_references(file_store):
    assert pragma(file_store, "journal_mode") == "wal"
    assert pragma(file_store, "synchronous") == 2
    assert pragma(file_store, "foreign_keys") == 1
    assert pragma(file_store, "busy_timeout") >= 5000


def test_the_file_and_its_log_are_private(tmp_path):
    path = tmp_path / "inferry.db"
    path.touch(mode=0o644)
    store = open_store(f"sqlite:///{path}")
    store.commit_deploy(make_commit(), now=1)
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    store.close()
    assert modes == dict.fromkeys(("inferry.db", "inferry.db-wal", "inferry.db-shm"), "0o600")


def test_alembic_is_imported_only_to_migrate(url):
    code = (
        "import sys; from inferry.storage import open_store; open_store(sys.argv[1]).close();"
        "print('alembic' in sys.modules)"
    )
    said = [
        subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=True).stdout
        for _ in "ab"
    ]
    assert said == ["True\n", "False\n"]


def test_a_newer_schema_is_refused_with_a_sentence(url):
    store = open_store(url)
    edit(store, "UPDATE alembic_version SET version_num = '9999'")
    store.close()
    with pytest.raises(Conflict, match=f"9999.*newer Inferry.*{REVISIONS[-1]}"):
        open_store(url)


def test_two_openers_of_a_new_database_do_not_collide(url):
    stores, errors = [], []

    def opening():
        try:
            stores.append(open_store(url))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=opening) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for store in stores:
        store.close()


def test_writers_in_many_threads_get_numbers_of_their_own(store):
    numbers = []

    def deploying(name):
        numbers.extend(store.commit_deploy(make_commit(f"{name}-{i}"), now=i)[0].number for i in range(5))

    threads = [threading.Thread(target=deploying, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == list(range(1, 21))
    assert store.check() == []


def test_names_are_sorted_alike_whatever_the_databases_language(store):
    for name in ("b", "a-b", "aa", "a1", "a"):
        store.commit_deploy(make_commit(name, model=name), now=1)
    assert [model.name for model in store.models()] == ["a", "a-b", "a1", "aa", "b"]
    assert [endpoint.name for endpoint in store.endpoints()] == ["a", "a-b", "a1", "aa", "b"]
    for name in ("b", "a-b", "aa"):
        store.move_alias("a", name, 1, now=2, by="ada")
    assert [alias.name for alias in store.aliases("a")] == ["a-b", "aa", "b"]


def test_a_full_disk_changes_nothing_and_says_so(file_store):
    store = file_store
    store.commit_deploy(make_commit("a"), now=1)
    pages = pragma(store, "page_count")
    with store._database.reader.connect() as one, store._database.reader.connect() as two:
        for connection in (one, two):
            connection.connection.dbapi_connection.execute(f"PRAGMA max_page_count={pages}")
    before = store.endpoints(), store.models()
    huge = make_commit("b", model="spam")
    huge.manifest.options["filler"] = "x" * 1_000_000
    with pytest.raises(StorageFull, match="nothing was changed"):
        store.commit_deploy(huge, now=2)
    assert (store.endpoints(), store.models()) == before
    assert store.check() == []


def test_a_damaged_file_is_said_to_be_one(tmp_path):
    path = tmp_path / "inferry.db"
    path.write_bytes(b"not a database, but long enough to be read as a page" * 100)
    with pytest.raises(InternalError, match="damaged"):
        open_store(f"sqlite:///{path}")


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("DELETE FROM versions", "pins fraud:1, which does not exist"),
        ("DELETE FROM endpoints", "belongs to no endpoint"),
        ("DELETE FROM models", "belongs to no model"),
        ("DELETE FROM revisions", "sends traffic to revision 2, which does not exist"),
        ("DELETE FROM revisions WHERE number = 1", "replaces revision 1, which does not exist"),
        ("UPDATE revisions SET bundle = 'f00'", "pins another bundle"),
        ("UPDATE endpoints SET traffic = '{\"2\":50}'", "sums to 50"),
        ("UPDATE endpoints SET traffic = 'oops'", "endpoints fraud: a JSON column cannot be read"),
        ("UPDATE versions SET manifest = '{}'", "versions fraud, 1: a JSON column cannot be read"),
        ("UPDATE counters SET last = 1", "2 is past its counter"),
    ],
)
def test_check_names_what_is_wrong(store, statement, sentence):
    store.commit_deploy(make_commit("a"), now=1)
    store.commit_deploy(make_commit("b"), now=1)
    assert store.check() == []
    edit(store, statement)
    assert any(sentence in line for line in store.check()), store.check()
