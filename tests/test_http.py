"""Heads of requests and responses: read strictly, bounded, and in linear time."""

from __future__ import annotations

import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.driving import head_of, load_vectors, pieces, request
from wsdriver import http
from wsdriver.exceptions import ConfigurationError, HandshakeError
from wsdriver.http import (
    MAX_FIELDS,
    MAX_HEAD,
    BodyReader,
    Headers,
    HeadReader,
    Request,
    Response,
    authority_of,
    check_header,
    is_interim,
    parse_authority,
    parse_host,
    parse_request,
    parse_response,
    serialize_head,
    split_tokens,
    without_password,
)

# --- Headers ---------------------------------------------------------------------------------------------------------

FIELDS = [("Host", "a"), ("X-List", "1"), ("x-list", "2, 3"), ("X-Empty", ""), ("X-LIST", "4")]


def test_headers_join_fields_of_one_name() -> None:
    headers = Headers(FIELDS)
    assert headers["X-List"] == headers["x-list"] == headers["X-LIST"] == "1, 2, 3, 4"
    assert headers.get_all("X-list") == ["1", "2, 3", "4"]
    assert headers["Host"] == "a"
    assert headers["X-Empty"] == ""
    assert headers.get_all("X-Missing") == []
    assert headers.get("X-Missing") is None
    assert headers.get("X-Missing", "other") == "other"


def test_headers_are_a_mapping_with_the_names_as_first_sent() -> None:
    headers = Headers(FIELDS)
    assert list(headers) == ["Host", "X-List", "X-Empty"]
    assert len(headers) == 3
    assert "HOST" in headers
    assert "X-Missing" not in headers
    assert dict(headers) == {"Host": "a", "X-List": "1, 2, 3, 4", "X-Empty": ""}
    assert len(Headers()) == 0
    with pytest.raises(KeyError):
        headers["X-Missing"]


def test_headers_show_all_fields() -> None:
    assert repr(Headers(FIELDS[:2])) == "Headers([('Host', 'a'), ('X-List', '1')])"


# --- HeadReader ------------------------------------------------------------------------------------------------------

HEAD = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n"


@pytest.mark.parametrize("rest", [b"", b"\x81\x00", b"\r\n\r\n", b"\nmore\n", b"\xff" * 70000], ids=len)
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_head_reader_given_all_at_once_splits_head_and_rest(rest: bytes, kind: type[bytes | bytearray]) -> None:
    assert HeadReader().feed(kind(HEAD + rest)) == (HEAD, rest)


def test_head_reader_given_any_two_chunks_splits_head_and_rest() -> None:
    for at in range(len(HEAD)):
        reader = HeadReader()
        assert reader.feed(HEAD[:at]) is None
        assert reader.feed(HEAD[at:] + b"rest") == (HEAD, b"rest")


def test_head_reader_given_single_bytes_ends_at_the_last() -> None:
    reader = HeadReader()
    for index in range(len(HEAD) - 1):
        assert reader.feed(HEAD[index : index + 1]) is None
    assert reader.feed(HEAD[-1:]) == (HEAD, b"")


@pytest.mark.parametrize("size", [19, 20, 21])
@pytest.mark.parametrize("step", [1, 1000])
def test_head_reader_takes_heads_up_to_its_size(size: int, step: int) -> None:
    head = b"G" * (size - 4) + b"\r\n\r\n"
    reader = HeadReader(20)

    def feed() -> tuple[bytes, bytes] | None:
        done = None
        for start in range(0, size, step):
            done = reader.feed(head[start : start + step])
        return done

    if size <= 20:
        assert feed() == (head, b"")
        return
    with pytest.raises(HandshakeError, match="longer than 20 bytes") as caught:
        feed()
    assert caught.value.status == 431


def test_head_reader_counts_the_head_and_not_what_follows() -> None:
    assert HeadReader(20).feed(b"G\r\n\r\n" + bytes(1000)) == (b"G\r\n\r\n", bytes(1000))


def test_head_reader_refuses_a_head_without_end_at_its_size() -> None:
    reader = HeadReader(20)
    assert reader.feed(b"a" * 19) is None
    with pytest.raises(HandshakeError, match="longer than 20"):
        reader.feed(b"a")


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\n", b"G\nET", b"GET / HTTP/1.1\r\nA: b\n", b"G\r\n\n", b"G\n\r\n\r\n"]
)
def test_head_reader_refuses_a_bare_line_feed_as_soon_as_it_is_there(data: bytes) -> None:
    at = next(i for i in range(len(data)) if data[i : i + 1] == b"\n" and data[i - 1 : i] != b"\r")
    reader = HeadReader()
    for index in range(at):
        assert reader.feed(data[index : index + 1]) is None
    with pytest.raises(HandshakeError, match="bare line feed"):
        reader.feed(data[at : at + 1])
    with pytest.raises(HandshakeError, match="bare line feed"):
        HeadReader().feed(data)


