"""permessage-deflate: each message compressed on its own, or with what came before it as its dictionary (RFC 7692).

::

    message --> deflate, sync flush --> cut 00 00 ff ff --> RSV1 set     (§7.2.1)
    RSV1 set --> add 00 00 ff ff --> inflate, piece by piece, within the budget     (§7.2.2)

Contexts, what a deflater or inflater knows between messages, are what this extension costs: they are made at the first
message that needs them, and there are none where context takeover is off (``deflating.py``).
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from wsdriver.exceptions import ConfigurationError
from wsdriver.extensions.deflating import MAX_STREAMS, Deflater, Inflater
from wsdriver.extensions.framework import ClientSession, Extension, PayloadSession, ServerSession
from wsdriver.extensions.header import Params, ReadParams, Value
from wsdriver.options import check_int, make_options

__all__ = ["MAX_STREAMS", "WINDOW_BITS", "DeflateOptions", "PermessageDeflate"]

#: Window bits unless the options say others. With mem_level 5 a deflater takes 38 KiB, and what is kept of it and of an
#: inflater between messages 4 KiB each; 15 bits with mem_level 8 take 256, 32 and 32.
WINDOW_BITS = 12

#: The values of a window bits parameter (§7.1.2), and no other notation of them. int() would take +15, 1_5 and more.
_BITS: dict[object, int] = {str(bits): bits for bits in range(8, 16)}


@dataclass(frozen=True, slots=True)
class DeflateOptions:
    """The options of :class:`PermessageDeflate`; what they mean is said there."""

    level: int | None = None
    mem_level: int = 5
    strategy: int = zlib.Z_DEFAULT_STRATEGY
    no_context_takeover: bool = False
    request_no_context_takeover: bool = False
    max_window_bits: int | None = None
    request_max_window_bits: int | None = None
    threshold: int = 64

    def __post_init__(self) -> None:
        if self.level is not None:
            check_int("level", self.level, -1, 9)
        check_int("mem_level", self.mem_level, 1, 9)
        check_int("strategy", self.strategy, zlib.Z_DEFAULT_STRATEGY, zlib.Z_FIXED)
        for name in ("no_context_takeover", "request_no_context_takeover"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} must be True or False, not {getattr(self, name)!r}")
        if self.max_window_bits is not None:
            check_int("max_window_bits", self.max_window_bits, 9, 15)  # zlib has no raw deflate with 8
        if self.request_max_window_bits is not None:
            check_int("request_max_window_bits", self.request_max_window_bits, 8, 15)
        check_int("threshold", self.threshold, 0)

    @property
    def own_bits(self) -> int:
        return WINDOW_BITS if self.max_window_bits is None else self.max_window_bits

    @property
    def peer_bits(self) -> int:
        return WINDOW_BITS if self.request_max_window_bits is None else self.request_max_window_bits


class PermessageDeflate(Extension):
    """Compression of messages (RFC 7692)::

        extensions=[wsdriver.PermessageDeflate()]

    Args:
        level: 0 (none) to 9 (smallest), -1 or None for zlib's own choice.
        mem_level: 1 to 9, the deflater's memory: 2^(mem_level + 9) bytes. Default 5.
        strategy: one of zlib's ``Z_DEFAULT_STRATEGY``, ``Z_FILTERED``, ``Z_HUFFMAN_ONLY``, ``Z_RLE``, ``Z_FIXED``.
        no_context_takeover: True to compress each message on its own. Takes no memory between messages; small
            messages come out larger.
        request_no_context_takeover: True to demand the same of the peer.
        max_window_bits: 9 to 15, the deflater's window: 2^(bits + 2) bytes. A value is told to the peer. Default 12,
            told only to who asks.
        request_max_window_bits: 8 to 15, the same for the peer's deflater and our inflater: 2^bits bytes. A client
            demands the value, and fails the handshake where the server does not grant it; a server can ask only
            clients that let it (§7.1.2.2), and takes 15 from others. Default 12, where the peer can, else 15.
        threshold: bytes from which on a message is compressed; smaller ones gain less than they cost. Default 64.
            Empty ones never are.

    With the defaults, every peer that has the extension can agree: what is not an option's value is a wish.

    A message that is not DEFLATE data fails the connection with 1007. Of what is too large or corrupt, at most the
    message's budget and a fixed amount are inflated.

    Raises:
        ConfigurationError: an option has an unknown name or a value that it cannot take.
    """

    name = "permessage-deflate"
    rsv1 = True
    only_marked = True

    def __init__(self, **options: Any) -> None:
        self.options = make_options(DeflateOptions, options)

    def create_client_session(self) -> ClientSession:
        return _DeflateClient(self.options)

    def create_server_session(self, offers: list[ReadParams]) -> ServerSession | None:
        for offer in offers:
            params = _read(offer, from_client=True)
            if params is not None and params.get("server_max_window_bits") != 8:  # zlib has no raw deflate with 8
                return _DeflateServer(self.options, params)
        return None


def _read(params: Mapping[str, object], from_client: bool) -> dict[str, int] | None:
    """Return parameters by name, 0 for no value, or None where one is unknown, repeated or malformed (§7.1)."""
    result = {}
    for name, value in params.items():
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            known = 0 if value is True else None
        elif name == "client_max_window_bits" and value is True and from_client:
            known = 0
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            known = _BITS.get(str(value)) if type(value) in (str, int) else None
        else:
            known = None
        if known is None:
            return None
        result[name] = known
    return result


class _DeflateSession(PayloadSession):
    """The messages of one connection; what was agreed comes from the subclasses."""

    __slots__ = ("_deflater", "_inflater", "_options", "_own_bits", "_own_takeover", "_peer_bits", "_peer_takeover")

    def __init__(self, options: DeflateOptions) -> None:
        self._options = options
        self._own_bits = options.own_bits
        self._own_takeover = not options.no_context_takeover
        self._peer_bits = 15
        self._peer_takeover = not options.request_no_context_takeover
        self._deflater: Deflater | None = None
        self._inflater: Inflater | None = None

    def close(self) -> None:
        self._deflater = self._inflater = None

    @property
    def sharing_key(self) -> Hashable | None:
        """Alike are those that compress each message on its own, and with the same settings."""
        if self._own_takeover:
            return None
        options = self._options
        return (self._own_bits, options.level, options.mem_level, options.strategy, options.threshold)

    def pack(self, data: bytes, compress: bool | None) -> bytes | None:
        options = self._options
        if not data or compress is False or (len(data) < options.threshold and not compress):
            return None
        deflater = self._deflater
        if deflater is None:
            level = -1 if options.level is None else options.level
            deflater = self._deflater = Deflater(
                level, self._own_bits, options.mem_level, options.strategy, self._own_takeover
            )
        result = deflater.pack(data)
        # With takeover the context knows this message, so the peer must see it too, even where it became larger.
        return result if self._own_takeover or len(result) < len(data) else None

    def unpack(self, data: bytes, budget: int) -> bytes:
        # Deviation: a compressed message of no bytes at all. zlib flushes nothing where nothing is to be flushed, so
        # peers in Python that cut 4 bytes off send this for an empty message.
        if not data:
            return data
        inflater = self._inflater
        if inflater is None:
            inflater = self._inflater = Inflater(self._peer_bits, self._peer_takeover)
        return inflater.unpack(data, budget)


class _DeflateClient(_DeflateSession, ClientSession):
    __slots__ = ()

    def generate_offer(self) -> list[Params]:
        """Return what we wish for, then what any server can take; one offer where the options leave no difference."""
        options = self._options
        offer: dict[str, Value] = {}
        if options.request_no_context_takeover:
            offer["server_no_context_takeover"] = True
        if options.no_context_takeover:
            offer["client_no_context_takeover"] = True
        if options.request_max_window_bits is not None:
            offer["server_max_window_bits"] = options.request_max_window_bits
        offer["client_max_window_bits"] = True if options.max_window_bits is None else options.max_window_bits
        wish = {**offer, "server_max_window_bits": options.peer_bits, "client_max_window_bits": options.own_bits}
        return [offer] if wish == offer else [wish, offer]

    def activate(self, params: ReadParams) -> bool:
        options = self._options
        answer = _read(params, from_client=False)
        if answer is None or (options.request_no_context_takeover and "server_no_context_takeover" not in answer):
            return False
        own, peer = answer.get("client_max_window_bits", 15), answer.get("server_max_window_bits")
        if "client_max_window_bits" in answer and own > (options.max_window_bits or 15):
            return False
        if options.request_max_window_bits is not None and (peer is None or peer > options.request_max_window_bits):
            return False
        if "client_no_context_takeover" in answer:
            self._own_takeover = False
        self._peer_takeover = "server_no_context_takeover" not in answer
        # zlib's window of 9 bits keeps 262 bytes clear of matches, so that no distance passes 250: it serves for 8.
        self._own_bits = max(9, min(options.own_bits, own))
        self._peer_bits = peer or 15
        return True


class _DeflateServer(_DeflateSession, ServerSession):
    __slots__ = ("_response",)

    def __init__(self, options: DeflateOptions, offer: dict[str, int]) -> None:
        super().__init__(options)
        self._response: dict[str, Value] = {}
        if options.no_context_takeover or "server_no_context_takeover" in offer:
            self._own_takeover = False
            self._response["server_no_context_takeover"] = True
        if options.request_no_context_takeover or "client_no_context_takeover" in offer:
            self._peer_takeover = False
            self._response["client_no_context_takeover"] = True
        demanded = offer.get("server_max_window_bits")
        self._own_bits = min(options.own_bits, demanded or 15)
        if demanded or (options.max_window_bits or 15) < 15:
            self._response["server_max_window_bits"] = self._own_bits
        if "client_max_window_bits" in offer:
            self._peer_bits = min(options.peer_bits, offer["client_max_window_bits"] or 15)
            if self._peer_bits < 15:
                self._response["client_max_window_bits"] = self._peer_bits

    def generate_response(self) -> Params:
        return self._response
