"""What a proxy says of its client's connection, and who is believed."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.driving import new_wsgi, parse_head, split_head, wsgi_environ
from wsdriver.environ import is_secure, url_of
from wsdriver.exceptions import ConfigurationError
from wsdriver.forwarded import TRUSTED_PROXIES, check_trusted, forwarded_client, is_forwarded_secure, is_trusted_proxy

LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "example.com", "wsgi.url_scheme": "http"}


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"HTTP_X_FORWARDED_PROTO": "https"}, True),
        ({"HTTP_X_FORWARDED_PROTO": "HTTPS"}, True),
        ({"HTTP_X_FORWARDED_PROTO": "wss"}, True),
        ({"HTTP_X_FORWARDED_PROTO": "https, http"}, True),
        ({"HTTP_X_FORWARDED_PROTO": " https ,http"}, True),
        ({"HTTP_X_FORWARDED_PROTO": "http"}, False),
        ({"HTTP_X_FORWARDED_PROTO": "http, https"}, False),
        ({"HTTP_X_FORWARDED_PROTO": "httpsx"}, False),
        ({"HTTP_X_FORWARDED_PROTO": "on"}, False),
        ({"HTTP_X_FORWARDED_PROTO": ","}, False),
        ({"HTTP_X_FORWARDED_SSL": "on"}, True),
        ({"HTTP_X_FORWARDED_SSL": "off"}, False),
        ({"HTTP_X_FORWARDED_SSL": "https"}, False),
        ({"HTTP_X_FORWARDED_SCHEME": "https"}, True),
        ({"HTTP_X_FORWARDED_SCHEME": "http"}, False),
        # A proxy that sets the first header lets its clients send the others.
        ({"HTTP_X_FORWARDED_PROTO": "http", "HTTP_X_FORWARDED_SSL": "on"}, False),
        ({"HTTP_X_FORWARDED_SSL": "off", "HTTP_X_FORWARDED_SCHEME": "https"}, False),
        ({"HTTP_X_FORWARDED_PROTO": "", "HTTP_X_FORWARDED_SSL": "on"}, True),
        ({"HTTP_FORWARDED": "proto=https"}, False),
    ],
)
def test_header_of_a_trusted_proxy_says_whether_the_client_is_secure(headers: dict[str, str], expected: bool) -> None:
    environ = {**LOCAL, **headers}
    assert is_forwarded_secure(environ) is expected
    assert is_secure(environ) is expected
    assert url_of(environ) == f"{'wss' if expected else 'ws'}://example.com/"
    stranger = {**environ, "REMOTE_ADDR": "192.0.2.1"}
    assert is_secure(stranger) is False
    assert url_of(stranger) == "ws://example.com/"


@pytest.mark.parametrize("peer", ["127.0.0.1", "192.0.2.1"])
@pytest.mark.parametrize(
    "header", ["X-Forwarded-Proto: https", "X-Forwarded-Proto: wss", "X-Forwarded-Ssl: on", "X-Forwarded-Scheme: https"]
)
@pytest.mark.parametrize("version", ["hixie-75", "hixie-76"])
def test_location_of_hixie_is_wss_behind_a_trusted_proxy(version: str, header: str, peer: str) -> None:
    """Such a client compares it with what it asked for, and goes where it is another."""
    keys = (
        "Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\n"
        "Sec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0\r\n"
    )
    head = (
        "GET /demo?a=b HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n"
        f"Origin: https://example.com\r\n{header}\r\n{keys if version == 'hixie-76' else ''}\r\n"
    )
    session = new_wsgi({**wsgi_environ(head.encode()), "REMOTE_ADDR": peer})
    session.driver.start()
    session.parse(b"Tm[K T2u" if version == "hixie-76" else b"")
    assert session.driver.state == "open"
    assert session.driver.version == version
    _, fields = parse_head(split_head(session.wire.take())[0])
    location = fields["websocket-location" if version == "hixie-75" else "sec-websocket-location"]
    assert location == ("wss" if peer == "127.0.0.1" else "ws") + "://example.com/demo?a=b"
    assert session.driver.url == location


def test_header_that_says_http_takes_nothing_from_a_connection_with_tls() -> None:
    environ = {**LOCAL, "wsgi.url_scheme": "https", "HTTP_X_FORWARDED_PROTO": "http"}
    assert is_secure(environ) is True
    assert url_of(environ) == "wss://example.com/"


@pytest.mark.parametrize(
    ("trusted", "peer", "expected"),
    [
        (None, "127.0.0.1", True),
        (None, "::1", True),
        (None, "::ffff:127.0.0.1", True),
        (None, "127.0.0.2", False),
        (None, "192.0.2.1", False),
        (None, "", True),
        (None, None, False),
        (None, "nonsense", False),
        ("", "", True),
        ("", "127.0.0.1", False),
        ([], "127.0.0.1", False),
        ("*", "192.0.2.1", True),
        (["*"], "192.0.2.1", True),
        ("127.0.0.1,*", "2001:db8::1", True),
        ("*", None, False),
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.10", False),
        ("192.0.2.1", "127.0.0.1", False),
        ("10.0.0.0/8, 192.0.2.1 ,", "10.255.0.1", True),
        ("10.0.0.0/8, 192.0.2.1 ,", "192.0.2.1", True),
        ("10.0.0.0/8, 192.0.2.1 ,", "11.0.0.1", False),
        (["10.0.0.0/8"], "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        ("10.1.2.3/8", "10.255.0.1", True),
        ("2001:db8::/32", "2001:db8::5", True),
        ("2001:db8::/32", "2001:DB8:0:0::5", True),
        ("2001:db8::/32", "2001:db9::5", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("0.0.0.0/0", "2001:db8::5", False),
        ("0.0.0.0/0", "evil", False),
    ],
)
@pytest.mark.parametrize("place", ["environ", "variable"])
def test_peer_is_trusted_where_it_is_listed(
    place: str, trusted: Any, peer: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ: dict[str, Any] = {} if peer is None else {"REMOTE_ADDR": peer}
    if trusted is not None and place == "environ":
        environ[TRUSTED_PROXIES] = trusted
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", "*" if not expected else "203.0.113.1")  # does not count then
    elif trusted is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", trusted if isinstance(trusted, str) else ",".join(trusted))
    assert is_trusted_proxy(environ) is expected


def test_peer_that_the_server_cannot_name_is_not_trusted() -> None:
    """gunicorn has None for a client of the PROXY protocol that it was not told of."""
    assert is_trusted_proxy({"REMOTE_ADDR": None, TRUSTED_PROXIES: ["*"]}) is False


def test_variable_that_changes_counts_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {**LOCAL, "REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_PROTO": "https"}
    assert not is_secure(environ)
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "192.0.2.0/24")
    assert is_secure(environ)


def test_entry_that_is_no_address_is_told_once_and_trusts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    environ = {"REMOTE_ADDR": "192.0.2.1", TRUSTED_PROXIES: "proxy.example, 10.0.0.0/8"}
    with caplog.at_level(logging.WARNING, "wsdriver"):
        assert is_trusted_proxy(environ) is False
        assert is_trusted_proxy({**environ, "REMOTE_ADDR": "10.0.0.1"}) is True
    (record,) = caplog.records
    assert "'proxy.example'" in record.getMessage()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], None),
        ([""], None),
        ([","], None),
        (["192.0.2.1"], "192.0.2.1"),
        (["evil, 192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1, evil"], None),
        (["192.0.2.1, evil, 10.0.0.1"], "10.0.0.1"),
        (["192.0.2.1,, 10.0.0.1"], "10.0.0.1"),
        (["192.0.2.1", "192.0.2.2 , 10.0.0.1"], "192.0.2.2"),
        (["10.0.0.2, 10.0.0.1"], "10.0.0.2"),
        (["192.0.2.1:80, [::ffff:10.0.0.1]:80"], "192.0.2.1"),
        (["2001:DB8::1"], "2001:db8::1"),
        (["[2001:db8::1"], "2001:db8::1"),
        (["10.0.0.1 " * 3], None),
        (["192.0.2.1, " + "10.0.0.1," * 3000 + "10.0.0.1"], "192.0.2.1"),
    ],
)
def test_client_is_the_last_that_is_no_trusted_proxy(values: list[str], expected: str | None) -> None:
    assert forwarded_client(values, ["10.0.0.0/8"]) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [("*", ("*",)), ("10.0.0.0/8,::1", ("10.0.0.0/8", "::1")), ([], ()), (iter(["10.1.2.3/8"]), ("10.1.2.3/8",))],
)
def test_list_of_trusted_proxies_is_kept_as_a_tuple(given: Any, expected: tuple[str, ...]) -> None:
    assert check_trusted(given) == expected


@pytest.mark.parametrize("given", [5, "x", ["10.0.0.0/40"], [None], [b"10.0.0.1"], object()])
def test_list_of_trusted_proxies_with_anything_else_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError, match="trusted_proxies"):
        check_trusted(given)
