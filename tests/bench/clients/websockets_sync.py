"""The package websockets, with threads: its own reads the socket."""

import roundtrips
from websockets.sync.client import connect

url, size, seconds = roundtrips.arguments()
with connect(url, max_size=None, compression=None, proxy=None) as ws:
    roundtrips.run(roundtrips.message_of(size), seconds, ws.send, ws.recv)
