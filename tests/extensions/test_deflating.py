"""Messages compressed and inflated: both twins do the same, and the compiled one shares its streams."""

from __future__ import annotations

import functools
import random
import tracemalloc
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import twins
from wsdriver.exceptions import InvalidPayload, MessageTooBig

#: The names that both must have.
NAMES = ("COMPILED", "MAX_STREAMS", "Deflater", "Inflater")

TAIL = b"\x00\x00\xff\xff"


MODULE = "wsdriver.extensions.deflating"
plain, compiled, twin = (functools.partial(get, MODULE) for get in (twins.plain, twins.compiled, twins.twin))


def noise(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def inflate(module: Any, bits: int, takeover: bool, payloads: list[bytes], budget: int) -> list[Any]:
    """Return what each payload becomes, up to the first that fails, and how that one does."""
    inflater = module.Inflater(bits, takeover)
    results: list[Any] = []
    for payload in payloads:
        try:
            results.append(inflater.unpack(payload, budget))
        except Exception as error:
            results.append((type(error), str(error), getattr(error, "code", None)))
            break
    return results


def test_twins_have_the_same_names() -> None:
    for module in (plain(), compiled()):
        assert all(hasattr(module, name) for name in NAMES)
    assert (plain().COMPILED, compiled().COMPILED) == (False, True)
    assert plain().MAX_STREAMS == compiled().MAX_STREAMS


messages = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=300),
        st.builds(lambda part, count: part * count, st.binary(min_size=1, max_size=30), st.integers(1, 300)),
        st.integers(1, 100_000).map(noise),
    ),
    min_size=1,
    max_size=6,
)


def flushed(deflater: Any, message: bytes, mode: int) -> bytes:
    """What peers make of a message: a sync flush, cut; a full flush, cut; a final block, and nothing or 0 behind it."""
    data: bytes = deflater.compress(message) + deflater.flush(mode)
    return data[:-4] if mode != zlib.Z_FINISH else data


@settings(deadline=None, max_examples=300)
@given(
    messages,
    st.integers(9, 15),
    st.integers(9, 15),
    st.booleans(),
    st.lists(st.sampled_from([zlib.Z_SYNC_FLUSH] * 4 + [zlib.Z_FULL_FLUSH, zlib.Z_FINISH]), min_size=6, max_size=6),
    st.sampled_from([b"", b"", b"\0", b"\3\0", b"\1\0\0\xff\xff", b"\xff"]),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300), st.integers(0, 255)), max_size=2),
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 300)), max_size=1),
    st.sampled_from([0, 0, 0, 1, 100, 5000, 65535, 65536, 99_999]),
)
def test_inflaters_given_messages_right_and_wrong_do_the_same(
    said: list[bytes],
    sent: int,
    agreed: int,
    takeover: bool,
    modes: list[int],
    behind: bytes,
    changes: list[tuple[int, int, int]],
    cuts: list[tuple[int, int]],
    budget: int,
) -> None:
    payloads = []
    deflater = None
    for message, mode in zip(said, modes, strict=False):
        if deflater is None or not takeover:
            deflater = zlib.compressobj(wbits=-sent)
        payloads.append(flushed(deflater, message, mode) + behind)
        if mode == zlib.Z_FINISH:
            deflater = None
    for number, at, byte in changes:
        if number < len(payloads) and at < len(payloads[number]):
            payloads[number] = payloads[number][:at] + bytes([byte]) + payloads[number][at + 1 :]
    for number, at in cuts:
        if number < len(payloads):
            payloads[number] = payloads[number][:at] or b"\0"
    results = inflate(plain(), agreed, takeover, payloads, budget)
    assert inflate(compiled(), agreed, takeover, payloads, budget) == results
    if not (changes or cuts or behind or budget) and sent <= agreed:
        assert results == said


@settings(deadline=None, max_examples=300)
@given(st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=4), st.booleans(), st.sampled_from([0, 1, 50]))
def test_inflaters_given_any_bytes_do_the_same(payloads: list[bytes], takeover: bool, budget: int) -> None:
    expected = inflate(plain(), 12, takeover, payloads, budget)
    assert inflate(compiled(), 12, takeover, payloads, budget) == expected


