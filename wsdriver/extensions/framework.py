"""Extensions of the protocol (RFC 6455 §9): how one is written, and how a connection's are negotiated and run.

An extension is an object that lives as long as the program, and is shared by connections. For each connection it
makes a *session*, which holds that connection's state. To write one, derive from :class:`Extension`,
:class:`ClientSession` and :class:`ServerSession` of ``wsdriver.extensions`` (or give objects with the same
attributes), and hand an instance to the ``extensions`` of a driver, a client or a server. Which methods are called,
in which order::

    client                                              server
    Extension.create_client_session()
    ClientSession.generate_offer()      -- request -->  Extension.create_server_session(offers)
    ClientSession.activate(params)      <-- answer --   ServerSession.generate_response()

    process_outgoing_message(message)   -- frames -->   process_incoming_message(message, budget)
    process_incoming_message(...)       <-- frames --   process_outgoing_message(message)
    close()                                             close()

Parameters are a dict. Those that were received are True where they have no value, else a str as the peer wrote it
(``"08"``, ``"+15"``), or a list of these where the peer repeated one. Those that are to be sent may be ints too.

Messages pass whole, not frame by frame, and never control frames. Where several extensions are agreed, an outgoing
message goes through them in the order of the server's answer, an incoming one in the reverse order (§9.1).

An error that a session raises on an incoming message fails the connection: with 1002, or with the code of the
:class:`~wsdriver.exceptions.ProtocolError` that it is. ``examples/reverse_extension.py`` is a whole one.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from wsdriver.exceptions import ConfigurationError, ExtensionError, ProtocolError
from wsdriver.extensions.header import MAX_PARAMS, Params, ReadParams, parse, serialize
from wsdriver.framing.faults import too_big
from wsdriver.options import TOKEN

__all__ = ["ClientSession", "Extension", "Extensions", "Message", "PayloadSession", "ServerSession", "Session"]


@dataclass(slots=True)
class Message:
    """A whole message on its way through the sessions, which may change it or return another one.

    Attributes:
        opcode: 1 for text, 2 for binary; not to be changed.
        data: the payload; of text, its UTF-8.
        rsv1: a reserved bit of the message's first frame (RFC 6455 §5.2). A session that marks its outgoing messages
            sets a bit that its extension owns; one that undoes the mark clears it.
        rsv2: likewise.
        rsv3: likewise.
        compress: of outgoing messages, what the application said: False asks that this one is not compressed, True
            that it is, however small; None leaves it to the extension.
    """

    opcode: int
    data: bytes
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False
    compress: bool | None = None


class Session:
    """One extension on one connection, once it is agreed. Unless overridden, messages pass as they are."""

    __slots__ = ()

    def process_incoming_message(self, message: Message, budget: int) -> Message:
        """Return the message as the application shall see it.

        Args:
            message: from the peer.
            budget: how many bytes the result's ``data`` may have, 0 for any number. A session that makes messages
                larger must stop *while* it does, not look afterwards: a few bytes may unfold to gigabytes.

        Raises:
            MessageTooBig: the result would be over the budget.
            Exception: any other; the message is not what the extension's peer may send.
        """
        return message

    def process_outgoing_message(self, message: Message) -> Message:
        """Return the message as it shall go out. What this raises comes out of the call that sends."""
        return message

    @property
    def sharing_key(self) -> Hashable | None:
        """What decides, beside the message, how an outgoing one is changed; None where that is this session's alone.

        Of sessions with the same key, one may change a message for all: a broadcast. So none may keep anything of it.
        """
        return None

    def close(self) -> None:
        """Free what the session holds. Called once, also where the extension was offered but not agreed."""


class ClientSession(Session):
    """A session on a client."""

    __slots__ = ()

    def generate_offer(self) -> Params | Sequence[Params] | None:
        """Return the parameters to offer, ``{}`` for none; a list for several offers, the best first.

        None, or an empty list, offers nothing.
        """
        return {}

    def activate(self, params: ReadParams) -> bool:
        """Take the parameters of the server's answer; return True where they fit an offer, else the handshake fails."""
        raise NotImplementedError("a client session needs activate(params)")