def test_head_reader_leaves_line_feeds_behind_the_head_alone() -> None:
    for cuts in ([], [5], [len(HEAD) - 1], [len(HEAD)]):
        reader = HeadReader()
        done = None
        for piece in pieces(HEAD + b"\n\n", cuts):
            if done is None:
                done = reader.feed(piece)
        assert done is not None
        assert done[0] == HEAD


@pytest.mark.parametrize("byte", [0, 9, 10, 13, 22, 32, 34, 40, 47, 58, 60, 64, 91, 127, 128, 255])
def test_head_reader_refuses_a_first_byte_that_no_head_has(byte: int) -> None:
    with pytest.raises(HandshakeError, match=f"cannot begin with the byte 0x{byte:02x}"):
        HeadReader().feed(bytes([byte]))


def test_head_reader_given_nothing_waits() -> None:
    reader = HeadReader()
    assert reader.feed(b"") is None
    assert reader.feed(HEAD) == (HEAD, b"")


# --- requests and responses ------------------------------------------------------------------------------------------


def test_parse_request_returns_its_parts() -> None:
    parsed = parse_request(b"GET /a?x=%20 HTTP/1.1\r\nHost: a\r\nX-A: caf\xe9\r\nx-a:  b \r\n\r\n")
    assert isinstance(parsed, Request)
    assert (parsed.method, parsed.target, parsed.http_version) == ("GET", "/a?x=%20", "1.1")
    assert parsed.headers.get_all("X-A") == ["caf\xe9", "b"]
    assert list(parsed.headers) == ["Host", "X-A"]


@pytest.mark.parametrize("target", ["?a=b", "*", "chat", "/chat#there", "http:/chat", "host:80", "/a?b#", "://x/"])
def test_target_that_is_neither_path_nor_url_is_refused(target: str) -> None:
    for extra in ("", "Expect: 100-continue\r\n"):  # plain, and judged by h11
        with pytest.raises(HandshakeError, match="target") as raised:
            parse_request(f"GET {target} HTTP/1.1\r\nHost: a\r\n{extra}\r\n".encode())
        assert raised.value.status == 400


@pytest.mark.parametrize("target", ["/", "//", "/a?b?c", "http://a/b", "ws://a", "/%23", "/a:b@c"])
def test_target_that_is_a_path_or_a_url_is_taken(target: str) -> None:
    assert parse_request(f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).target == target


NAMES = st.sampled_from(
    [
        "Host",
        "host",
        "Upgrade",
        "X-A",
        "!#$%&'*+-.^_`|~",
        "Content-Length",
        "Transfer-Encoding",
        "Expect",
        "",
        "a b",
        "\xe9",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        ["localhost:80", "websocket", "", " ", "\t x \t", "0", "5", "chunked", "\x85", "\xa0x\xa0", "a\x0cb"]
    ),
    st.text(st.characters(max_codepoint=255), max_size=8),
)
LINES = st.one_of(
    st.tuples(NAMES, st.sampled_from([":", ": ", " :", ":\t ", ""]), VALUES).map("".join),
    st.text(st.characters(max_codepoint=255), max_size=12),
)
STARTS = st.sampled_from(
    [
        *("GET / HTTP/1.1", "GET /a?b=%20 HTTP/1.1", "GET * HTTP/1.1", "GET /\xe9 HTTP/1.1", "GET  / HTTP/1.1"),
        *("get / HTTP/1.1", "GET / HTTP/1.0", "GET / HTTP/1.1 ", "POST / HTTP/1.1", "GET / HTTP/2.0", "GET /"),
    ]
)


