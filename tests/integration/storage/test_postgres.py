"""What only a database server can get wrong: it goes away, refuses, is full, belongs to somebody else."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from inferry.errors import Conflict, InferryError, InvalidInput, MissingPlugin, StorageFull, Superseded, Unavailable
from inferry.storage import SqlStore, open_store
from inferry.storage import postgres as module
from inferry.storage import seat as seats
from inferry.storage.seat import PostgresSeat
from inferry.testing.store_contract import make_commit, make_key
from inferry.types.database import parse_database_url
from tests.support.postgres import PASSWORD, QUOTED, USER, Server


@pytest.fixture
def server(postgres: Server) -> Server:
    return postgres


@pytest.fixture
def quick(monkeypatch) -> None:
    monkeypatch.setattr(seats, "OWNER_WAIT_S", 0.3)
    monkeypatch.setitem(module.SESSION, "lock_timeout", "300ms")


MADE: list[PostgresSeat] = []


@pytest.fixture(autouse=True)
def no_seat_is_left():
    yield
    while MADE:
        MADE.pop().close()


def seat_of(url: str, holder: str = "a", lease_s: float = 30.0) -> PostgresSeat:
    MADE.append(PostgresSeat(url, holder, "place", lease_s))
    return MADE[-1]


def led(url: str) -> tuple[PostgresSeat, SqlStore]:
    """A seat that leads, and its store."""
    seat = seat_of(url)
    seat.look()
    lease = seat.take(gone=0, known=0)
    assert lease is not None
    return seat, open_store(url, epoch=lease.epoch)


def refusal(url: str, **options: bool) -> InferryError:
    with pytest.raises(InferryError) as caught:
        open_store(url, **options).close()
    said = caught.value.sentence()
    assert PASSWORD not in said
    assert QUOTED not in said
    return caught.value


def test_a_lease_is_followed_until_it_runs_out_and_then_taken_in_the_next_epoch(server) -> None:
    url = server.fresh()
    first, second = seat_of(url, "a", 1.0), seat_of(url, "b")
    assert first.look().lease is None
    assert first.take(gone=0, known=0).epoch == 1
    assert second.look().lease.holder == "a"
    assert second.take(gone=0, known=0) is None
    assert first.renew(1)
    assert second.standbys() == [f"inferry standby {os.getpid()} on {socket.gethostname()}"[:63]]
    time.sleep(1.1)
    taken = second.take(gone=0, known=0)
    assert (taken.epoch, taken.holder) == (2, "b")
    assert not first.renew(1)
    second.release(2)
    assert first.take(gone=0, known=6).epoch == 7


def test_a_holder_that_is_known_to_have_ended_is_not_waited_for(server) -> None:
    url = server.fresh()
    first, second = seat_of(url, "a"), seat_of(url, "b")
    first.look()
    first.take(gone=0, known=0)
    first.close()
    second.look()
    assert second.take(gone=7, known=0) is None
    assert second.take(gone=1, known=0).epoch == 2


def test_who_was_replaced_writes_no_more_and_reads_on(server) -> None:
    url = server.fresh()
    old, first = led(url)
    first.commit_deploy(make_commit("a"), now=1)
    old.release(1)
    _new, second = led(url)
    with pytest.raises(Superseded, match="Another control process leads"):
        first.commit_deploy(make_commit("b"), now=2)
    with pytest.raises(Superseded):
        first.probe()
    assert first.endpoint("fraud").revision == 1
    second.commit_deploy(make_commit("b"), now=2)
    assert second.endpoint("fraud").revision == 2
    assert second.check() == []
    for one in (first, second):
        one.close()


def test_a_transaction_that_sleeps_is_ended_by_who_takes_over(server) -> None:
    """The old leader is stopped within a transaction, with the write lock."""
    url = server.fresh()
    _old, first = led(url)
    with pytest.raises(Unavailable), first._writing() as connection:
        connection.exec_driver_sql("DELETE FROM keys")
        new = seat_of(url, "b")
        new.look()
        assert new.take(gone=1, known=0).epoch == 2
    first.close()


def test_an_inferry_that_knows_no_leases_keeps_the_database(server, quick) -> None:
    url = server.fresh()
    older = module.connect(parse_database_url(url), "inferry control 1 on old")
    older.cursor().execute(f"SELECT pg_advisory_lock({seats.OWNER_KEY})")
    seat = seat_of(url)
    seat.look()
    with pytest.raises(Conflict, match="inferry control 1 on old"):
        seat.take(gone=0, known=0)
    older.close()
    assert seat.take(gone=0, known=0).epoch == 1


def test_many_that_start_at_once_make_one_schema_and_one_leader(server) -> None:
    url = server.fresh()
    led, errors = [], []

    def opening(number: int) -> None:
        try:
            seat = seat_of(url, f"process {number}")
            seat.look()
            led.append(seat.take(gone=0, known=0))
            open_store(url).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=opening, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [lease.epoch for lease in led if lease] == [1]


def test_the_lock_is_had_again_after_the_server_was_away() -> None:
    server = Server().start()
    try:
        seat = seat_of(server.fresh())
        seat.look()
        seat.take(gone=0, known=0)
        server.stop()
        with pytest.raises(Unavailable):
            seat.renew(1)
        server.start()
        assert seat.renew(1)
        held = server.sql(
            f"SELECT count(*) FROM pg_locks WHERE locktype='advisory' AND objid={seats.OWNER_KEY & 0xFFFFFFFF}"
        )
        assert held == "1"
        seat.close()
    finally:
        server.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["restart", "crash"])
def test_a_server_that_went_away_is_found_again(how) -> None:
    server = Server().start()
    try:
        _seat, store = led(server.fresh())
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
    _seat, store = led(url)
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
    _seat, store = led(server.fresh())
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
    _seat, store = led(url)
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
