"""Connection: when a replica's answers are written."""

import socket

import pytest

from inferry.replica.connection import Connection
from inferry.types import frames


@pytest.fixture
def ends():
    mine, other = socket.socketpair()
    with mine, other:
        yield Connection(mine), other


def read(other):
    inbox = frames.Inbox()
    inbox.feed(other.recv(1 << 20, socket.MSG_DONTWAIT))
    return [reply.id for reply in inbox.replies()]


def answer(connection, *ids):
    for id in ids:
        connection.answer(frames.Reply(id, frames.RESULT, status=200, body=b"{}"))


def test_few_answers_wait_for_the_end_of_the_batch(ends):
    connection, other = ends
    answer(connection, 1, 2)
    with pytest.raises(BlockingIOError):
        read(other)
    connection.flush()
    assert read(other) == [1, 2]


def test_the_first_of_many_answers_leave_while_the_others_are_written(ends):
    connection, other = ends
    many = range(1, frames.TOGETHER + 3)
    answer(connection, *many)
    assert read(other) == [*many][: frames.TOGETHER]
    connection.flush()
    assert read(other) == [*many][frames.TOGETHER :]


def test_a_peer_that_is_gone_is_written_to_once(ends, capsys):
    connection, other = ends
    other.close()
    answer(connection, *range(3 * frames.TOGETHER + 1))
    connection.flush()
    assert connection.closed
    assert capsys.readouterr().err.count("connection dropped") == 1