@given(st.tuples(STARTS, st.lists(LINES, max_size=4), st.sampled_from(["Host: a", "Host:", "X: y"])))
@example(("GET / HTTP/1.1", ["X: a\x85Y: b"], "Host: a"))
@example(("GET / HTTP/1.1", ["X: a", " folded"], "Host: a"))
@example(("GET / HTTP/1.1", ["Host: b"], "Host: a"))
def test_plain_requests_are_parsed_as_h11_does(parts: tuple[str, list[str], str]) -> None:
    start, lines, last = parts
    head = "\r\n".join([start, *lines, last, "", ""]).encode("latin-1")
    head = head[: head.index(b"\r\n\r\n") + 4]  # as the reader gives it
    plain = http.parse_plain(head)
    if plain is not None:
        judged = http._parse_any(head)
        assert (plain.method, plain.target, plain.http_version) == (judged.method, judged.target, judged.http_version)
        assert repr(plain.headers) == repr(judged.headers)


def test_request_of_a_browser_is_plain() -> None:
    assert http.parse_plain(request("/chat?room=1", extra="Cookie: a=b; c=d\r\nX-Empty:\r\nX-\xe9: no\r\n")) is None
    plain = http.parse_plain(request("/chat?room=1", extra="Cookie: a=b; c=d\r\nX-Empty:\r\nX-Text: \xe9\r\n"))
    assert plain is not None
    assert plain.headers["Cookie"] == "a=b; c=d"


@pytest.mark.parametrize("filler", [b" ", b"\t", b"a", b"a ", b":", b"\r\nx:", b"\r\nx: y"], ids=repr)
def test_heads_that_almost_match_take_linear_time(filler: bytes) -> None:
    """Were it quadratic, 30 KiB would take minutes."""
    head = b"GET / HTTP/1.1\r\nHost: a\r\nx: " + filler * (30_000 // len(filler)) + b"\x00\r\n\r\n"
    started = time.process_time()
    assert http.parse_plain(head) is None
    assert time.process_time() - started < 5


@pytest.mark.parametrize(
    "line", ["POST / HTTP/1.0", "OPTIONS * HTTP/1.1", "CONNECT a:443 HTTP/1.1", "M-SEARCH / HTTP/1.1"]
)
def test_parse_request_of_any_method_returns_it(line: str) -> None:
    parsed = parse_request(f"{line}\r\nHost: a\r\n\r\n".encode())
    assert f"{parsed.method} {parsed.target} HTTP/{parsed.http_version}" == line


def read_request(data: bytes) -> Request:
    done = HeadReader().feed(data)
    assert done is not None
    return parse_request(done[0])


@pytest.mark.parametrize(
    "vector", [pytest.param(v, id=v["name"]) for v in load_vectors("requests_refused") if v.get("http")]
)
def test_request_that_is_no_http_is_refused(vector: dict[str, object]) -> None:
    with pytest.raises(HandshakeError) as caught:
        read_request(head_of(vector))
    assert caught.value.status == 400


@pytest.mark.parametrize(
    ("line", "status", "reason"),
    [
        ("HTTP/1.1 101 Switching Protocols", 101, "Switching Protocols"),
        ("HTTP/1.1 101", 101, ""),
        ("HTTP/1.1 101 ", 101, ""),
        ("HTTP/1.1 200 OK", 200, "OK"),
        ("HTTP/1.0 404 Not Found", 404, "Not Found"),
        ("HTTP/1.1 599 caf\xe9", 599, "caf\xe9"),
    ],
)
def test_parse_response_returns_its_parts(line: str, status: int, reason: str) -> None:
    parsed = parse_response(f"{line}\r\nServer: a\r\nServer: b\r\n\r\n".encode("latin-1"))
    assert isinstance(parsed, Response)
    assert (parsed.status, parsed.reason) == (status, reason)
    assert parsed.headers["server"] == "a, b"


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 \xb2\xb0\xb0 OK\r\n\r\n",
        b"HTTP/1.1 200 O\0K\r\n\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        b"HTTP/1.1 000 OK\r\n\r\n",
    ],
)
def test_response_that_is_no_http_is_refused(head: bytes) -> None:
    with pytest.raises(HandshakeError):
        parse_response(head)


@pytest.mark.parametrize("separator", [b" ", b"\t", b"  \t"])
@pytest.mark.parametrize("parse", [parse_request, parse_response])
def test_folded_header_is_refused(parse: object, separator: bytes) -> None:
    first = b"GET / HTTP/1.1" if parse is parse_request else b"HTTP/1.1 200 OK"
    with pytest.raises(HandshakeError, match="folded"):
        parse(first + b"\r\nHost: a\r\nX-A: b\r\n" + separator + b"c\r\n\r\n")  # type: ignore[operator]


