"""wsdriver's client in a plain script: nothing is patched, and no other greenlet runs."""

import roundtrips

import wsdriver

url, size, seconds = roundtrips.arguments()
with wsdriver.connect(url, max_length=0) as ws:
    roundtrips.run(roundtrips.message_of(size), seconds, ws.send, ws.receive)
