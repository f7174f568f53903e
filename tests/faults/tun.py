"""A network of its own for this process, whose only cable is a file descriptor: each read of it is one packet.

Where the machine lets us. It needs no program, and no kernel module for faults: those are made by who has the cable.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

__all__ = ["enter_network"]

CLONE_NEWUSER = 0x10000000
CLONE_NEWNET = 0x40000000

TUNSETIFF = 0x400454CA
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000

SIOCSIFFLAGS = 0x8914
SIOCSIFADDR = 0x8916
SIOCSIFDSTADDR = 0x8918
IFF_UP = 0x0001

NAME = b"cable"


def enter_network(own: str, other: str) -> int:
    """Leave this machine's network for one with two addresses, our own and the one at the other end of the cable.

    Returns:
        the cable's end that packets come out of.

    Raises:
        OSError: the machine does not let us.
    """
    flags = CLONE_NEWNET if os.geteuid() == 0 else CLONE_NEWNET | CLONE_NEWUSER
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    cable = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(cable, TUNSETIFF, struct.pack("16sH22x", NAME, IFF_TUN | IFF_NO_PI))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for request, address in ((SIOCSIFADDR, own), (SIOCSIFDSTADDR, other)):
            # struct ifreq with a sockaddr_in
            packed = struct.pack("16sHH4s16x", NAME, socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(sock, request, packed)
        fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH22x", NAME, IFF_UP))
    return cable
