"""Authority: certificates that only the processes of one platform have."""

import socket
import ssl
import stat
import threading

import pytest

from inferry.errors import UnsafeFile
from inferry.security.authority import Authority
from inferry.security.tls import GATEWAY, connecting_context, listening_context, renew, replica_name

WAIT_S = 30


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("home") / "tls")


@pytest.fixture(scope="module")
def gateway(authority):
    return authority.issue(GATEWAY, connects=True)


@pytest.fixture(scope="module")
def replica(authority):
    return authority.issue(replica_name("a"), connects=False)


def greet(listening, connecting, name):
    """What the listening side reads of a peer that connects and says hello. Raises what either side raises."""
    heard, errors = [], []
    ours, theirs = socket.socketpair()

    def listen():
        try:
            with listening.wrap_socket(ours, server_side=True) as peer:
                heard.append(peer.recv(5))
        except OSError as error:
            errors.append(error)

    for end in (ours, theirs):
        end.settimeout(WAIT_S)
    thread = threading.Thread(target=listen)
    thread.start()
    try:
        with connecting.wrap_socket(theirs, server_hostname=name) as peer:
            peer.sendall(b"hello")
    except OSError as error:
        errors.append(error)
    finally:
        thread.join()
    for end in (ours, theirs):
        end.close()
    if errors:
        raise errors[0]
    return heard[0]


def test_the_two_sides_of_one_platform_speak_to_each_other(replica, gateway):
    assert greet(listening_context(replica), connecting_context(gateway), replica_name("a")) == b"hello"


def test_a_replica_cannot_stand_for_another(replica, gateway):
    with pytest.raises(ssl.SSLError):
        greet(listening_context(replica), connecting_context(gateway), replica_name("b"))


def test_a_replica_cannot_connect_to_others_with_its_certificate(authority, replica):
    other = authority.issue(replica_name("b"), connects=False)
    with pytest.raises(ssl.SSLError):
        greet(listening_context(other), connecting_context(replica), replica_name("b"))


def test_another_platform_is_refused_by_both_sides(tmp_path, replica, gateway):
    stranger = Authority(tmp_path / "tls")
    with pytest.raises(ssl.SSLError):
        greet(listening_context(replica), connecting_context(stranger.issue(GATEWAY, connects=True)), replica_name("a"))
    fake = stranger.issue(replica_name("a"), connects=False)
    with pytest.raises(ssl.SSLError):
        greet(listening_context(fake), connecting_context(gateway), replica_name("a"))


def test_a_certificate_whose_days_are_over_is_refused_until_it_is_renewed(authority, replica, gateway):
    old = authority.issue(replica_name("a"), connects=False, life_s=-1)
    context = listening_context(old)
    with pytest.raises(ssl.SSLError):
        greet(context, connecting_context(gateway), replica_name("a"))
    renew(context, replica)
    assert greet(context, connecting_context(gateway), replica_name("a")) == b"hello"


def test_the_authority_stays_the_same_and_its_files_are_private(tmp_path):
    first = Authority(tmp_path / "tls")
    assert Authority(tmp_path / "tls").pem == first.pem
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "tls").iterdir()} == {0o600}
    assert "PRIVATE" not in repr(first.issue("x", connects=True))


def test_files_that_do_not_belong_together_are_told(tmp_path):
    Authority(tmp_path / "tls")
    Authority(tmp_path / "other")
    (tmp_path / "tls" / "ca.key").write_bytes((tmp_path / "other" / "ca.key").read_bytes())
    with pytest.raises(UnsafeFile, match="belong together"):
        Authority(tmp_path / "tls")
