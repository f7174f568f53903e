"""The protocol driver: a state machine without I/O, for every version of the protocol, client and server."""

from wsdriver.driver.driver import Driver

__all__ = ["Driver"]
