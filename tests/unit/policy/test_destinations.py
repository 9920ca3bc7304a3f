"""Destinations: where a webhook may go, and where it never does."""

from __future__ import annotations

import pytest

from inferry.errors import InvalidInput
from inferry.policy.destinations import check_url, refused


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/hook",
        "https://10.1.2.3:8443/",
        "https://[2001:db8::1]/hook?x=1",
        "http://127.0.0.1:9000/",
        "http://localhost:9000/hook",
        "http://[::1]/",
    ],
)
def test_https_goes_anywhere_and_http_to_this_machine(url):
    assert check_url(url, allow_http=False) == url


@pytest.mark.parametrize("url", ["http://example.org/", "http://10.1.2.3/hook", "http://localhost.example.org/"])
def test_plain_http_beyond_this_machine_must_be_meant(url):
    with pytest.raises(InvalidInput):
        check_url(url, allow_http=False)
    assert check_url(url, allow_http=True) == url


@pytest.mark.parametrize(
    "url",
    [
        "", "hook", "ftp://example.org/", "https:///hook", "https://ann:secret@example.org/", "https://example.org/#top",
        "https://exa mple.org/", "https://ex\u00e4mple.org/", "https://example.org:99999/", "https://[::1", "file:///etc/passwd",
        "https://169.254.169.254/latest/meta-data/", "http://169.254.169.254/", "https://[fe80::1]/", "https://[fd00:ec2::254]/",
        "https://[::ffff:169.254.169.254]/", "https://[64:ff9b::a9fe:a9fe]/", "https://0.0.0.0/", "https://224.0.0.1/",
        "https://example.org/" + "x" * 2000,
    ],
)  # fmt: skip
def test_what_is_no_receiver_is_refused_whatever_is_allowed(url):
    with pytest.raises(InvalidInput):
        check_url(url, allow_http=True)


@pytest.mark.parametrize(
    ("address", "secure", "fine"),
    [
        ("127.0.0.1", False, True), ("::1", False, True), ("::ffff:127.0.0.1", False, True), ("10.0.0.1", False, False),
        ("10.0.0.1", True, True), ("93.184.216.34", True, True), ("169.254.169.254", True, False),
        ("fe80::1%eth0", True, False), ("100.100.100.200", True, False), ("::", True, False), ("255.255.255.255", True, False),
    ],
)  # fmt: skip
def test_a_name_is_judged_by_where_it_is_at_that_moment(address, secure, fine):
    assert (refused(address, secure=secure) == "") is fine
