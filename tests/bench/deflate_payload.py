"""Write the payload of the rows `deflate` and `deflate-memory`: python -m tests.bench.deflate_payload FILE

1 KiB of JSON, a page of a list of users, as one message of permessage-deflate: raw deflate, ended by a sync flush whose
last four bytes are cut off. `wsload ... deflate FILE` sends it.
"""

from __future__ import annotations

import json
import random
import sys
import zlib
from pathlib import Path

SIZE = 1024
NAMES = """
Frances Allen, Tim Berners-Lee, Edsger Dijkstra, Margaret Hamilton, Grace Hopper, Katherine Johnson, Donald Knuth,
Hedy Lamarr, Leslie Lamport, Barbara Liskov, Ada Lovelace, Radia Perlman, Alan Turing, Niklaus Wirth
"""
FIRST, LAST = zip(*(name.split() for name in NAMES.split(",")), strict=True)


def document(seed: int = 1) -> bytes:
    """Return the JSON, always the same for the same seed."""
    pick = random.Random(seed)
    users: list[dict[str, object]] = []
    while True:
        first, last = pick.choice(FIRST), pick.choice(LAST)
        user = {
            "id": pick.randrange(10_000, 1_000_000),
            "name": f"{first} {last}",
            "email": f"{first}.{last}{pick.randrange(100)}@example.com".lower(),
            "active": pick.random() < 0.8,
            "score": round(pick.random() * 100, 2),
        }
        text = json.dumps({"type": "users", "page": seed, "users": [*users, user]})
        if len(text) > SIZE:
            break
        users.append(user)
    text = json.dumps({"type": "users", "page": seed, "users": users})
    return text.ljust(SIZE).encode()


def message(data: bytes) -> bytes:
    """Return the payload of the frame that carries it compressed."""
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(data) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(message(document()))
