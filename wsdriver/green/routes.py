"""Which handler a request's path goes to: a table of path patterns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from wsdriver.environ import split_target
from wsdriver.exceptions import ConfigurationError

__all__ = ["Route", "Routes"]


class Route:
    """One pattern: segments that stand for themselves, ``{name}`` for any segment, ``{name:path}`` for all that follow.

    Args:
        pattern: such as ``'/chat/{room}'``.

    Raises:
        ConfigurationError: it is no pattern.
    """

    __slots__ = ("_rest", "_segments", "pattern")

    def __init__(self, pattern: str) -> None:
        if not isinstance(pattern, str) or not pattern.startswith("/"):
            raise ConfigurationError(f"a route's pattern begins with '/', unlike {pattern!r}")
        self.pattern = pattern
        self._rest: str | None = None
        #: For each segment its text and whether that is the name of a placeholder.
        self._segments: list[tuple[str, bool]] = []
        names: set[str] = set()
        segments = pattern[1:].split("/")
        for number, segment in enumerate(segments, 1):
            placeholder = segment.startswith("{") and segment.endswith("}")
            name, _, kind = segment[1:-1].partition(":") if placeholder else (segment, "", "")
            wrong = "{" in name or "}" in name
            if placeholder:
                wrong = not name.isidentifier() or name in names or segment not in (f"{{{name}}}", f"{{{name}:path}}")
                names.add(name)
            if wrong:
                raise ConfigurationError(
                    f"the route {pattern!r} has {segment!r}: a placeholder is a whole segment such as {{name}}, its "
                    "name comes once, and {name:path} may be the last"
                )
            if kind != "path":
                self._segments.append((name, placeholder))
            elif number == len(segments):
                self._rest = name
            else:
                raise ConfigurationError(
                    f"the route {pattern!r} goes on behind {segment!r}, which takes all that follows"
                )

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """Return what a path has in the place of each placeholder; None where it does not match.

        Args:
            segments: of the path, unquoted.
        """
        own = self._segments
        if len(segments) < len(own) + (self._rest is not None) or (self._rest is None and len(segments) > len(own)):
            return None
        found = {}
        for (text, placeholder), segment in zip(own, segments, strict=False):
            if placeholder and segment:
                found[text] = segment
            elif placeholder or text != segment:
                return None
        if self._rest is not None:
            found[self._rest] = "/".join(segments[len(own) :])
        return found


class Routes:
    """A table of path patterns to handlers; the first that matches is taken.

    Args:
        table: handlers by pattern; what stands for a placeholder goes to the handler by keyword.

    Raises:
        ConfigurationError: a pattern is none, or a handler cannot be called.
    """

    __slots__ = ("_routes",)

    def __init__(self, table: Mapping[str, Callable[..., object]]) -> None:
        if not table:
            raise ConfigurationError("the table of routes is empty")
        self._routes = [(Route(pattern), handler) for pattern, handler in table.items()]
        for route, handler in self._routes:
            if not callable(handler):
                raise ConfigurationError(f"the handler of the route {route.pattern!r} cannot be called: {handler!r}")

    def find(self, target: str) -> tuple[Callable[..., Any], dict[str, str]] | None:
        """Return the handler for a request's target and its keyword arguments, or None where no pattern matches."""
        path = split_target(target)[0]
        try:
            # Unquoted apart: a slash that is quoted belongs to its segment.
            segments = [unquote(segment, errors="strict") for segment in path[1:].split("/")]
        except UnicodeDecodeError:
            return None
        for route, handler in self._routes:
            found = route.match(segments)
            if found is not None:
                return handler, found
        return None
