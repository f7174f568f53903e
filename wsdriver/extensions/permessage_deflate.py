"""permessage-deflate: each message compressed on its own, or with what came before it as its dictionary (RFC 7692).

::

    message --> deflate, sync flush --> cut 00 00 ff ff --> RSV1 set     (§7.2.1)
    RSV1 set --> add 00 00 ff ff --> inflate, piece by piece, within the budget     (§7.2.2)

Contexts, the state of a deflater or inflater between messages, are what this extension costs: they are made at the
first message that needs them, and dropped after each where context takeover is off.
"""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from wsdriver.exceptions import ConfigurationError, InvalidPayload, MessageTooBig
from wsdriver.extensions.framework import ClientSession, Extension, Message, ServerSession, Session
from wsdriver.extensions.header import Params, ReadParams, Value
from wsdriver.framing.faults import too_big
from wsdriver.options import check_int, make_options

__all__ = ["MAX_STREAMS", "WINDOW_BITS", "DeflateOptions", "PermessageDeflate"]

#: Window bits unless the options say others: 38 KiB for a deflater and 12 for an inflater, with mem_level 5, where
#: 15 bits with mem_level 8 take 224 and 40.
WINDOW_BITS = 12

#: Final blocks in one message, each of which costs a new inflater: far more than any real peer sends (one).
MAX_STREAMS = 1024

#: Bytes to inflate, and bytes inflated, in one step: what a message takes beside itself while it unfolds.
CHUNK = 64 * 1024
PIECE = 256 * 1024

#: What a sync flush ends with; it is cut off each message (§7.2.1).
TAIL = b"\x00\x00\xff\xff"
#: ... and an empty final block, after which an inflater knows that the data was complete.
TAIL_AND_END = TAIL + b"\x01\x00\x00\xff\xff"

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


class _DeflateSession(Session):
    """The messages of one connection; what was agreed comes from the subclasses."""

    __slots__ = ("_deflater", "_inflater", "_options", "_own_bits", "_own_takeover", "_peer_bits", "_peer_takeover")

    def __init__(self, options: DeflateOptions) -> None:
        self._options = options
        self._own_bits = options.own_bits
        self._own_takeover = not options.no_context_takeover
        self._peer_bits = 15
        self._peer_takeover = not options.request_no_context_takeover
        self._deflater: zlib._Compress | None = None
        self._inflater: zlib._Decompress | None = None

    def close(self) -> None:
        self._deflater = self._inflater = None

    # --- out --------------------------------------------------------------------------------------------------------

    @property
    def sharing_key(self) -> Hashable | None:
        """Alike are those that compress each message on its own, and with the same settings."""
        if self._own_takeover:
            return None
        options = self._options
        return (self._own_bits, options.level, options.mem_level, options.strategy, options.threshold)

    def process_outgoing_message(self, message: Message) -> Message:
        data = message.data
        options = self._options
        if not data or message.compress is False or (len(data) < options.threshold and not message.compress):
            return message
        deflater = self._deflater
        if deflater is None:
            deflater = zlib.compressobj(
                -1 if options.level is None else options.level,
                zlib.DEFLATED,
                -self._own_bits,
                options.mem_level,
                options.strategy,
            )
        result = deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]
        if self._own_takeover:
            # Now the context knows this message, so the peer must see it too, even where it became larger.
            self._deflater = deflater
        elif len(result) >= len(data):
            return message
        message.data = result
        message.rsv1 = True
        return message

    # --- in ---------------------------------------------------------------------------------------------------------

    def process_incoming_message(self, message: Message, budget: int) -> Message:
        if not message.rsv1:
            return message
        message.rsv1 = False
        # Deviation: a compressed message of no bytes at all. zlib flushes nothing where nothing is to be flushed, so
        # peers in Python that cut 4 bytes off send this for an empty message.
        if message.data:
            try:
                message.data = self._inflate(message.data, budget)
            except zlib.error as error:
                raise InvalidPayload(f"a message is not DEFLATE data: {error}") from None
        return message

    def _inflate(self, data: bytes, budget: int) -> bytes:
        """Return the data inflated; no more memory is used than twice the budget, or twice the result, and a PIECE.

        Both sides of the inflater are fed and emptied in steps: it copies what it has not used at each call.
        """
        takeover = self._peer_takeover
        tail = TAIL if takeover else TAIL_AND_END
        inflater = self._inflater or zlib.decompressobj(-self._peer_bits)
        limit = budget + 1 if 0 < budget < PIECE else PIECE
        at = CHUNK
        chunk = data + tail if len(data) <= at else data[:at]
        pieces = []
        size = streams = 0
        while True:
            piece = inflater.decompress(chunk, limit)
            size += len(piece)
            if 0 < budget < size:
                raise too_big(size, budget)
            pieces.append(piece)
            if inflater.eof:
                # A final block (§7.2.3.4). Nothing behind it, or the tail alone, is the message's end; the rest, if
                # only the byte that the tail completes, is a new stream.
                chunk = inflater.unused_data
                if at >= len(data) and chunk in (b"", tail):
                    break
                streams += 1
                if streams > MAX_STREAMS:
                    raise MessageTooBig(f"a message has more than {MAX_STREAMS} final DEFLATE blocks")
                inflater = zlib.decompressobj(-self._peer_bits)
            else:
                chunk = inflater.unconsumed_tail
            if chunk or len(piece) == limit:
                continue
            if at >= len(data):
                break
            chunk = data[at : at + CHUNK]
            at += CHUNK
            if at >= len(data):
                chunk += tail
        if takeover:
            self._inflater = None if inflater.eof else inflater
        elif not inflater.eof:
            raise InvalidPayload("a message is not DEFLATE data: it breaks off within a block")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


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
