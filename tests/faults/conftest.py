"""What the tests of faults share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.peers import missing, need_program

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``shimmed.py`` prints, run once, and under ``log`` what it logs."""
    if sys.platform != "linux":
        missing("Linux, whose system calls are made to fail")
    library = tmp_path_factory.mktemp("shim") / "shim.so"
    source = Path(__file__).with_name("shim.c")
    subprocess.run([need_program("gcc"), "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.faults.shimmed"],
        cwd=ROOT,
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    found["log"] = result.stderr
    return found
