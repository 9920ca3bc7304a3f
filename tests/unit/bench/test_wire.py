"""Rows in every form that a server reads, and numbers out of every form that one answers."""

import json
from array import array

import httpx
import pytest

from bench.peers import wire

ROW = wire.Row(numbers=(1.0, 2.0, 3.0, 4.0), shape=(2, 2))
JSON = {"content-type": "application/json"}


def test_a_row_is_alone_in_its_batch():
    assert ROW.nested() == [[[1.0, 2.0], [3.0, 4.0]]]


def test_random_rows_are_always_the_same():
    assert wire.random_row(3, 5) == wire.random_row(3, 5)
    assert len(wire.random_row(3, 5).numbers) == 15


def test_open_inference_in_binary_says_how_long_its_parts_are():
    body, headers = wire.oip_binary(ROW)
    size = int(headers[wire.LENGTH])
    tensor = json.loads(body[:size])["inputs"][0]
    assert tensor["parameters"]["binary_data_size"] == len(body) - size == 16
    assert tensor["shape"] == [1, 2, 2]
    assert list(array("f", body[size:])) == list(ROW.numbers)


def test_an_upload_holds_the_bytes():
    body, headers = wire.upload(ROW)
    assert headers["content-type"].startswith("multipart/form-data; boundary=")
    assert ROW.floats() in body


@pytest.mark.parametrize(
    "answer",
    [
        {"predictions": [[0.25, 0.75]]},
        {"predictions": [{"label": 1, "probabilities": {"0": 0.25, "1": 0.75}}]},
        {"predictions": [{"y": [0.25, 0.75]}]},
        {"predictions": {"label": [1], "probabilities": [[0.25, 0.75]]}},
        {"outputs": [{"name": "label", "data": [1]}, {"name": "probabilities", "data": [0.25, 0.75]}]},
        {"labels": [1], "probabilities": [[0.25, 0.75]]},
        [[0.25, 0.75]],
    ],
)
def test_the_last_output_is_found_in_every_json_answer(answer):
    assert wire.read(httpx.Response(200, json=answer)) == [0.25, 0.75]


def test_bytes_are_read_as_floats():
    content = array("f", [0.25, 0.75]).tobytes()
    assert wire.read(httpx.Response(200, content=content, headers=wire.BYTES)) == [0.25, 0.75]


def test_of_a_binary_answer_the_last_output_is_read():
    head = json.dumps(
        {
            "outputs": [
                {"name": "label", "parameters": {"binary_data_size": 8}},
                {"name": "probabilities", "parameters": {"binary_data_size": 8}},
            ]
        }
    ).encode()
    content = head + bytes(8) + array("f", [0.25, 0.75]).tobytes()
    assert wire.read(httpx.Response(200, content=content, headers={wire.LENGTH: str(len(head))})) == [0.25, 0.75]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([1.0, 2.0], [1.00001, 2.0], True),
        ([1.0, 2.0], [1.01, 2.0], False),
        ([1.0], [1.0, 2.0], False),
        ([], [], False),
    ],
)
def test_answers_agree_within_what_float32_and_its_text_lose(one, other, same):
    assert wire.agree(one, other) is same
