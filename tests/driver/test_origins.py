"""The allow-list of origins: what it takes, whom it lets in, and that no lookalike gets past it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.driving import Session, new_client, new_server, new_wsgi, parse_head, request, split_head
from tests.support.driving import wsgi_environ as environ_of
from wsdriver import ConfigurationError, Driver, HandshakeError
from wsdriver.driver.origins import Origins, parse_origin

GOOD = "https://good.com"


def ask(origins: Any, *lines: str, side: str = "server", host: str = "good.com", **base: Any) -> Session:
    """Send a right request with these header lines to a driver that asks for origins; return how it went."""
    head = request("/", "".join(f"{line}\r\n" for line in lines)).replace(b"localhost", host.encode("latin-1"))
    return answer(head, origins, side, base)


def answer(head: bytes, origins: Any, side: str, base: dict[str, Any]) -> Session:
    if side == "wsgi":
        session = new_wsgi({**environ_of(head), **base}, origins=origins)
        session.driver.start()
        return session
    session = new_server(origins=origins)
    session.wire.base_environ = base
    session.driver.start()
    return session.parse(head)


def is_let_in(session: Session) -> bool:
    """Whether the handshake went through; a refusal is checked."""
    head, body = split_head(session.wire.take())
    first, _ = parse_head(head)
    if session.driver.state == "open":
        assert first.startswith("HTTP/1.1 101 ")
        return True
    assert first == "HTTP/1.1 403 Forbidden"
    error = session.error
    assert type(error) is HandshakeError
    assert error.status == 403
    assert body.decode() == f"{error}\n"
    assert session.names[-2:] == ["error", "close"]
    assert "open" not in session.names
    assert session.driver.state == "closed"
    return False


# --- whom it lets in -------------------------------------------------------------------------------------------------

LISTS = [
    (GOOD, GOOD, True),
    ([GOOD], GOOD, True),
    ((GOOD, "https://other.com"), GOOD, True),
    ({GOOD}, GOOD, True),
    ([GOOD], "https://good.com:443", True),
    ([GOOD], "HTTPS://GOOD.COM", True),
    (["HTTPS://Good.Com:443"], GOOD, True),
    ([GOOD], "wss://good.com", True),
    (["wss://good.com"], GOOD, True),
    (["ws://good.com:80"], "http://good.com", True),
    (["https://good.com:8443"], "https://good.com:8443", True),
    (["http://[::1]:8080"], "http://[::1]:8080", True),
    (["http://[0:0:0:0:0:0:0:1]"], "http://[::1]", True),
    (["https://bücher.example"], "https://xn--bcher-kva.example", True),
    (["https://BÜCHER.example:444"], "https://xn--bcher-kva.example:444", True),
    (["chrome-extension://abcdefghijklmnop"], "chrome-extension://abcdefghijklmnop", True),
    (["null"], "null", True),
    ("null", "null", True),
    (["file://"], "file://", True),
    ([GOOD], "http://good.com", False),
    ([GOOD], "https://good.com:80", False),
    ([GOOD], "https://good.com:444", False),
    (["https://good.com:8443"], GOOD, False),
    (["http://good.com:443"], GOOD, False),
    ([GOOD], "https://www.good.com", False),
    ([GOOD], "https://com", False),
    ([GOOD], "null", False),
    ([GOOD], "file://", False),
    (["null"], "NULL", False),
    (["null"], "https://null", False),
    (["null"], GOOD, False),
    (["http://[::1]"], "http://[::2]", False),
    (["chrome-extension://abcdefghijklmnop"], "chrome-extension://abcdefghijklmnoq", False),
]


@pytest.mark.parametrize("side", ["server", "wsgi"])
@pytest.mark.parametrize(("origins", "sent", "expected"), LISTS)
def test_origin_is_let_in_where_scheme_host_and_port_are_listed(
    side: str, origins: Any, sent: str, expected: bool
) -> None:
    assert is_let_in(ask(origins, f"Origin: {sent}", side=side)) is expected


#: What begins, ends or reads like https://good.com (CVE-2019-13611, WS-2020-0443), or is none.
HOSTILE = [
    "",
    "good.com",
    "https:good.com",
    "https:/good.com",
    "https:///good.com",
    "https://",
    "https://:443",
    "https://good.com/",
    "https://good.com:",
    "https://good.com:x",
    "https://good.com:-443",
    "https://good.com:+443",
    "https://good.com:65979",  # 443 in 16 bits
    "https://good.com:443:443",
    "https://good.com.",
    "https://good.com.:443",
    "https://good.com.evil.org",
    "https://good.com-evil.org",
    "https://evilgood.com",
    "https://evil.org.good.com",
    "https://good.com`",
    "https://good.com`.evil.org",
    "https://good.com$",
    "https://good.com$.evil.org",
    "https://good.com!.evil.org",
    "https://good.com%00.evil.org",
    "https://good.com%2eevil.org",
    "https://good%2ecom",
    "https://good.com\\.evil.org",
    "https://good.com@evil.org",
    "https://evil.org@good.com",
    "https://@good.com",
    "https://good.com:443@evil.org",
    "https://evil.org/https://good.com",
    "https://evil.org?https://good.com",
    "https://evil.org#https://good.com",
    "https://good.com?",
    "https://good.com#",
    "https://good.com, https://good.com",
    "https://good.com,https://evil.org",
    "https://good.com,evil.org",
    "https://good.com https://evil.org",
    "https://good .com",
    "https://good.com\thttps://evil.org",
    "https://good.com;",
    "https://*",
    "https://*.com",
    "*",
    "https://[good.com]",
    "https://[::1]good.com",
    "https://g\xf6\xf6d.com",
    "https://good.com\xa0",
    "https://good\xad.com",
    "://good.com",
    "javascript:https://good.com",
    "blob:https://good.com",
    "data:,https://good.com",
    "https+x://good.com",
    "nullhttps://good.com",
    "null, https://good.com",
    "x" * 5000,
    "https://" + "a." * 2000 + "good.com",
]


@pytest.mark.parametrize("sent", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("origins", [[GOOD], "same"], ids=["list", "same"])
def test_origin_that_only_looks_right_is_refused(origins: Any, sent: str) -> None:
    assert not is_let_in(ask(origins, f"Origin: {sent}".rstrip(" "), side="wsgi", **{"wsgi.url_scheme": "https"}))


#: What heads cannot carry, but the environ of a careless WSGI server might.
@pytest.mark.parametrize(
    "sent",
    [" https://good.com", "https://good.com ", "https://good.com\n", "https://good.com\0", "https://good.com\r\n"],
)
def test_origin_with_spaces_or_controls_is_refused(sent: str) -> None:
    session = new_wsgi({**environ_of(request()), "HTTP_ORIGIN": sent}, origins=[GOOD])
    session.driver.start()
    assert not is_let_in(session)


@pytest.mark.parametrize("sent", [GOOD, "http://evil.org", "null", "", "x y", None])
def test_any_origin_is_let_in_unless_asked(sent: str | None) -> None:
    lines = [] if sent is None else [f"Origin: {sent}".rstrip()]
    assert is_let_in(ask(None, *lines))
    session = new_server()
    session.driver.start()
    assert is_let_in(session.parse(request("/", "".join(f"{line}\r\n" for line in lines))))


@pytest.mark.parametrize(
    ("origins", "expected"), [([GOOD], False), ([GOOD, None], True), ("null", False), (["same"], True)]
)
def test_request_without_an_origin_is_let_in_where_none_is_listed(origins: Any, expected: bool) -> None:
    session = ask(origins)
    assert is_let_in(session) is expected
    if not expected:
        assert "without an Origin header" in str(session.error)


def test_origin_that_is_empty_is_not_a_missing_one() -> None:
    assert not is_let_in(ask([GOOD, None], "Origin:"))
    assert not is_let_in(ask("same", "Origin:"))


@pytest.mark.parametrize("side", ["server", "wsgi"])
@pytest.mark.parametrize(
    "lines",
    [
        (f"Origin: {GOOD}", f"Origin: {GOOD}"),
        (f"Origin: {GOOD}", "Origin: https://evil.org"),
        ("Origin: https://evil.org", f"Origin: {GOOD}"),
        (f"Origin: {GOOD}", "Sec-WebSocket-Origin: https://evil.org"),
        ("Origin: https://evil.org", f"Sec-WebSocket-Origin: {GOOD}"),
        ("Origin:", f"Sec-WebSocket-Origin: {GOOD}"),
        (f"Sec-WebSocket-Origin: {GOOD}", f"Sec-WebSocket-Origin: {GOOD}"),
    ],
)
def test_request_with_two_origins_is_refused(side: str, lines: tuple[str, ...]) -> None:
    assert not is_let_in(ask([GOOD, None], *lines, side=side))
    assert not is_let_in(ask(lambda origin: True, *lines, side=side))


def test_origin_under_both_names_is_one() -> None:
    assert is_let_in(ask([GOOD], f"Origin: {GOOD}", f"Sec-WebSocket-Origin: {GOOD}"))


# --- every version ---------------------------------------------------------------------------------------------------

HIXIE_75 = "GET / HTTP/1.1\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nHost: good.com\r\nOrigin: {}\r\n\r\n"
KEYS = (
    "Sec-WebSocket-Key1: 18x 6]8vM;54 *(5:  {   U1]8  z [  8\r\nSec-WebSocket-Key2: 1_ tx7X d  <  nw  334J702) 7]o}` 0"
)
HYBI = request().decode().replace("localhost", "good.com")[:-2]
VERSIONS = {
    "hixie-75": HIXIE_75,
    "hixie-76": HIXIE_75[:-2] + f"{KEYS}\r\n\r\nTm[K T2u",
    **{
        f"hybi-{number}": HIXIE_75[:-2] + f"{KEYS}\r\nSec-WebSocket-Draft: {number}\r\n\r\nTm[K T2u"
        for number in (1, 2, 3)
    },
    **{
        f"hybi-{number}": HYBI.replace(": 13", f": {number}") + "Sec-WebSocket-Origin: {}\r\n\r\n"
        for number in (4, 5, 6, 7, 8)
    },
    "hybi-13": HYBI + "Origin: {}\r\n\r\n",
}


@pytest.mark.parametrize("side", ["server", "wsgi"])
@pytest.mark.parametrize("version", VERSIONS)
def test_origin_of_every_version_is_judged(version: str, side: str) -> None:
    for sent, expected in ((GOOD, True), ("https://good.com.evil.org", False)):
        # Not str.format: the keys have a brace.
        head, end, body = VERSIONS[version].replace(": {}\r\n", f": {sent}\r\n").partition("\r\n\r\n")
        if side == "wsgi":
            session = new_wsgi(environ_of((head + end).encode()), origins=[GOOD])
            session.driver.start()
            session.parse(body.encode())
        else:
            session = answer((head + end + body).encode(), [GOOD], side, {})
        assert is_let_in(session) is expected
        if expected:
            assert session.driver.version == version


# --- the server's own ------------------------------------------------------------------------------------------------

TLS = {"wsgi.url_scheme": "https"}
PROXY = {"REMOTE_ADDR": "127.0.0.1", "wsdriver.trusted_proxies": ["127.0.0.1"]}


@pytest.mark.parametrize(
    ("host", "base", "lines", "sent", "expected"),
    [
        ("good.com", {}, [], "http://good.com", True),
        ("good.com", {}, [], "http://good.com:80", True),
        ("GOOD.com:80", {}, [], "http://good.com", True),
        ("good.com:", {}, [], "http://good.com", True),
        ("good.com:8080", {}, [], "http://good.com:8080", True),
        ("[::1]:8080", {}, [], "http://[::1]:8080", True),
        ("good.com", TLS, [], GOOD, True),
        ("good.com:443", TLS, [], GOOD, True),
        ("good.com", PROXY, ["X-Forwarded-Proto: https"], GOOD, True),
        ("good.com:8443", PROXY, ["X-Forwarded-Ssl: on"], "https://good.com:8443", True),
        ("good.com", {}, [], GOOD, False),
        ("good.com", TLS, [], "http://good.com", False),
        ("good.com", {}, [], "http://good.com:8080", False),
        ("good.com:8080", {}, [], "http://good.com", False),
        ("good.com:443", {}, [], GOOD, False),
        ("good.com", {}, [], "http://good.com.evil.org", False),
        ("good.com", {}, [], "null", False),
        ("good.com", PROXY, ["X-Forwarded-Proto: https"], "http://good.com", False),
        ("good.com", {**PROXY, "REMOTE_ADDR": "192.0.2.1"}, ["X-Forwarded-Proto: https"], GOOD, False),
        ("good$com", {}, [], "http://good$com", False),
    ],
)
@pytest.mark.parametrize("side", ["server", "wsgi"])
def test_origin_same_is_what_the_client_asked_for(
    side: str, host: str, base: dict[str, Any], lines: list[str], sent: str, expected: bool
) -> None:
    session = ask("same", f"Origin: {sent}", *lines, side=side, host=host, **base)
    assert is_let_in(session) is expected


def test_origin_same_goes_with_others_in_a_list() -> None:
    for sent, expected in (("http://good.com", True), ("https://other.org", True), (GOOD, False)):
        assert is_let_in(ask(["same", "https://other.org"], f"Origin: {sent}")) is expected


def test_refusal_names_the_origin_and_the_servers_own() -> None:
    session = ask("same", "Origin: https://evil.org", host="good.com:8080")
    assert not is_let_in(session)
    assert "'https://evil.org'" in str(session.error)
    assert "http://good.com:8080" in str(session.error)
    session = ask([GOOD], "Origin: https://" + "e" * 5000)
    assert not is_let_in(session)
    assert "e" * 60 in str(session.error)
    assert len(str(session.error)) < 200
    assert "good.com" not in str(session.error), "the list is nobody's business"


# --- a function ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sent", ["https://a.good.com", "null", "HTTPS://A.good.com:443", "file://", None])
def test_predicate_gets_the_header_as_it_came(sent: str | None) -> None:
    seen = []

    def decide(origin: str | None) -> bool:
        seen.append(origin)
        return True

    assert is_let_in(ask(decide, *([] if sent is None else [f"Origin: {sent}"])))
    assert seen == [sent]


@pytest.mark.parametrize(("result", "expected"), [(True, True), (1, True), (False, False), (None, False), ("", False)])
def test_predicate_decides_by_the_truth_of_its_result(result: Any, expected: bool) -> None:
    assert is_let_in(ask(lambda origin: result, f"Origin: {GOOD}")) is expected


def test_predicate_is_not_asked_about_what_is_no_origin() -> None:
    def decide(origin: str | None) -> bool:
        raise AssertionError(origin)

    for sent in ("https://evil.org/.good.com", "https://good.com`", "https://a.com, https://b.com"):
        assert not is_let_in(ask(decide, f"Origin: {sent}"))


class Flaky:
    """A function of an application that fails at its first call."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, origin: str | None) -> bool:
        self.calls += 1
        if self.calls == 1:
            raise ZeroDivisionError(origin)
        return True


