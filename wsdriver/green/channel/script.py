"""What is done at Redis to publish: all of it, or nothing."""

from __future__ import annotations

from hashlib import sha1

__all__ = ["SCRIPT", "SCRIPT_HASH", "make_arguments", "parse_push", "parse_stream_entry"]

#: Seconds for which Redis remembers how far a publisher has come: longer than it may be away.
REMEMBERED = 3600

#: KEYS: how far the publisher has come, the stream, the name to publish under.
#: ARGV: the message's number, how many to keep (0: no stream), head, message, how long to remember.
#: Returns the message's id; what has been published before is not published again.
SCRIPT = b"""\
local before = redis.call('GET', KEYS[1])
if before then
  local number, id = string.match(before, '^(%d+) (.*)$')
  if tonumber(number) == tonumber(ARGV[1]) then return id end
  if tonumber(number) > tonumber(ARGV[1]) then return '' end
end
local id = ''
if ARGV[2] ~= '0' then
  id = redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[2], '*', 'h', ARGV[3], 'm', ARGV[4])
end
redis.call('SET', KEYS[1], ARGV[1] .. ' ' .. id, 'EX', ARGV[5])
redis.call('PUBLISH', KEYS[3], ARGV[3] .. ':' .. id .. ' ' .. ARGV[4])
return id
"""

SCRIPT_HASH = sha1(SCRIPT).hexdigest().encode()


def make_arguments(message: str | bytes, publisher: str, number: int, history: int) -> tuple[bytes, ...]:
    """Return the script's ARGV."""
    kind, data = ("t", message.encode()) if isinstance(message, str) else ("b", message)
    return b"%d" % number, b"%d" % history, f"{kind}{publisher}:{number}".encode(), data, b"%d" % REMEMBERED


def parse_push(payload: bytes) -> tuple[str | bytes, str, int, bytes]:
    """Return the message, its publisher, its number, and its id, which may be empty.

    Raises:
        ValueError: it is no message of a channel: somebody else has published it.
    """
    head, _, data = payload.partition(b" ")
    head, _, id_ = head.rpartition(b":")
    return (*_parse(head, data), id_)


def parse_stream_entry(fields: dict[bytes, bytes] | list[bytes]) -> tuple[str | bytes, str, int]:
    """Return the message, its publisher and its number.

    Raises:
        ValueError: it is no message of a channel.
    """
    pairs = fields if isinstance(fields, dict) else dict(zip(fields[::2], fields[1::2], strict=False))
    return _parse(pairs.get(b"h", b""), pairs.get(b"m", b""))


def _parse(head: bytes, data: bytes) -> tuple[str | bytes, str, int]:
    publisher, _, number = head[1:].decode("ascii").partition(":")
    if head[:1] not in (b"t", b"b"):
        raise ValueError(f"a message of an unknown kind: {head[:40]!r}")
    return data.decode() if head[:1] == b"t" else data, publisher, int(number)
