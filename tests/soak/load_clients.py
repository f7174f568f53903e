"""The clients of the load, in a process: ``python -m tests.soak.load_clients LIBRARY PORT FIRST COUNT SECONDS``.

They connect, print ``ready``, and wait for a line. Then a hundredth of them at a time sends and receives, each in its
turn, and at the end all of them close, and say what they have sent and got. What they found is printed as JSON.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import Counter
from typing import Any

from tests.bench.process import raise_open_files
from tests.soak.load_server import THROUGH
from tests.soak.numbered import Judge, Stream

#: Of how many clients one sends at any time; of how many one compresses.
ACTIVE, COMPRESSING = 100, 20

#: Messages of one turn.
TURN = 12

#: Seconds that the answers to the last messages may take.
PATIENCE = 60

FAULTS: Counter[str] = Counter()


class Conversation:
    """What one client says and hears: its own messages, which come back, and those of the server."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.stream = Stream(f"to{number}")
        self.judge = Judge(f"to{number}", f"from{number}", faults=FAULTS)

    def complete(self) -> bool:
        """Whether all that was sent has come back, and as much from the server."""
        return all(count >= self.stream.sent for count in self.judge.counts.values())

    def reason(self) -> str:
        """How many messages went which way."""
        return f"{self.stream.sent} {self.judge.counts[f'from{self.number}']}"


def turns(clients: list[Any], seconds: float) -> list[tuple[float, list[Any]]]:
    """Return who sends from when on, in seconds, and for how long: everybody once, some of them at a time."""
    at_once = max(1, len(clients) // ACTIVE)
    groups = [clients[start : start + at_once] for start in range(0, len(clients), at_once)]
    return [(seconds * place / len(groups), group) for place, group in enumerate(groups)]


def tell(conversations: list[Conversation], ready_in: float, seconds: float) -> None:
    """Print what came of it."""
    for conversation in conversations:
        if not conversation.complete():
            FAULTS["connection that misses messages"] += 1
    print(
        json.dumps(
            {
                "faults": dict(FAULTS),
                "sent": sum(each.stream.sent for each in conversations),
                "sent_size": sum(each.stream.size for each in conversations),
                "received": sum(sum(each.judge.counts.values()) for each in conversations),
                "connecting": ready_in,
                "seconds": seconds,
            }
        )
    )


# --- by websockets, on asyncio ----------------------------------------------------------------------------------------


async def by_websockets(port: int, numbers: range, seconds: float) -> None:
    """Be these clients."""
    import websockets.asyncio.client
    from websockets.exceptions import ConnectionClosed

    gate = asyncio.Semaphore(50)

    async def connect(number: int) -> tuple[Conversation, Any]:
        async with gate:
            ws = await websockets.asyncio.client.connect(
                f"ws://127.0.0.1:{port}/{number}",
                compression="deflate" if number % COMPRESSING == 0 else None,
                proxy=None,
                open_timeout=PATIENCE,
                close_timeout=PATIENCE,
                ping_timeout=PATIENCE,
            )
        return Conversation(number), ws

    async def take_turn(conversation: Conversation, ws: Any, length: float) -> None:
        async def read() -> None:
            while not conversation.complete() or not done:
                conversation.judge.check(await ws.recv())

        done = False
        reader = asyncio.create_task(read())
        try:
            for left in range(TURN, 0, -1):
                message = conversation.stream.next()
                done = left == 1
                await ws.send(message)
                await asyncio.sleep(length / TURN)
            await asyncio.wait_for(reader, PATIENCE)
        except (ConnectionClosed, TimeoutError) as error:
            FAULTS[f"{type(error).__name__}: {error}"] += 1
            reader.cancel()

    began = time.monotonic()
    clients = await asyncio.gather(*map(connect, numbers))
    ready_in = time.monotonic() - began
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    began = time.monotonic()
    planned = turns(clients, seconds)
    tasks = []
    for at, group in planned:
        await asyncio.sleep(max(0.0, began + at - time.monotonic()))
        tasks += [asyncio.create_task(take_turn(*client, seconds / len(planned))) for client in group]
    await asyncio.gather(*tasks)
    took = time.monotonic() - began
    print("through", flush=True)
    await asyncio.to_thread(sys.stdin.readline)

    async def close(conversation: Conversation, ws: Any) -> None:
        async with gate:
            await ws.close(THROUGH, conversation.reason())
        if ws.close_code != THROUGH:
            FAULTS[f"closed with {ws.close_code}"] += 1

    await asyncio.gather(*(close(*client) for client in clients))
    tell([conversation for conversation, _ in clients], ready_in, took)


# --- by our own client, on gevent -------------------------------------------------------------------------------------


def by_wsdriver(port: int, numbers: range, seconds: float) -> None:
    """Be these clients."""
    import gevent
    from gevent.pool import Pool

    import wsdriver

    def connect(number: int) -> tuple[Conversation, Any]:
        extensions = [wsdriver.PermessageDeflate()] if number % COMPRESSING == 0 else []
        ws = wsdriver.connect(
            f"ws://127.0.0.1:{port}/{number}", extensions=extensions, open_timeout=PATIENCE, close_timeout=PATIENCE
        )
        ws.on("close", lambda event: ends.update([number]))
        return Conversation(number), ws

    def take_turn(conversation: Conversation, ws: Any, length: float) -> None:
        def write() -> None:
            for _ in range(TURN):
                ws.send(conversation.stream.next())
                gevent.sleep(length / TURN)

        writer = gevent.spawn(write)
        try:
            while conversation.stream.sent < TURN or not conversation.complete():
                message = ws.receive(PATIENCE)
                if message is None:
                    FAULTS[f"closed with {ws.close_code}"] += 1
                    break
                conversation.judge.check(message)
        except TimeoutError as error:
            FAULTS[str(error)] += 1
        writer.join()

    def close(conversation: Conversation, ws: Any) -> None:
        ws.close(THROUGH, conversation.reason())
        if (ws.close_code, ws.was_clean) != (THROUGH, True):
            FAULTS[f"closed with {ws.close_code}"] += 1

    ends: Counter[int] = Counter()
    pool = Pool(50)
    began = time.monotonic()
    clients = pool.map(connect, numbers)
    ready_in = time.monotonic() - began
    print("ready", flush=True)
    gevent.get_hub().threadpool.apply(sys.stdin.readline)
    began = time.monotonic()
    planned = turns(clients, seconds)
    greenlets = []
    for at, group in planned:
        gevent.sleep(max(0.0, began + at - time.monotonic()))
        greenlets += [gevent.spawn(take_turn, *client, seconds / len(planned)) for client in group]
    gevent.joinall(greenlets, raise_error=True)
    took = time.monotonic() - began
    print("through", flush=True)
    gevent.get_hub().threadpool.apply(sys.stdin.readline)
    pool.map(lambda client: close(*client), clients)
    gevent.sleep(0.1)
    if ends != Counter(numbers):
        FAULTS["close events that are missing, or too many"] += abs(ends.total() - len(numbers)) or 1
    tell([conversation for conversation, _ in clients], ready_in, took)


def main() -> None:
    gc.disable()  # a look at the millions of objects of ten thousand clients takes longer than their servers wait
    library, port, first, count, seconds = sys.argv[1:]
    raise_open_files(int(count) + 100)
    numbers = range(int(first), int(first) + int(count))
    if library == "websockets":
        asyncio.run(by_websockets(int(port), numbers, float(seconds)))
    else:
        by_wsdriver(int(port), numbers, float(seconds))


if __name__ == "__main__":
    main()
