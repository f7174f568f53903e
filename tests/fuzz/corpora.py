"""The inputs that are kept: ``corpus/TARGET/NAME``."""

from __future__ import annotations

import hashlib
from pathlib import Path

__all__ = ["CORPUS", "inputs", "keep"]

CORPUS = Path(__file__).resolve().parent / "corpus"


def inputs(target: str) -> dict[str, bytes]:
    """Return the inputs of a target, by name."""
    return {path.name: path.read_bytes() for path in sorted((CORPUS / target).iterdir())}


def keep(target: str, data: bytes) -> Path:
    """Keep an input that has found something; return where it is."""
    path = CORPUS / target / f"found-{hashlib.sha1(data, usedforsecurity=False).hexdigest()[:10]}"
    path.write_bytes(data)
    return path
