"""Head: what the gateway reads of a request's first lines."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inferry.errors import InvalidInput, TooLarge, UnsupportedMedia
from inferry.gateway.addressed import addressed
from inferry.gateway.head import MAX_CACHED, MAX_CACHED_HEAD, BadHead, Heads
from inferry.types import frames

LIMIT = 1000


def lines(target="/predict/iris", *headers, method="POST", version="1.1", length="5"):
    rows = [f"{method} {target} HTTP/{version}", "Host: x", *headers]
    if length is not None:
        rows.append(f"Content-Length: {length}")
    return "\r\n".join([*rows, "", ""]).encode("latin-1")


def read(*args, **kwargs):
    return Heads(LIMIT).get(lines(*args, **kwargs))


def refused(*args, **kwargs):
    with pytest.raises(BadHead) as bad:
        read(*args, **kwargs)
    return bad.value


@pytest.mark.parametrize(
    ("target", "door", "endpoint", "version"),
    [
        ("/predict/iris", frames.DOOR_PLAIN, b"iris", b""),
        ("/predict/iris?x=1", frames.DOOR_PLAIN, b"iris", b""),
        ("/predict/ir%69s", frames.DOOR_PLAIN, b"iris", b""),
        ("/predict/a%2Fb", frames.DOOR_PLAIN, b"a/b", b""),
        ("/v2/models/iris/infer", frames.DOOR_OIP, b"iris", b""),
        ("/v2/models/iris/infer?x=/y", frames.DOOR_OIP, b"iris", b""),
        ("/v2/models/iris/versions/12/infer", frames.DOOR_OIP, b"iris", b"12"),
        ("/v2/models/i%72is/versions/%31/infer", frames.DOOR_OIP, b"iris", b"1"),
        ("/predict/" + "a" * 500, frames.DOOR_PLAIN, b"a" * 64, b""),
        ("/v2/models/a/versions/" + "1" * 500 + "/infer", frames.DOOR_OIP, b"a", b"1" * 16),
        ("/v2/models/a/versions/0/infer", frames.DOOR_OIP, b"a", b"0"),
        ("/v1/chat/completions", frames.DOOR_CHAT, b"", b""),
        ("/v1/completions", frames.DOOR_COMPLETIONS, b"", b""),
        ("/v1/embeddings?x=1", frames.DOOR_EMBEDDINGS, b"", b""),
        ("/v1/models/iris:predict", frames.DOOR_PREDICT, b"iris", b""),
        ("/v1/models/iris:classify?x=:predict", frames.DOOR_CLASSIFY, b"iris", b""),
        ("/v1/models/i%72is%3aregress", frames.DOOR_REGRESS, b"iris", b""),
        ("/v1/models/iris/versions/12:predict", frames.DOOR_PREDICT, b"iris", b"12"),
        ("/v1/models/iris/versions/0:predict", frames.DOOR_PREDICT, b"iris", b""),
        ("/v1/models/iris/versions/00%3Apredict", frames.DOOR_PREDICT, b"iris", b"00"),
        ("/v1/models/iris/labels/latest:regress", frames.DOOR_REGRESS, b"iris", b""),
        ("/v1/models/iris/labels/stable:predict", frames.DOOR_PREDICT, b"iris", b""),
        ("/endpoints/iris/invocations", frames.DOOR_MLFLOW, b"iris", b""),
        ("/invocations", frames.DOOR_MLFLOW, b"", b""),
        ("/invocations?x", frames.DOOR_MLFLOW, b"", b""),
        ("/predictions/iris", frames.DOOR_PREDICTIONS, b"iris", b""),
        ("/predictions/iris/2", frames.DOOR_PREDICTIONS, b"iris", b"2"),
        ("/endpoints/iris/score", frames.DOOR_SCORE, b"iris", b""),
        ("/endpoints/iris", frames.DOOR_HANDLER, b"iris", b""),
    ],
)
def test_a_prediction_is_fast_and_names_its_door_endpoint_and_version(target, door, endpoint, version):
    head = read(target)
    assert (head.fast, head.door, head.endpoint, head.version) == (True, door, endpoint, version)
    flags = frames.FLAG_MEDIA if door in frames.POSTED else 0
    assert (head.length, head.keep_alive, head.flags, head.json_size, head.timeout) == (5, True, flags, 0, 0.0)


@pytest.mark.parametrize(
    "target",
    [
        "/", "/predict", "/predict/", "/predict/a/b", "/predict//", "/metrics", "/v2", "/v2/models/a",
        "/v2/models/a/ready",
        "/v2/models//infer", "/v2/models/a/versions//infer", "/v2/models/a/infer/", "/v2/models/a/versions/1/x/infer",
        "http://host/predict/iris", "/endpoints/a/", "/predictions/", "/predictions/a/1/x", "*", "/v1/models/a", "/v1/models/a:explain", "/v1/models/:predict",
        "/v1/models/a/labels/canary:predict", "/v1/models/a/versions/:predict", "/v1/models/a:predict/x",
        "/v1/models/a/b:predict", "/endpoints//invocations", "/endpoints/a/invocations/", "/endpoints/a/b/invocations",
        "/ping",
    ],
)  # fmt: skip
def test_every_other_target_goes_the_ordinary_way(target):
    assert not read(target).fast


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "PROPFIND"])
def test_every_other_method_goes_the_ordinary_way(method):
    assert not read(method=method).fast


def test_connect_goes_the_ordinary_way():
    assert not read("host:80", method="CONNECT", length=None).fast


@pytest.mark.parametrize(
    ("media", "door"),
    [
        ("application/json", frames.DOOR_MLFLOW), ("Application/JSON; charset=UTF-8", frames.DOOR_MLFLOW),
        ("", frames.DOOR_MLFLOW), ("text/csv", frames.DOOR_MLFLOW_CSV), ("text/csv;charset=utf-8;", frames.DOOR_MLFLOW_CSV),
        ("text/plain", frames.DOOR_INVOKE), ("application/json; charset=latin1", frames.DOOR_INVOKE),
        ("application/json; format=x", frames.DOOR_INVOKE), ("application/x-npy", frames.DOOR_INVOKE),
        (";", frames.DOOR_MLFLOW),
    ],
)  # fmt: skip
def test_the_content_type_chooses_how_invocations_are_read(media, door):
    head = read("/endpoints/iris/invocations", f"Content-Type: {media}", "Accept: text/csv")
    assert (head.fast, head.door) == (True, door)
    assert head.media == frames.pack_media(media.encode(), b"text/csv")
    assert read("/predict/iris", f"Content-Type: {media}").fast


@pytest.mark.parametrize(
    ("target", "door"),
    [
        ("/v1/models/a:predict", frames.DOOR_PREDICT), ("/v1", frames.DOOR_PREDICT), ("/v1/x", frames.DOOR_PREDICT),
        ("/v10", frames.DOOR_PLAIN), ("/v2/models/a", frames.DOOR_OIP), ("/invocations", frames.DOOR_MLFLOW),
        ("/endpoints/a/invocations", frames.DOOR_MLFLOW), ("/endpoints/a/ping", frames.DOOR_MLFLOW),
        ("/ping", frames.DOOR_MLFLOW), ("/version", frames.DOOR_MLFLOW), ("/health", frames.DOOR_MLFLOW),
        ("/healthz", frames.DOOR_PLAIN), ("/endpoints/a", frames.DOOR_HANDLER), ("/predict/a", frames.DOOR_PLAIN),
    ],
)  # fmt: skip
def test_an_error_takes_the_form_of_the_family_that_was_spoken_to(target, door):
    assert refused(target, "Content-Length: 6").door == door


@pytest.mark.parametrize("headers", [("Transfer-Encoding: chunked",), ()])
def test_without_a_plain_length_it_is_not_fast(headers):
    assert not read("/predict/iris", *headers, length=None).fast


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue", "something"])
def test_an_expectation_is_not_fast(expect):
    assert not read("/predict/iris", f"Expect: {expect}").fast


def test_an_offer_to_upgrade_is_passed_over():
    head = read("/predict/iris", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMA")
    assert (head.fast, head.endpoint, head.length, head.keep_alive) == (True, b"iris", 5, True)


@pytest.mark.parametrize(
    ("headers", "version", "keep"),
    [
        ((), "1.1", True), (("Connection: keep-alive",), "1.1", True), (("Connection: close",), "1.1", False),
        (("Connection: x, Close",), "1.1", False), ((), "1.0", False), (("Connection: keep-alive",), "1.0", False),
    ],
)  # fmt: skip
def test_keep_alive_follows_version_and_connection_header(headers, version, keep):
    assert read("/predict/iris", *headers, version=version).keep_alive is keep


@pytest.mark.parametrize("target", ["/predict/iris", "/v2/models/iris/infer"])
@pytest.mark.parametrize(
    "headers",
    [
        ("Content-Length: 5", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", "Content-Length: 5"),
        ("Content-Length: 5", "Content-Length: 6"),
        ("Content-Length: 5", "Content-Length: 5"),
        ("Content-Length: 5, 5",), ("Content-Length: +5",), ("Content-Length: -5",), ("Content-Length: 0x5",),
        ("Content-Length: 5a",), ("Content-Length: ",), ("Content-Length: 99999999999999999999999999",),
        ("Transfer-Encoding: gzip",), ("Transfer-Encoding: chunked, identity",),
        ("Content-Length : 5",), ("A b: c",), (" folded: x",), ("A: b\n c",), ("A: b\0",), ("no colon",),
    ],
)  # fmt: skip
def test_doubtful_framing_is_refused_in_the_form_of_its_door(target, headers):
    bad = refused(target, *headers, length=None)
    assert isinstance(bad.error, InvalidInput)
    assert bad.door == (frames.DOOR_OIP if target.startswith("/v2") else frames.DOOR_PLAIN)
    assert bad.error.help


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"5"), (b"content-length", b"6")],
        [(b"content-length", b"+5")], [(b"content-length", b"")], [(b"content-length", "٣".encode())],
    ],
)  # fmt: skip
def test_doubtful_framing_is_refused_whoever_parsed_it(headers):
    with pytest.raises(BadHead):
        Heads(LIMIT).build(b"POST", b"/predict/iris", headers)


@pytest.mark.parametrize("length", [LIMIT + 1, 1 << 40, 10**18, (1 << 64) - 1])
def test_a_body_over_the_limit_is_refused_from_the_head_alone(length):
    bad = refused(length=str(length))
    assert isinstance(bad.error, TooLarge)
    assert str(LIMIT) in bad.error.message
    assert read(length=str(LIMIT)).length == LIMIT


def test_spaces_around_values_do_not_count():
    head = read("/predict/iris", "Inferry-Timeout:   2.5  ", "Inference-Header-Content-Length: 3\t", length="5 \t ")
    assert (head.length, head.timeout, head.json_size) == (5, 2.5, 3)


@pytest.mark.parametrize("value", ["0", "-1", "x", "1e9", "nan", "inf", "", "1.", "9999999", "0.0000001", "1 2"])
def test_a_timeout_is_a_positive_number_of_seconds(value):
    assert isinstance(refused("/predict/iris", f"Inferry-Timeout: {value}").error, InvalidInput)


@pytest.mark.parametrize("value", ["x", "-1", "1001", "4294967296", "99999999999999999999", "999999999999999999999"])
def test_a_json_size_that_no_body_has_is_refused(value):
    bad = refused("/v2/models/a/infer", f"Inference-Header-Content-Length: {value}")
    assert isinstance(bad.error, InvalidInput)
    assert bad.door == frames.DOOR_OIP


@pytest.mark.parametrize(
    ("value", "flags"),
    [("identity", 0), ("gzip", frames.FLAG_GZIP), ("GZIP", frames.FLAG_GZIP), ("deflate", frames.FLAG_DEFLATE)],
)  # fmt: skip
def test_the_content_encoding_becomes_a_flag(value, flags):
    assert read("/predict/iris", f"Content-Encoding: {value}").flags == flags


@pytest.mark.parametrize(
    ("value", "stream"),
    [
        ("text/event-stream", True), ("Text/Event-Stream; q=0.9", True), ("application/json, text/event-stream", True),
        ("*/*", False), ("text/*", False), ("text/event-streams", False), ("x/text/event-stream", False), ("", False),
    ],
)  # fmt: skip
def test_who_accepts_events_of_the_plain_door_takes_parts(value, stream):
    flags = frames.FLAG_STREAM if stream else 0
    assert read("/predict/iris", f"Accept: {value}").flags == flags
    assert read("/predict/iris", f"Accept: {value}", "Content-Encoding: gzip").flags == flags | frames.FLAG_GZIP
    assert read("/predict/iris", "Content-Encoding: gzip", f"Accept: {value}").flags == flags | frames.FLAG_GZIP
    for other in ("/v2/models/a/infer", "/v1/models/a:predict", "/endpoints/a/invocations"):
        assert not read(other, f"Accept: {value}").flags & frames.FLAG_STREAM


def test_chunks_are_for_clients_of_their_time():
    assert read("/predict/iris").chunks
    assert not read("/predict/iris", version="1.0").chunks


@pytest.mark.parametrize("value", ["br", "gzip, gzip", "zstd", ""])
def test_an_unknown_content_encoding_is_refused(value):
    assert isinstance(refused("/predict/iris", f"Content-Encoding: {value}").error, UnsupportedMedia)


def test_the_authorization_is_kept_as_it_is():
    assert read("/predict/iris", "AUTHORIZATION: Bearer abc").authorization == b"Bearer abc"


def test_too_many_headers_are_refused():
    assert "256" in refused("/predict/iris", *[f"A{number}: b" for number in range(300)]).error.message
    assert read("/predict/iris", *[f"A{number}: b" for number in range(200)]).fast


@pytest.mark.parametrize(
    "data", [b"\x16\x03\x01\x02\r\n\r\n", b"hello\r\n\r\n", b"GET\r\n\r\n", b"POST /predict/x HTTP/9.9\r\n\r\n",
             b"POST /predict/\xff HTTP/1.1\r\nContent-Length: 1\r\n\r\n",
             b"GET / HTTP/1.1\n\nPOST /predict/x HTTP/1.1\r\nContent-Length: 5\r\n\r\n"],
)  # fmt: skip
def test_what_is_no_http_is_refused(data):
    with pytest.raises(BadHead):
        Heads(LIMIT).get(data)


def test_the_same_head_is_parsed_once():
    heads = Heads(LIMIT)
    assert heads.get(lines()) is heads.get(bytes(bytearray(lines())))


def test_the_memory_of_heads_is_bounded():
    heads = Heads(LIMIT)
    for number in range(MAX_CACHED + 10):
        heads.get(lines("/predict/iris", f"X-Request-Id: {number}"))
    assert len(heads._known) <= MAX_CACHED
    heads._known.clear()
    heads.get(lines("/predict/iris", "X: " + "y" * MAX_CACHED_HEAD))
    heads.get(lines("/metrics", method="GET", length=None))
    assert not heads._known


def test_a_refused_head_is_refused_again():
    heads = Heads(LIMIT)
    for _ in range(2):
        with pytest.raises(BadHead):
            heads.get(lines(length="x"))


piece = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [b"POST", b" /predict/a", b" /v2/models/a/infer", b" /v1/models/a:predict", b" /invocations",
         b"content-type: text/csv\r\n", b" HTTP/1.1\r\n", b"Content-Length: 5\r\n", b"\r\n", b":",
         b"\n",
         b"Transfer-Encoding: chunked\r\n", b"Connection: upgrade\r\n", b"Upgrade: h2c\r\n", b"inferry-timeout: 1\r\n",
         b"content-length: 99999999999999999999\r\n", b"Inference-Header-Content-Length: 4294967297\r\n"]
    ),
)  # fmt: skip


@given(st.lists(piece, max_size=12).map(b"".join))
@example(b"")
@example(b"\r\n")
@example(b"PRI * HTTP/2.0")
def test_any_bytes_give_a_head_or_a_refusal_and_nothing_else(data):
    try:
        found = Heads(LIMIT).get(data + b"\r\n\r\n")
    except BadHead as bad:
        found = bad
    if isinstance(found, BadHead):
        assert 400 <= found.error.status < 500
    elif found.fast:
        assert found.endpoint or found.door in (frames.DOOR_MLFLOW, frames.DOOR_MLFLOW_CSV)
        assert max(found.length, found.json_size) <= LIMIT


@pytest.mark.parametrize(
    ("target", "body", "endpoint", "flags"),
    [
        ("/v1/chat/completions", b'{"messages": [{"model": "b"}], "model": "a"}', b"a", 0),
        ("/v1/chat/completions", b'{"model": "a", "stream": true}', b"a", frames.FLAG_STREAM),
        ("/v1/chat/completions", b'{"model": "a", "stream": null}', b"a", 0),
        ("/v1/embeddings", b'{"model": "a", "stream": true}', b"a", 0),
        ("/v1/completions", b'{"model": ""}', b"?", 0),
        ("/v1/completions", b'{"model": "%b"}' % (b"a" * 500), b"a" * 64, 0),
    ],
)
def test_a_body_names_its_endpoint(target, body, endpoint, flags):
    head = read(target)
    own = addressed(head, body)
    assert (own.endpoint, own.flags, own.door) == (endpoint, flags, head.door)
    assert (head.endpoint, head.flags) == (b"", 0)  # the remembered one stays as it is


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"model": 3}', b'{"model": "a", "stream": 1}', b"[" * 100_000, b"\xff"]
)
def test_a_body_that_names_none_is_refused(body):
    with pytest.raises(InvalidInput, match="does not name a model"):
        addressed(read("/v1/chat/completions"), body)


def test_a_compressed_body_that_should_name_its_endpoint_is_refused():
    with pytest.raises(UnsupportedMedia):
        addressed(read("/v1/chat/completions", "Content-Encoding: gzip"), b"x")