@pytest.mark.parametrize(("count", "right"), [(MAX_FIELDS, True), (MAX_FIELDS + 1, False)])
@pytest.mark.parametrize("parse", [parse_request, parse_response])
def test_head_with_128_fields_is_the_largest(parse: object, count: int, right: bool) -> None:
    first = "GET / HTTP/1.1" if parse is parse_request else "HTTP/1.1 200 OK"
    fields = [("Host", "a"), *((f"X-{i}", str(i)) for i in range(count - 1))]
    head = serialize_head(first, fields)
    if right:
        assert len(parse(head).headers) == count  # type: ignore[operator]
        return
    with pytest.raises(HandshakeError, match="more than 128") as caught:
        parse(head)  # type: ignore[operator]
    assert caught.value.status == 431


def test_limits_are_those_of_the_documents() -> None:
    assert (MAX_HEAD, MAX_FIELDS) == (32 * 1024, 128)


# --- headers of our own ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [("X", ""), ("X-Name_1", "value"), ("x", "a b\tc"), ("X", "caf\xe9"), ("!#$%&'*+-.^_`|~", "x"), ("X", "\xff")],
)
def test_check_header_that_can_be_sent_is_taken(name: str, value: str) -> None:
    check_header(name, value)


@pytest.mark.parametrize("name", ["", " ", "a b", "a:", "a\n", "a\r\nb", "\xe9", "a\0", "(a)", None, 5, b"X"])
def test_check_header_with_a_wrong_name_is_refused(name: object) -> None:
    with pytest.raises(ConfigurationError, match="is no header name"):
        check_header(name, "value")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["a\rb", "a\nb", "a\r\nEvil: 1", "\n", "a\0", None, 5, b"value"])
def test_check_header_with_a_wrong_value_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="without CR, LF and NUL"):
        check_header("X", value)  # type: ignore[arg-type]


def test_check_header_with_a_value_beyond_latin_1_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must be latin-1"):
        check_header("X", "\u20ac")


def test_serialize_head_is_the_bytes_of_a_head() -> None:
    assert (
        serialize_head("GET / HTTP/1.1", [("Host", "a"), ("X", "\xe9")])
        == b"GET / HTTP/1.1\r\nHost: a\r\nX: \xe9\r\n\r\n"
    )
    assert serialize_head("HTTP/1.1 200 OK", []) == b"HTTP/1.1 200 OK\r\n\r\n"
    assert parse_request(serialize_head("GET / HTTP/1.1", [("Host", "a")])).headers["host"] == "a"


# --- parts of headers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "host", "port"),
    [
        ("localhost", "localhost", None),
        ("localhost:80", "localhost", 80),
        ("localhost:0", "localhost", 0),
        ("localhost:65535", "localhost", 65535),
        ("localhost:00080", "localhost", 80),
        ("localhost:", "localhost", None),
        ("example.com.", "example.com.", None),
        ("EXAMPLE.com", "EXAMPLE.com", None),
        ("127.0.0.1:8000", "127.0.0.1", 8000),
        ("[::1]", "[::1]", None),
        ("[::1]:8000", "[::1]", 8000),
        ("[2001:DB8::a]:443", "[2001:DB8::a]", 443),
        ("[::ffff:192.0.2.1]", "[::ffff:192.0.2.1]", None),
        ("[fe80::1%25eth0]:80", "[fe80::1%25eth0]", 80),
        ("a_b-c~d", "a_b-c~d", None),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
    ],
)
def test_parse_host_that_is_right_returns_host_and_port(value: str, host: str, port: int | None) -> None:
    assert parse_host(value) == (host, port)


@pytest.mark.parametrize(
    "value",
    [
        "",
        ":",
        ":80",
        "[",
        "]",
        "[]",
        "[::1",
        "::1]",
        "::1",
        "[word]",
        "[::1]x",
        "[::1]80",
        "x[::1]",
        "[[::1]]",
        "a:b",
        "a:-1",
        "a:+1",
        "a: 1",
        "a:1 ",
        " a",
        "a:99999",
        "a:65536",
        "a:000080",
        "a:\u0663",
        "a:\xb2",
        "a:1:2",
        "a b",
        "a\tb",
        "a/b",
        "a/b?c#d",
        "a?b",
        "a#b",
        "a\\b",
        "x@y",
        "x@y:1",
        "a\n",
        "a\r\n",
        "a:80\n",
        "a\0",
        "caf\xe9",
        '"a"',
        "<a>",
        "a" * 70000 + "/",
        "a:" * 30000,
    ],
    ids=lambda value: repr(value[:12]),
)
def test_parse_host_that_is_wrong_is_refused(value: str) -> None:
    with pytest.raises(HandshakeError, match="Host") as caught:
        parse_host(value)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("value", "tokens"),
    [
        ("", []),
        (",", []),
        (" , ,", []),
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        (" a ,\tb,, c ", ["a", "b", "c"]),
        ("a b", ["a b"]),
        ("b" + " " * 16000 + "x", ["b" + " " * 16000 + "x"]),
        ("a, a", ["a", "a"]),
    ],
)
def test_split_tokens_returns_the_members(value: str, tokens: list[str]) -> None:
    assert split_tokens(value) == tokens