class ServerSession(Session):
    """A session on a server: one of the client's offers is accepted."""

    __slots__ = ()

    def generate_response(self) -> Params:
        """Return the parameters of the answer, ``{}`` for none."""
        return {}


class PayloadSession(Session):
    """A session that changes nothing of a message but its payload, and marks those that it changed with RSV1.

    For that it needs no :class:`Message`: where it is the only one, none is made.
    """

    __slots__ = ()

    def pack(self, data: bytes, compress: bool | None) -> bytes | None:
        """Return the payload for the peer, or None where it goes out as it is."""
        raise NotImplementedError

    def unpack(self, data: bytes, budget: int) -> bytes:
        """Return the payload of a message that the peer has marked; at most ``budget`` bytes, where it is not 0."""
        raise NotImplementedError

    def process_outgoing_message(self, message: Message) -> Message:
        data = self.pack(message.data, message.compress)
        if data is not None:
            message.data = data
            message.rsv1 = True
        return message

    def process_incoming_message(self, message: Message, budget: int) -> Message:
        if message.rsv1:
            message.rsv1 = False
            message.data = self.unpack(message.data, budget)
        return message


class Extension:
    """What can be agreed upon in the opening handshake. One instance serves any number of connections.

    Attributes:
        name: the registered name, a token: ``"permessage-deflate"``, ``"x-mine"``.
        type: always ``"permessage"``.
        rsv1: whether its sessions use that reserved bit. Of two extensions that use the same bit only one is agreed.
        rsv2: likewise.
        rsv3: likewise.
        only_marked: True where its sessions need to see no incoming messages but those that carry one of its
            reserved bits. The others then take the fast way, past all sessions.
    """

    name: str
    type: str = "permessage"
    rsv1: bool = False
    rsv2: bool = False
    rsv3: bool = False
    only_marked: bool = False

    def create_client_session(self) -> ClientSession | None:
        """Return a session for a new connection to a server, or None to stay out of it."""
        return None

    def create_server_session(self, offers: list[ReadParams]) -> ServerSession | None:
        """Return a session for one of a client's offers of this extension, or None to decline them all.

        Args:
            offers: their parameters, at least one dict, in the client's order of preference. An offer with a
                parameter that is unknown or has a wrong value is to be passed over.
        """
        return None


#: The reserved bits' places in a frame's first byte.
RSV1, RSV2, RSV3 = 0x40, 0x20, 0x10


