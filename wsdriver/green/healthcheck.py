"""The question of a load balancer, whether the server is alive."""

from __future__ import annotations

from urllib.parse import unquote

from wsdriver.environ import split_target
from wsdriver.exceptions import ConfigurationError
from wsdriver.http import Request

__all__ = ["check_path", "is_healthcheck"]


def check_path(path: str | None) -> None:
    """Refuse what is no path of a health check.

    Raises:
        ConfigurationError: it is neither None nor a path.
    """
    if path is not None and not (isinstance(path, str) and path.startswith("/") and not {"?", "#"} & set(path)):
        raise ConfigurationError(f"healthcheck must be a path such as '/healthcheck', or None for none, not {path!r}")


def is_healthcheck(request: Request, path: str | None) -> bool:
    """Tell whether a request is a health check: GET or HEAD on exactly that path, whatever its query and headers."""
    return path is not None and request.method in ("GET", "HEAD") and unquote(split_target(request.target)[0]) == path