def start_now(session: Session) -> object:
    return session.driver.start()


def parse_head_later(session: Session) -> object:
    session.driver.start()
    return session.parse(request("/", f"Origin: {GOOD}\r\n") + b"\x81\x85\0\0\0\0hello")


@pytest.mark.parametrize("begin", [start_now, parse_head_later])
def test_predicate_that_raises_is_the_applications_error_and_nothing_has_begun(
    begin: Callable[[Session], object],
) -> None:
    """As what a listener raises."""
    flaky = Flaky()
    if begin is start_now:
        session = new_wsgi(environ_of(request("/", f"Origin: {GOOD}\r\n")), origins=flaky)
    else:
        session = new_server(origins=flaky)
    with pytest.raises(ZeroDivisionError, match=GOOD):
        begin(session)
    assert session.wire.take() == b""
    assert session.driver.state == "connecting"
    assert "error" not in session.names
    session.parse(b"\x81\x85\0\0\0\0early")
    assert flaky.calls == 1, "bytes of the peer do not ask again"
    assert session.driver.start() is True
    assert is_let_in(session)
    assert session.messages == (["early"] if begin is start_now else ["hello", "early"])


def test_predicate_that_raised_leaves_the_request_to_be_refused() -> None:
    session = new_wsgi(environ_of(request()), origins=Flaky())
    with pytest.raises(ZeroDivisionError):
        session.driver.start()
    session.driver.refuse(HandshakeError("out of order", 500))
    assert session.wire.take().startswith(b"HTTP/1.1 500 ")
    assert session.names == ["error", "close"]


