"""What an installed wsdriver must do, without pytest: ``python tests/installed.py`` with the Python that has it.

For ``.ci/run`` and cibuildwheel's ``test-command``: the compiled parts, which a build without a compiler leaves out,
are there, and they and their plain twins carry messages through a server and a client.
"""

import importlib
import os
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import wsdriver

PACKAGE = Path(wsdriver.__file__).resolve().parent


def compiled_names() -> list[str]:
    """Return the modules that have a compiled form: those with something for Cython beside them."""
    paths = [path for path in PACKAGE.rglob("*.p?[xd]") if path.suffix in (".pyx", ".pxd")]
    return sorted({".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths})


def check_files() -> None:
    """Each package has to be named in pyproject.toml, each kind of data too."""
    source = Path(__file__).resolve().parent.parent / "wsdriver"
    files = [path.relative_to(source) for kind in ("*.py", "*.html", "py.typed") for path in source.rglob(kind)]
    left_out = [str(path) for path in files if not (PACKAGE / path).exists()]
    assert not left_out, f"not installed: {left_out}"


def check_modules(pure: bool) -> None:
    names = compiled_names()
    assert names, f"{PACKAGE} has nothing for Cython"
    for name in names:
        path = str(importlib.import_module(name).__file__)
        compiled = path.endswith(tuple(EXTENSION_SUFFIXES))
        assert compiled != pure, f"{name} is {'compiled' if compiled else 'not compiled'}: {path}"


def check_echo() -> None:
    def echo(ws: wsdriver.WebSocket) -> None:
        for message in ws:
            ws.send(message)

    server = wsdriver.WebSocketServer(("127.0.0.1", 0), echo, extensions=[wsdriver.PermessageDeflate()])
    server.start()
    try:
        url = f"ws://127.0.0.1:{server.server_port}/"
        with wsdriver.connect(url, extensions=[wsdriver.PermessageDeflate()], open_timeout=10) as ws:
            for message in ("hällo " * 100, bytes(range(256)) * 1000, "", b""):
                ws.send(message)
                assert ws.receive(10) == message, "the echo is not what was sent"
    finally:
        server.stop()


def check_command() -> None:
    command = Path(sys.executable).with_name("wsdriver")
    for program in ([str(command)], [sys.executable, "-m", "wsdriver"]):
        said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True, timeout=60).stdout
        assert said == f"wsdriver {wsdriver.__version__}\n", f"{program} says {said!r}"


def main() -> None:
    pure = bool(os.environ.get("WSDRIVER_PURE"))
    check_files()
    check_modules(pure)
    check_echo()
    check_command()
    if not pure:
        subprocess.run([sys.executable, __file__], env={**os.environ, "WSDRIVER_PURE": "1"}, check=True, timeout=60)
        print(f"wsdriver {wsdriver.__version__}: {len(compiled_names())} compiled modules, and their plain twins")


if __name__ == "__main__":
    main()
