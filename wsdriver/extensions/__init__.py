"""Extensions of the protocol: the framework to write one (``framework``), and permessage-deflate."""

from wsdriver.extensions.framework import ClientSession, Extension, Extensions, Message, ServerSession, Session
from wsdriver.extensions.header import Params, ReadParams
from wsdriver.extensions.permessage_deflate import PermessageDeflate

__all__ = [
    "ClientSession",
    "Extension",
    "Extensions",
    "Message",
    "Params",
    "PermessageDeflate",
    "ReadParams",
    "ServerSession",
    "Session",
]