def test_predicate_that_raises_a_handshake_error_gives_the_answer() -> None:
    def decide(origin: str | None) -> bool:
        raise HandshakeError("who are you?", 401, {"WWW-Authenticate": "Basic"})

    session = ask(decide, f"Origin: {GOOD}")
    sent = session.wire.take()
    assert sent.startswith(b"HTTP/1.1 401 Unauthorized\r\n")
    assert b"WWW-Authenticate: Basic\r\n" in sent
    assert session.names == ["connect", "error", "close"]


@pytest.mark.parametrize("result", [True, False])
def test_predicate_that_ends_the_connection_is_the_end(result: bool) -> None:
    drivers: list[Driver] = []

    def decide(origin: str | None) -> bool:
        drivers[0].close()
        return result

    session = new_wsgi(environ_of(request()), origins=decide)
    drivers.append(session.driver)
    assert session.driver.start() is False
    assert session.driver.state == "closed"
    assert session.wire.take() == b""
    assert session.names == ["close"]


def test_predicate_that_starts_again_is_answered_once() -> None:
    drivers: list[Driver] = []

    def decide(origin: str | None) -> bool:
        if len(drivers) == 1:
            drivers.append(drivers[0])
            drivers[0].start()
        return True

    session = new_wsgi(environ_of(request()), origins=decide)
    drivers.append(session.driver)
    assert session.driver.start() is False
    assert session.wire.take().count(b"HTTP/1.1") == 1
    assert session.names == ["open"]


