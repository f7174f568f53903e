"""What comes before a WebSocket: requests, answers, what proxies say, URLs; and the events of an EventSource.

An input is: which of them, a seed for the pieces; then the bytes.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from tests.fuzz.checks import error_seen, same
from tests.fuzz.inputs import Input, segmentations
from tests.fuzz.worlds import World, worlds
from tests.support.eventstream import Event
from tests.support.eventstream import parse as parse_stream

__all__ = ["target"]

#: What a request that cannot be read is answered with.
STATUSES = (400, 413, 414, 426, 431, 501, 505)


def read_head(world: World, chunks: list[bytes]) -> Any:
    """Return a head and what is behind it; None where it is unfinished; the status of the answer where it is wrong."""
    reader = world["http"].HeadReader()
    head = None
    rest = b""
    for chunk in chunks:
        if head is not None:
            rest += chunk
            continue
        try:
            done = reader.feed(chunk)
        except world.errors.HandshakeError as error:
            assert error.status in STATUSES
            return error.status
        if done is not None:
            head, rest = done
    return None if head is None else (head, rest)


def heads_of(world: World, data: bytes, seed: int) -> tuple[bytes, bytes] | None:
    """Return a head and what is behind it, where there is one; however it is cut."""
    outcomes = [read_head(world, chunks) for chunks in segmentations(data, seed)]
    for other in outcomes[1:]:
        same(outcomes[0], other, "the head depends on the segments")
    return outcomes[0] if isinstance(outcomes[0], tuple) else None


def fields_of(headers: Any) -> list[tuple[str, list[str]]]:
    return [(name, headers.get_all(name)) for name in headers]


def request(world: World, data: bytes, seed: int) -> Any:
    """A request: the short ways and the long one say the same."""
    http = world["http"]
    plain = world["driver.plain"].read_plain(data)
    found = heads_of(world, data, seed)
    if found is None:
        assert plain is None, "what is no head was taken for a request"
        return None
    head, rest = found
    short = http.parse_plain(head)
    try:
        parsed = http.parse_request(head)
    except world.errors.HandshakeError as error:
        assert error.status in STATUSES, error.status
        assert plain is None, f"what is refused was taken for a request: {error}"
        return error_seen(error)
    if short is not None:
        long = http._parse_any(head)
        same(
            (short.method, short.target, short.http_version, fields_of(short.headers)),
            (long.method, long.target, long.http_version, fields_of(long.headers)),
            "h11 reads another request",
        )
    environ = world["environ"].build_environ(parsed, rest, {"REMOTE_ADDR": "127.0.0.1"})
    world["environ"].url_of(environ)
    version = judge(world, environ, None, STATUSES)
    if plain is not None:
        assert rest == b""
        said = (
            parsed.target,
            environ["HTTP_SEC_WEBSOCKET_KEY"].strip(" \t"),
            world["driver.server"].asked_protocols(environ),
            environ.get("HTTP_SEC_WEBSOCKET_EXTENSIONS", ""),
        )
        same(("hybi-13", *plain[:4]), (version, *said), "the one pass and the long way differ")
        forwarded = parsed.headers.has_any(world["forwarded"].FORWARDED_HEADERS)
        assert plain[4] or not forwarded, "a header of a proxy was overlooked"
    if isinstance(version, str):
        for given in (["https://example.com", "http://localhost:8000"], "same", "null"):
            judge(world, environ, world["driver.origins"].Origins(given), (403,))
    texts = {key: value for key, value in environ.items() if isinstance(value, str)}
    return [plain, parsed.method, parsed.target, fields_of(parsed.headers), version, texts]


def judge(world: World, environ: Any, origins: Any, statuses: tuple[int, ...]) -> Any:
    """Return the version that a request asks for, or why it is refused."""
    server = world["driver.server"]
    try:
        return server.check_request(environ, origins=origins).name
    except world.errors.HandshakeError as error:
        assert error.status in statuses, error.status
        return error_seen(error)


def response(world: World, data: bytes, seed: int) -> Any:
    """An answer, and the begin of its body."""
    http = world["http"]
    found = heads_of(world, data, seed)
    if found is None:
        return None
    head, rest = found
    try:
        parsed = http.parse_response(head)
    except world.errors.HandshakeError as error:
        return error_seen(error)
    assert 100 <= parsed.status <= 999
    bodies = []
    for chunks in segmentations(rest, seed):
        body = http.BodyReader(head, 100)
        for chunk in chunks:
            body.feed(chunk)
        before = body.data
        body.eof()
        assert body.complete
        assert body.data.startswith(before)
        assert len(body.data) <= 100
        bodies.append(body.data)
    for other in bodies[1:]:
        same(bodies[0], other, "the body depends on the segments")
    return [parsed.status, parsed.reason, fields_of(parsed.headers), bodies[0]]


def proxy_protocol(world: World, data: bytes, seed: int) -> Any:
    """The head of the PROXY protocol: every byte is the head's or behind it."""
    outcomes = []
    for chunks in segmentations(data, seed):
        reader = world["proxy_protocol"].ProxyHeadReader()
        taken = 0
        try:
            for chunk in chunks:
                if reader.head is None:
                    count = reader.feed(chunk)
                    assert 0 <= count <= len(chunk)
                    assert count == len(chunk) or reader.head is not None
                    taken += count
        except world.errors.HandshakeError:
            outcomes.append("wrong")
            continue
        head = reader.head
        if head is not None and head.source is not None:
            ipaddress.ip_address(head.source[0])
            assert 0 <= head.source[1] <= 65535
        outcomes.append((taken, None if head is None else (head.local, head.source, head.secure)))
    for other in outcomes[1:]:
        same(outcomes[0], other, "the head depends on the segments")
    return outcomes[0]