def test_request_of_the_helpers_is_right() -> None:
    """The helper that all handshake tests build on."""
    assert parse_request(request("/x", "X-A: b\r\n")).headers["X-A"] == "b"


@pytest.mark.parametrize(
    ("netloc", "parts"),
    [
        ("example.com", ("", "example.com", None)),
        ("user:pw@example.com:80", ("user:pw", "example.com", 80)),
        ("a@b:c@[::1]:9", ("a@b:c", "[::1]", 9)),
        ("bücher.example:80", ("", "xn--bcher-kva.example", 80)),
        ("bücher.example", ("", "xn--bcher-kva.example", None)),
    ],
)
def test_parse_authority_takes_it_apart(netloc: str, parts: tuple[str, str, int | None]) -> None:
    assert parse_authority(netloc) == parts


@pytest.mark.parametrize("netloc", ["", "user@", "a b", "ü" * 80, "example.com:99999"])
def test_parse_authority_without_a_valid_host_raises(netloc: str) -> None:
    with pytest.raises(HandshakeError):
        parse_authority(netloc)


def test_without_password_hides_it() -> None:
    assert without_password("ws://me:secret@host/x") == "ws://...@host/x"
    assert without_password("ws://host/") == "ws://host/"


# --- BodyReader ------------------------------------------------------------------------------------------------------

#: Name: (header lines, what comes behind the head, how much is complete without the end of the stream, the body).
BODIES: dict[str, tuple[str, bytes, bool, bytes]] = {
    "counted": ("Content-Length: 5\r\n", b"hello", True, b"hello"),
    "counted, with more behind": ("Content-Length: 5\r\n", b"helloHTTP/1.1 200", True, b"hello"),
    "counted, and cut": ("Content-Length: 9\r\n", b"hello", False, b"hello"),
    "counted, and empty": ("Content-Length: 0\r\n", b"x", True, b""),
    "chunked": ("Transfer-Encoding: chunked\r\n", b"3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", True, b"hello"),
    "chunked, with much said of a chunk": (
        "Transfer-Encoding: chunked\r\n",
        b"3;a=" + b"b" * 500 + b"\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
        True,
        b"hello",
    ),
    "chunked, and cut": ("Transfer-Encoding: chunked\r\n", b"3\r\nhel\r\n2\r\nlo", False, b"hello"),
    "chunked wrongly": ("Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\nnonsense\r\n", True, b"hello"),
    "up to the end": ("", b"hello", False, b"hello"),
    "long": ("", b"x" * 3000, True, b"x" * 1024),
    "long and counted": ("Content-Length: 3000\r\n", b"x" * 3000, True, b"x" * 1024),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("size", [1, 4, 5000])
def test_body_comes_without_its_framing(name: str, size: int) -> None:
    headers, data, complete, expected = BODIES[name]
    body = BodyReader(f"HTTP/1.1 401 No\r\n{headers}\r\n".encode(), 1024)
    for start in range(0, len(data), size):
        body.feed(data[start : start + size])
    assert (body.complete, body.data) == (complete, expected)
    body.eof()
    assert (body.complete, body.data) == (True, expected)
    body.feed(b"late")
    body.eof()
    assert body.data == expected


@pytest.mark.parametrize("status", [100, 101, 103])
def test_body_of_an_informational_answer_is_none(status: int) -> None:
    body = BodyReader(f"HTTP/1.1 {status} X\r\n\r\n".encode(), 1024)
    body.feed(b"frames")
    assert (body.complete, body.data) == (True, b"")


def test_interim_answers_are_those_that_another_one_follows() -> None:
    assert [status for status in (99, 100, 101, 102, 103, 199, 200, 401) if is_interim(status)] == [100, 102, 103, 199]


def test_authority_has_brackets_around_ipv6_only() -> None:
    assert (authority_of("h", 1), authority_of("1.2.3.4", 2), authority_of("::1", 3)) == ("h:1", "1.2.3.4:2", "[::1]:3")