# --- the option ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("origins", "hint"),
    [
        ("example.com", "did you mean 'https://example.com'"),
        ("Same", "'same'"),
        (["example.com:443"], "did you mean"),
        ("https://example.com/", "nothing behind"),
        ("https://example.com/path", "nothing behind"),
        ("https://example.com?x", "scheme://host"),
        ("https://user@example.com", "scheme://host"),
        ("https://example.com:", "scheme://host"),
        ("https://example.com:99999", "scheme://host"),
        ("https://", "scheme://host"),
        (" https://example.com", "scheme://host"),
        ("https://a.com, https://b.com", "scheme://host"),
        ("https://a.com,b.com", "scheme://host"),
        ("http://[:::]", "scheme://host"),
        ("*", "wildcard"),
        ("https://*.example.com", "wildcard"),
        ("https://straße.de", "ASCII"),
        ("https://ex\u200dample.com", "ASCII"),
        ("https://example。com", "ASCII"),
        ("https://" + "ü" * 70 + ".com", "ASCII"),
        ("", "no scheme"),
        ([], "list"),
        ((), "list"),
        (5, "list"),
        (True, "list"),
        ([5], "str"),
        ([b"https://example.com"], "str"),
        (b"https://example.com", "str"),
        ([[GOOD]], "str"),
    ],
)
@pytest.mark.parametrize("make", [new_server, new_wsgi])
def test_option_wrong_is_refused_at_the_call(make: Callable[..., Session], origins: Any, hint: str) -> None:
    with pytest.raises(ConfigurationError, match="origins") as caught:
        make(origins=origins)
    assert hint in str(caught.value)


@pytest.mark.parametrize("origins", [[GOOD], "same", lambda origin: True])
def test_option_of_a_client_is_refused_at_the_call(origins: Any) -> None:
    with pytest.raises(ConfigurationError, match="origins"):
        new_client(origins=origins)
    with pytest.raises(ConfigurationError, match="origins"):
        Driver.client("ws://localhost/", origins=origins)
    assert new_client(origins=None).driver.start()


def test_option_given_once_only_is_kept() -> None:
    origins = Origins(origin for origin in (GOOD, "https://other.com"))
    for sent in (GOOD, "https://other.com"):
        origins.check({"HTTP_HOST": "x", "HTTP_ORIGIN": sent})


# --- any text --------------------------------------------------------------------------------------------------------


@given(st.text(max_size=60) | st.from_regex(r"[a-zA-Z]+://[ -~\x80-\xff]*", fullmatch=True))
def test_parse_origin_of_any_text_is_an_origin_or_refused(value: str) -> None:
    try:
        origin = parse_origin(value)
    except HandshakeError:
        return
    assert origin.host == origin.host.lower()
    if origin.host:
        assert parse_origin(str(origin)) == origin