@pytest.mark.parametrize("name", ["plain", "compiled"])
class TestInflater:
    @pytest.mark.parametrize("size", [*range(4085, 4093), 4096, 4097, 65536, 65537, 262_144, 262_145, 600_003])
    def test_any_size_around_a_step_comes_out_whole(self, name: str, size: int) -> None:
        for level in (0, 6):
            deflater = zlib.compressobj(level, wbits=-15)
            inflater = twin(name).Inflater(15, True)
            for message in (noise(size), bytes(size), noise(size)):
                payload = flushed(deflater, message, zlib.Z_SYNC_FLUSH)
                assert inflater.unpack(payload, size) == message
                with pytest.raises(MessageTooBig, match=f"of {size} bytes is over the limit of {size - 1}"):
                    twin(name).Inflater(15, False).unpack(flushed(zlib.compressobj(wbits=-15), message, 2), size - 1)

    @pytest.mark.parametrize("takeover", [True, False])
    def test_message_that_breaks_off_is_refused(self, name: str, takeover: bool) -> None:
        whole = flushed(zlib.compressobj(wbits=-15), b"Hello, hello, hello! " * 20 + noise(50), zlib.Z_SYNC_FLUSH)
        for end in range(1, len(whole) - 1):
            with pytest.raises(InvalidPayload, match="not DEFLATE data"):
                twin(name).Inflater(15, takeover).unpack(whole[:end], 0)

    @pytest.mark.parametrize("bits", range(9, 16))
    def test_history_is_the_window_and_no_more(self, name: str, bits: int) -> None:
        window = 1 << bits
        for size in (1, 100, window // 2, window - 1, window, window + 1, 3 * window):
            inflater, deflater = twin(name).Inflater(bits, True), zlib.compressobj(wbits=-bits)
            for number in range(2 + 3 * window // size if size >= 100 else 20):
                message = noise(size + number)[:size]
                assert inflater.unpack(flushed(deflater, message, zlib.Z_SYNC_FLUSH), 0) == message
        # A reference to the first byte of the window, and one farther back.
        for distance, fine in ((window, True), (window + 1, False)) if bits < 15 else ():  # where zlib refers to that
            inflater, deflater = twin(name).Inflater(bits, True), zlib.compressobj(wbits=-15)
            block = noise(200)
            first = b"\0" + block + noise(distance - 200)  # zlib finds nothing at its very first byte
            assert inflater.unpack(flushed(deflater, first, zlib.Z_SYNC_FLUSH), 0) == first
            second = flushed(deflater, block, zlib.Z_SYNC_FLUSH)
            assert len(second) < 100
            if fine:
                assert inflater.unpack(second, 0) == block
            else:
                with pytest.raises(InvalidPayload, match="too far back"):
                    inflater.unpack(second, 0)

    def test_many_inflaters_in_turn_do_not_mix(self, name: str) -> None:
        pairs = [(twin(name).Inflater(12, True), zlib.compressobj(wbits=-12)) for _ in range(50)]
        for number in range(12):
            for at, (inflater, deflater) in enumerate(pairs):
                message = noise(at) + b"%d of %d" % (number, at) + noise(900)
                assert inflater.unpack(flushed(deflater, message, zlib.Z_SYNC_FLUSH), 0) == message


@pytest.mark.parametrize("name", ["plain", "compiled"])
class TestDeflater:
    @settings(deadline=None, max_examples=60)
    @given(messages, st.integers(-1, 9), st.integers(9, 15), st.integers(1, 9), st.integers(0, 4), st.booleans())
    def test_zlib_understands_it(
        self, name: str, said: list[bytes], level: int, bits: int, mem_level: int, strategy: int, takeover: bool
    ) -> None:
        deflater = twin(name).Deflater(level, bits, mem_level, strategy, takeover)
        inflater = zlib.decompressobj(-bits)
        for message in [*said, *said]:
            if not takeover:
                inflater = zlib.decompressobj(-bits)
            assert inflater.decompress(deflater.pack(message) + TAIL) == message

    @pytest.mark.parametrize("size", [1, 65536, 65537, 600_003])
    @pytest.mark.parametrize("level", [0, 6])
    def test_any_size_goes_out_whole(self, name: str, size: int, level: int) -> None:
        deflater = twin(name).Deflater(level, 12, 1, 0, True)
        inflater = zlib.decompressobj(-12)
        for message in (noise(size), bytes(size), noise(size)):
            assert inflater.decompress(deflater.pack(message) + TAIL) == message

    @pytest.mark.parametrize("takeover", [True, False])
    def test_message_said_again_is_known_where_the_context_is_kept(self, name: str, takeover: bool) -> None:
        deflater = twin(name).Deflater(-1, 12, 5, 0, takeover)
        first, second = deflater.pack(noise(1000)), deflater.pack(noise(1000))
        assert len(second) < 50 if takeover else first == second

    def test_settings_that_zlib_has_not_raise(self, name: str) -> None:
        for takeover in (True, False):
            with pytest.raises(ValueError, match=r"[Ii]nvalid|no such"):
                twin(name).Deflater(-1, 16, 5, 0, takeover).pack(b"x")
        assert twin(name).Deflater(-1, 12, 5, 0, False).pack(b"x")


class TestStreamsAreShared:
    """More connections than there are streams for."""

    def test_each_connection_keeps_its_context(self) -> None:
        """They come and go, of all settings, and send in turn."""
        module, pick = compiled(), random.Random(1)
        kinds = [
            (-1, 12, 5, 0),
            (-1, 12, 5, 0),
            (1, 9, 1, 0),
            (0, 12, 5, 0),
            (9, 15, 9, 0),
            (6, 10, 3, 2),
            (6, 12, 5, 3),
        ]

        def connect() -> tuple[Any, Any, bytes]:
            kind = pick.choice(kinds)
            return module.Deflater(*kind, True), zlib.decompressobj(-kind[1]), pick.randbytes(200)

        connections = [connect() for _ in range(module.HOT + 60)]
        for _ in range(6):
            pick.shuffle(connections)
            for number in pick.sample(range(len(connections)), 20):
                connections[number] = connect()
            for deflater, inflater, own in connections:
                for message in (own, own[: pick.randrange(1, 200)] * pick.randrange(1, 40)):
                    assert inflater.decompress(deflater.pack(message) + TAIL) == message

    def test_what_was_said_is_known_when_the_stream_has_gone_to_another(self) -> None:
        module = compiled()
        deflaters = [module.Deflater(-1, 12, 5, 0, True) for _ in range(3 * module.HOT)]
        inflaters = [zlib.decompressobj(-12) for _ in deflaters]
        for again in (False, True, True):
            for number, (deflater, inflater) in enumerate(zip(deflaters, inflaters, strict=True)):
                message = noise(1000 + number)
                data = deflater.pack(message)
                assert (len(data) < 60) is again
                assert inflater.decompress(data + TAIL) == message

    def test_messages_on_their_own_between_those_of_other_settings_are_alike(self) -> None:
        module = compiled()
        one, other = module.Deflater(6, 12, 5, 0, False), module.Deflater(1, 9, 1, 0, False)
        kept = module.Deflater(6, 12, 5, 0, True)
        data = noise(300) * 3
        first = one.pack(data), other.pack(data)
        kept.pack(data)
        assert (one.pack(data), other.pack(data), one.pack(data)) == (*first, first[0])

    @pytest.fixture
    def traced(self) -> Iterator[None]:
        tracemalloc.start()
        yield
        tracemalloc.stop()

    @pytest.mark.usefixtures("traced")
    def test_memory_is_that_of_the_streams_and_what_was_said(self) -> None:
        module = compiled()
        more, message = 300, noise(5000)
        payload = flushed(zlib.compressobj(wbits=-12), message, zlib.Z_SYNC_FLUSH)
        module.Inflater(12, True).unpack(payload, 0)  # what is made once
        before = tracemalloc.get_traced_memory()[0]
        deflaters = [module.Deflater(-1, 12, 5, 0, True) for _ in range(module.HOT + more)]
        inflaters = [module.Inflater(12, True) for _ in deflaters]
        for deflater, inflater in zip(deflaters, inflaters, strict=True):
            deflater.pack(message)
            inflater.unpack(payload, 0)
        held = tracemalloc.get_traced_memory()[0] - before
        assert held < module.HOT * 45_000 + more * 5_000 + len(inflaters) * 5_000
        del deflaters, inflaters, deflater, inflater
        assert tracemalloc.get_traced_memory()[0] - before < 10_000