class Extensions:
    """The extensions of one connection: negotiated once, then passing its messages.

    Attributes:
        active: whether any extension is agreed.
        reserved: the reserved bits that the agreed ones own, as a mask over a frame's first byte: 0x40, 0x20, 0x10.
        only_marked: whether all that are agreed look at no incoming messages but those with a reserved bit.
    """

    __slots__ = ("_active", "_offered", "_only", "_registered", "active", "only_marked", "reserved")

    def __init__(self, extensions: Iterable[Extension] = ()) -> None:
        self._registered: dict[str, Extension] = {}
        self._offered: dict[str, ClientSession] = {}  # on a client, what waits for the answer
        self._active: tuple[tuple[Extension, Session, int], ...] = ()  # the int: bits without which it sees nothing
        self._only: tuple[Extension, PayloadSession] | None = None  # where it is all that is agreed
        self.active = False
        self.reserved = 0
        self.only_marked = True
        if not isinstance(extensions, Iterable) or isinstance(extensions, str):
            raise ConfigurationError(f"extensions must be a list of extensions, not {extensions!r}")
        for extension in extensions:
            self.add(extension)

    def add(self, extension: Extension) -> None:
        """Register an extension. The order counts: it is that of the offers, and of the answers.

        Raises:
            ConfigurationError: it lacks what an extension needs, or one of that name is registered.
        """
        _check(extension)
        if extension.name in self._registered:
            raise ConfigurationError(f"two extensions are named {extension.name}")
        self._registered[extension.name] = extension

    # --- negotiation ------------------------------------------------------------------------------------------------

    def generate_offer(self) -> str | None:
        """Return a client's header value, or None where there is nothing to offer.

        Raises:
            ExtensionError: an extension could not make its offer.
        """
        offers = []
        for name, extension in self._registered.items():
            try:
                session = extension.create_client_session()
                if session is None:
                    continue
                self._offered[name] = session
                params = session.generate_offer()
                several = [params] if isinstance(params, Mapping) else list(params or ())
                offers += [serialize(name, one) for one in several]
            except ProtocolError:
                raise
            except Exception as error:
                raise _fault(extension, error) from error
            if not several:
                _close(self._offered.pop(name))
        return ", ".join(offers) or None

    def activate(self, header: str, max_params: int = MAX_PARAMS) -> None:
        """Take the server's answer, the value of its header, in which each extension may have so many parameters.

        Raises:
            ExtensionError: it is malformed, or not an answer to what was offered.
        """
        for name, params in parse(header, max_params):
            session = self._offered.get(name)
            if session is None:
                twice = any(extension.name == name for extension, _, _ in self._active)
                wrong = "twice" if twice else "which was not offered"
                raise ExtensionError(f"the server answered the extension {name[:40]}, {wrong}")
            extension = self._registered[name]
            if _bits(extension) & self.reserved:
                raise ExtensionError(f"the server answered {name} beside an extension with the same reserved bit")
            try:
                fits = session.activate(params)
            except ProtocolError:
                raise
            except Exception as error:
                raise _fault(extension, error) from error
            if fits is not True:
                raise ExtensionError(f"the server answered parameters that do not fit: {serialize(name, params)[:200]}")
            del self._offered[name]
            self._activate(extension, session)
        while self._offered:
            _close(self._offered.popitem()[1])

    def generate_response(self, header: str, max_params: int = MAX_PARAMS) -> str | None:
        """Take a client's offers, the value of its header; return the answer's, or None where nothing is agreed.

        Each extension, in the order of registration, is handed all the offers that name it, unless one before it
        has taken its reserved bit. Each offer may have so many parameters.

        Raises:
            ExtensionError: the header is malformed, or an extension failed.
        """
        offers: dict[str, list[ReadParams]] = {}
        for name, params in parse(header, max_params):
            offers.setdefault(name, []).append(params)
        answers = []
        for name, extension in self._registered.items():
            if name not in offers or _bits(extension) & self.reserved:
                continue
            try:
                session = extension.create_server_session(offers[name])
                if session is None:
                    continue
                self._activate(extension, session)
                answers.append(serialize(name, session.generate_response()))
            except ProtocolError:
                raise
            except Exception as error:
                raise _fault(extension, error) from error
        return ", ".join(answers) or None

    def _activate(self, extension: Extension, session: Session) -> None:
        bits = _bits(extension)
        only_marked = getattr(extension, "only_marked", False)
        self._active = (*self._active, (extension, session, bits if only_marked else 0))
        self.active = True
        self.reserved |= bits
        self.only_marked = self.only_marked and only_marked
        self._only = None
        if len(self._active) == 1 and isinstance(session, PayloadSession) and bits == RSV1:
            self._only = (extension, session)

    @property
    def sharing_key(self) -> Hashable | None:
        """What decides how outgoing messages are changed; None where connections cannot share that: see Session."""
        keys = []
        for extension, session, _ in self._active:
            key = getattr(session, "sharing_key", None)
            if key is None:
                return None
            keys.append((extension.name, key))
        return tuple(keys)

    # --- messages ---------------------------------------------------------------------------------------------------

    def process_incoming(self, opcode: int, data: bytes, reserved: int, max_length: int) -> bytes:
        """Return a message's payload as the application shall see it.

        Args:
            opcode: 1 for text, 2 for binary.
            data: the payload as it came.
            reserved: the reserved bits of its first frame, as a mask over that frame's first byte.
            max_length: bytes that it may have at the end, and between any two sessions; 0 for any number.

        Raises:
            MessageTooBig: it would become larger.
            ProtocolError: of a session; whatever else one raises is wrapped in an ExtensionError that names it.
        """
        if self._only is not None:
            extension, only = self._only
            if not reserved & RSV1:
                return data
            try:
                return only.unpack(data, max_length)
            except ProtocolError:
                raise
            except Exception as error:
                raise _fault(extension, error) from error
        message = Message(opcode, data, reserved & RSV1 != 0, reserved & RSV2 != 0, reserved & RSV3 != 0)
        for extension, session, needed in reversed(self._active):
            if needed and not needed & reserved:
                continue
            try:
                message = session.process_incoming_message(message, max_length)
                data = message.data
            except ProtocolError:
                raise
            except Exception as error:
                raise _fault(extension, error) from error
            if type(data) is not bytes:
                data = message.data = _as_bytes(extension, data)
            if 0 < max_length < len(data):
                raise too_big(len(data), max_length)
        return data

    def process_outgoing(self, opcode: int, data: bytes, compress: bool | None) -> tuple[bytes, int]:
        """Return a message's payload as it shall go out, and the reserved bits of its first frame.

        Args:
            opcode: 1 for text, 2 for binary.
            data: the payload.
            compress: what the application said about this message: see :class:`Message`.

        Raises:
            ProtocolError: of a session; whatever else one raises is wrapped in an ExtensionError that names it.
        """
        if self._only is not None:
            extension, only = self._only
            try:
                packed = only.pack(data, compress)
            except ProtocolError:
                raise
            except Exception as error:
                raise _fault(extension, error) from error
            return (data, 0) if packed is None else (packed, RSV1)
        message = Message(opcode, data, False, False, False, compress)
        for extension, session, _ in self._active:
            try:
                message = session.process_outgoing_message(message)
                data = message.data
            except ProtocolError:
                raise
            except Exception as error:
                raise _fault(extension, error) from error
            if type(data) is not bytes:
                data = message.data = _as_bytes(extension, data)
        reserved = (RSV1 if message.rsv1 else 0) | (RSV2 if message.rsv2 else 0) | (RSV3 if message.rsv3 else 0)
        if reserved & ~self.reserved:
            raise ExtensionError("an extension has set a reserved bit that none owns")
        return data, reserved

    def close(self) -> None:
        """Close the sessions, each once; messages then pass as they are."""
        sessions = [*self._offered.values(), *(session for _, session, _ in self._active)]
        self._offered, self._active, self._only = {}, (), None
        self.active, self.reserved, self.only_marked = False, 0, True
        for session in sessions:
            _close(session)


