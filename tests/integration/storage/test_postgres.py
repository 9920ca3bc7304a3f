"""What only a database server can get wrong: it goes away, refuses, is full, belongs to somebody else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from inferry.errors import Conflict, InferryError, InvalidInput, MissingPlugin, StorageFull, Unavailable
from inferry.storage import open_store
from inferry.storage import postgres as module
from inferry.testing.store_contract import make_commit, make_key
from inferry.types.database import parse_database_url
from tests.support.postgres import PASSWORD, QUOTED, USER, Server


@pytest.fixture
def server(postgres: Server) -> Server:
    return postgres


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(module, "OWNER_WAIT_S", 0.3)
    monkeypatch.setitem(module.SESSION, "lock_timeout", "300ms")


def refusal(url: str, **options: bool) -> InferryError:
    with pytest.raises(InferryError) as caught:
        open_store(url, **options).close()
    said = caught.value.sentence()
    assert PASSWORD not in said
    assert QUOTED not in said
    return caught.value


def test_the_second_owner_is_refused_and_told_of_the_first(server, quick) -> None:
    url = server.fresh()
    first = open_store(url, own=True)
    error = refusal(url, own=True)
    assert isinstance(error, Conflict)
    assert f"inferry control {os.getpid()}" in error.message
    first.commit_deploy(make_commit(), now=1)
    first.close()
    second = open_store(url, own=True)
    assert second.endpoint("fraud").revision == 1
    second.close()


def test_two_owners_that_start_at_once_make_one_schema(server) -> None:
    url = server.fresh()
    made, errors = [], []

    def opening() -> None:
        try:
            made.append(open_store(url, own=True))
            made[-1].close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=opening) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(made) == 3


def test_who_lost_the_lock_writes_no_more(server, quick) -> None:
    url = server.fresh()
    first = open_store(url, own=True)
    first.commit_deploy(make_commit("a"), now=1)
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'inferry control%'")
    second = open_store(url, own=True)
    with pytest.raises(Conflict, match="Another control process"):
        first.commit_deploy(make_commit("b"), now=2)
    assert first.endpoint("fraud").revision == 1  # reading is free
    second.commit_deploy(make_commit("b"), now=2)
    second.close()
    first.commit_deploy(make_commit("c"), now=3)
    assert first.check() == []
    assert first.endpoint("fraud").revision == 3
    first.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_server_that_went_away_is_found_again(how) -> None:
    server = Server().start()
    try:
        store = open_store(server.fresh(), own=True)
        store.commit_deploy(make_commit("a"), now=1)
        server.stop(how)
        for call in (store.endpoints, store.probe, store.check):
            with pytest.raises(Unavailable, match="does not answer") as caught:
                call()
            assert caught.value.retry_after
        server.start()
        store.commit_deploy(make_commit("b"), now=2)
        assert store.endpoint("fraud").revision == 2
        store.close()
    finally:
        server.close()


def test_a_server_that_dies_in_a_transaction_leaves_nothing_of_it(server) -> None:
    url = server.fresh()
    store = open_store(url, own=True)
    store.commit_deploy(make_commit("a"), now=1)

    def cut(endpoint):
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'inferry cont%'")
        return endpoint

    with pytest.raises(Unavailable):
        store.change_traffic("fraud", cut, now=9)
    assert store.endpoint("fraud").updated == 1
    store.probe()
    store.close()


def test_a_commit_that_nobody_acknowledged_is_said_to_be_unknown(server) -> None:
    store = open_store(server.fresh(), own=True)
    with pytest.raises(Unavailable, match="it was made, or not"), store._writing() as connection:
        connection.exec_driver_sql("SELECT 1")
        server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'inferry cont%'")
    store.add_key(make_key("after"))
    store.close()


def test_a_server_that_hangs_is_given_up_on(monkeypatch) -> None:
    monkeypatch.setattr(module, "SILENCE_S", 1.0)
    server = Server().start()
    try:
        store = open_store(server.fresh())
        store.add_key(make_key("a"))
        pids = server.backends()
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(Unavailable):
            store.keys()
        for pid in (server.pid, *pids):
            os.kill(pid, signal.SIGCONT)
        assert store.keys() == [make_key("a")]
        store.close()
    finally:
        server.close()


def test_wrong_password_user_or_database_are_told_apart(server) -> None:
    name = parse_database_url(server.fresh()).name
    wrong = refusal(server.url(name, password="wr0ngone"))
    assert "password authentication failed" in wrong.message
    assert "wr0ngone" not in wrong.sentence()
    assert "nobody" in refusal(server.url(name, user="nobody")).message
    missing = refusal(server.url("nowhere"))
    assert 'database "nowhere" does not exist' in missing.message
    assert "createdb" in missing.help
    unset = refusal(f"postgresql://{USER}@127.0.0.1:{server.port}/{name}")
    assert "password" in unset.message
    assert "Connection refused" in refusal(f"postgresql://{USER}:x@127.0.0.1:1/{name}").message


def test_the_unix_socket_works(server) -> None:
    name = parse_database_url(server.fresh()).name
    url = f"postgresql://{USER}:{QUOTED}@/{name}?host={server.folder}&port={server.port}"
    store = open_store(url, own=True)
    store.add_key(make_key("a"))
    store.close()


def test_too_many_connections_are_said_to_be(server) -> None:
    name = parse_database_url(server.fresh()).name
    server.sql("CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 0")
    assert "no connection left" in refusal(server.url(name, user="narrow", password="narrow")).message


def test_a_user_who_may_not_make_tables_is_told_what_to_do(server) -> None:
    name = parse_database_url(server.fresh()).name
    server.sql("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    error = refusal(server.url(name, user="guest", password="guest"))
    assert "permission denied" in error.message
    assert "OWNER TO" in error.help


def test_a_standby_is_told_from_a_primary(server) -> None:
    name = parse_database_url(server.fresh()).name
    server.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    assert "takes no writes" in refusal(server.url(name)).message


def test_a_database_that_is_not_utf8_is_refused(server) -> None:
    server.sql("CREATE DATABASE narrow_text TEMPLATE template0 ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    assert "LATIN1" in refusal(server.url("narrow_text")).message


def test_text_that_cannot_be_kept_is_the_callers_fault(server) -> None:
    store = open_store(server.fresh())
    with pytest.raises(InvalidInput):
        store.add_key(make_key("a", digest="nul \0"))
    with pytest.raises(InvalidInput):
        store.add_key(make_key("a" * 300))
    store.close()


def test_somebody_who_holds_the_write_lock_makes_others_busy(server, quick) -> None:
    url = server.fresh()
    one, two = open_store(url), open_store(url)
    with one._writing(), pytest.raises(Unavailable, match="busy"):
        two.add_key(make_key("a"))
    two.add_key(make_key("a"))
    one.close()
    two.close()


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("53100", StorageFull),
        ("53200", Unavailable),
        ("57P03", Unavailable),
        ("40001", Unavailable),
        ("XX001", InferryError),
    ],
)
def test_rare_words_of_the_server_are_understood(code, kind) -> None:
    from pg8000.exceptions import DatabaseError

    error = module.known(DatabaseError({"S": "ERROR", "C": code, "M": "no."}), "The database")
    assert isinstance(error, kind)
    assert error.help


def test_without_the_driver_it_says_what_to_install(server, tmp_path) -> None:
    code = (
        "import sys; sys.modules['pg8000'] = None\n"
        "from inferry.errors import MissingPlugin\nfrom inferry.storage import open_store\n"
        "try: open_store(sys.argv[1])\nexcept MissingPlugin as error: print(error.sentence())\n"
    )
    said = subprocess.run([sys.executable, "-c", code, server.url("x")], capture_output=True, text=True, check=True)
    assert "pip install 'inferry[postgres]'" in said.stdout
    assert MissingPlugin.status == 422


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key", "-out", folder / "crt"],
        check=True, capture_output=True,
    )  # fmt: skip
    server = Server()
    server.give("server.key", (folder / "key").read_bytes())
    server.give("server.crt", (folder / "crt").read_bytes())
    server.settings |= {"ssl": "on", "ssl_key_file": "server.key", "ssl_cert_file": "server.crt"}
    try:
        yield server.start(), folder / "crt"
    finally:
        server.close()


def test_each_tls_mode_asks_what_it_says(secure, server) -> None:
    secured, crt = secure
    url = secured.fresh()
    named = url.replace("127.0.0.1", "localhost")
    for good in (
        f"{url}?sslmode=require",
        f"{url}?sslmode=verify-ca&sslrootcert={crt}",
        f"{named}?sslmode=verify-full&sslrootcert={crt}",
    ):
        store = open_store(good)
        with store._reading() as connection:
            query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            assert connection.exec_driver_sql(query).scalar_one()
        store.close()
    assert "cannot be trusted" in refusal(f"{named}?sslmode=verify-full").message
    assert "cannot be trusted" in refusal(f"{url}?sslmode=verify-full&sslrootcert={crt}").message  # another name
    assert "cannot be read" in refusal(f"{url}?sslmode=verify-ca&sslrootcert=/nowhere").message
    assert "does not speak TLS" in refusal(server.fresh() + "?sslmode=require").message
