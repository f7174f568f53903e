"""Where a redirect leads, and what may not go there."""

from __future__ import annotations

import pytest

from wsdriver.driver.redirects import is_redirect, redirect_url, same_origin, without_secrets
from wsdriver.exceptions import HandshakeError
from wsdriver.http import Headers

URL = "ws://user:pw@host/a/b?c=d"


def answer(location: str, status: int = 302) -> HandshakeError:
    return HandshakeError("x", status, Headers([("Location", location)]), b"body")


@pytest.mark.parametrize("status", [200, 101, 300, 301, 302, 303, 304, 305, 307, 308, 401])
def test_statuses_that_redirect(status: int) -> None:
    assert is_redirect(answer("/", status)) is (status in (301, 302, 303, 307, 308))
    assert not is_redirect(HandshakeError("x", status))


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/e", "ws://user:pw@host/e"),
        ("e", "ws://user:pw@host/a/e"),
        ("?e", "ws://user:pw@host/a/b?e"),
        ("//other/e", "ws://other/e"),
        ("ws://host/e", "ws://user:pw@host/e"),
        ("http://HOST:80/e", "ws://user:pw@HOST:80/e"),
        ("ws://host:81/", "ws://host:81/"),
        ("wss://host/", "wss://host/"),
        ("https://host/", "wss://host/"),
        ("ws://other:secret@host/", "ws://user:pw@host/"),
        ("ws://other:secret@another/", "ws://another/"),
        ("/e#f", "ws://user:pw@host/e"),
        ("/\xc3\xa9", "ws://user:pw@host/%C3%A9"),
    ],
)
def test_location_leads_to(location: str, url: str) -> None:
    assert redirect_url(URL, answer(location)) == url


@pytest.mark.parametrize(
    ("url", "location", "message"),
    [
        ("wss://host/", "ws://host/", "from wss:// to ws://"),
        ("wss://host/", "http://host/", "from wss:// to ws://"),
        ("ws://host/", "ftp://host/", "neither ws:// nor wss://"),
        ("ws://host/", "ws://h ost/", "spaces"),
        ("ws://host/", "ws://[::1/", "no valid"),
    ],
)
def test_location_that_is_refused(url: str, location: str, message: str) -> None:
    with pytest.raises(HandshakeError, match=message) as caught:
        redirect_url(url, answer(location))
    assert (caught.value.status, caught.value.headers["location"], caught.value.body) == (302, location, b"body")


def test_location_is_shown_without_its_password() -> None:
    with pytest.raises(HandshakeError) as caught:
        redirect_url("wss://host/", answer("ws://user:secret@host/"))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("ws://host/other", True),
        ("ws://HOST:80/", True),
        ("ws://u:p@host/", True),
        ("wss://host/", False),
        ("ws://host:8080/", False),
        ("ws://host.example/", False),
    ],
)
def test_origin_is_scheme_host_and_port(other: str, same: bool) -> None:
    assert same_origin("ws://host/path", other) is same


def test_secrets_are_for_one_origin() -> None:
    given = [("AUTHORIZATION", "a"), ("cookie", "b"), ("Proxy-Authorization", "c"), ("Host", "d"), ("X-E", "e")]
    assert without_secrets(given) == (("X-E", "e"),)
