"""Masking keys come from the system's strong source, and no two frames share one."""

from __future__ import annotations

import importlib.util
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest

from wsdriver.framing import masking


@pytest.fixture(autouse=True)
def fresh_pool() -> Iterator[None]:
    """No key of one test is seen in another."""
    masking._forget()
    yield
    masking._forget()


def test_masking_key_has_4_bytes_and_is_new_each_time() -> None:
    keys = [masking.masking_key() for _ in range(5000)]
    assert {type(key) for key in keys} == {bytes}
    assert {len(key) for key in keys} == {4}
    assert len(set(keys)) > 4990, "two of 5000 keys of 32 bits may fall together, but not ten"


def test_masking_keys_are_the_bytes_of_the_source_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def source(size: int) -> bytes:
        drawn.append(secrets.token_bytes(size))
        return drawn[-1]

    monkeypatch.setattr(masking, "random_bytes", source)
    keys = b"".join(masking.masking_key() for _ in range(3000))
    assert len(drawn) == 3
    assert b"".join(drawn).startswith(keys)


def test_masking_source_is_the_secrets_module() -> None:
    assert masking.random_bytes is secrets.token_bytes


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_masking_keys_of_a_forked_child_are_not_its_parents() -> None:
    script = (
        "import os, sys\n"
        "from wsdriver.framing.masking import masking_key\n"
        "masking_key()\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(write, b''.join(masking_key() for _ in range(16)))\n"
        "    os._exit(0)\n"
        "child = os.read(read, 64)\n"
        "parent = b''.join(masking_key() for _ in range(16))\n"
        "os.wait()\n"
        "print(len(child), child == parent)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["64", "False"]


def test_masking_where_there_is_no_fork_works(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "register_at_fork", raising=False)
    spec = importlib.util.spec_from_file_location("masking_without_fork", masking.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert len(module.masking_key()) == 4