def _check(extension: Extension) -> None:
    if isinstance(extension, type):
        raise ConfigurationError(
            f"{extension.__name__} is a class: an extension is an instance, {extension.__name__}()"
        )
    name = getattr(extension, "name", None)
    if not isinstance(name, str) or not name or not TOKEN.issuperset(name):
        raise ConfigurationError(f"the name of an extension must be a token such as 'x-mine': {extension!r}")
    if getattr(extension, "type", None) != "permessage":
        raise ConfigurationError(f"the type of the extension {name} must be 'permessage'")
    for bit in ("rsv1", "rsv2", "rsv3"):
        if not isinstance(getattr(extension, bit, None), bool):
            raise ConfigurationError(f"{bit} of the extension {name} must be True or False")
    only_marked = getattr(extension, "only_marked", False)
    if not isinstance(only_marked, bool) or (only_marked and not _bits(extension)):
        raise ConfigurationError(f"only_marked of the extension {name} must be False, or True beside a reserved bit")
    for method in ("create_client_session", "create_server_session"):
        if not callable(getattr(extension, method, None)):
            raise ConfigurationError(f"the extension {name} has no method {method}")


def _bits(extension: Extension) -> int:
    return (RSV1 if extension.rsv1 else 0) | (RSV2 if extension.rsv2 else 0) | (RSV3 if extension.rsv3 else 0)


def _fault(extension: Extension, error: Exception) -> ExtensionError:
    return ExtensionError(f"{extension.name}: {str(error) or type(error).__name__}")


def _as_bytes(extension: Extension, data: object) -> bytes:
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data)
    raise ExtensionError(f"{extension.name}: the data of a message must be bytes, not {type(data).__name__}")


def _close(session: Session) -> None:
    """Close a session; its connection is over, and so is the interest in what it raises."""
    try:
        session.close()
    except Exception:
        pass