def words(world: World, data: bytes, seed: int) -> Any:
    """Values of headers, and URLs: each is understood, or refused by the error that is documented."""
    text = data.decode("latin-1")
    errors = world.errors
    found: list[Any] = []

    def attempt(function: Any, *arguments: Any) -> Any:
        try:
            result = function(*arguments)
        except (errors.HandshakeError, errors.ConfigurationError) as error:
            result = error_seen(error)
        found.append(str(result))
        return result

    attempt(world["http"].parse_host, text)
    attempt(world["http"].parse_authority, text)
    attempt(world["driver.origins"].parse_origin, text)
    attempt(world["driver.client"].parse_url, text)
    attempt(world["driver.client"].parse_url, f"ws://{text}")
    attempt(world["driver.server"].hixie.challenge_number, text)
    tokens = world["http"].split_tokens(text)
    assert all(token == token.strip(" \t") != "" and "," not in token for token in tokens)
    assert world["http"].has_token(text, "upgrade") is ("upgrade" in map(str.lower, tokens)) or tokens == []
    answer = errors.HandshakeError("moved", 302, {"Location": text})
    attempt(world["driver.redirects"].redirect_url, "wss://example.com/a/b?c", answer)
    client = world["forwarded"].forwarded_client([text, "10.0.0.1"], ["10.0.0.0/8", "::1"])
    if client is not None:
        ipaddress.ip_address(client)
    found.append((client, world["forwarded"].says_secure({"X-Forwarded-Proto": text})))
    assert world["forwarded"].is_trusted(text, "10.0.0.0/8") in (True, False)
    return found


def events(world: World, data: bytes, seed: int) -> Any:
    """Events of an EventSource: what one says is what a page hears, and nothing else."""
    stream = b""
    expected = []
    retry = world["framing.eventstream"].serialize_retry(seed / 10)
    serialize_event = world["framing.eventstream"].serialize_event
    last = ""
    for part in data.split(b"\xff"):
        text, event, identity = [*part.decode("utf-8", "replace").split("\x01"), None, None][:3]
        try:
            stream += serialize_event(text, event, identity)
        except ValueError:
            assert any(char in (event or "") + (identity or "") for char in "\r\n\0")
            continue
        last = last if identity is None else identity
        expected.append(Event(re.sub("\r\n|\r|\n", "\n", text), event or "message", last))
    same(parse_stream(retry + stream), expected, "a page hears something else")
    return stream


KINDS = (request, response, proxy_protocol, words, events)


def target(data: bytes) -> None:
    given = Input(data)
    kind = given.pick(KINDS)
    seed = given.byte()
    data = given.rest()
    results = [kind(world, data, seed) for world in worlds()]
    same(results[0], results[-1], "the plain and the compiled modules differ")
