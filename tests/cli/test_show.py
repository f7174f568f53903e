"""How messages look."""

from __future__ import annotations

import io

from wsdriver.cli.show import Show, wants_colours

PLAIN = Show(colours=False, terminal=True, pretty=True)
COLOURED = Show(colours=True, terminal=True, pretty=True)


class TestShow:
    def test_text_cannot_command_the_terminal(self) -> None:
        assert PLAIN.message("a\x1b[2Jb\x07\x9bc\x7f\ttab\nline") == "a␛[2Jb␇\\x9bc␡\ttab\nline"

    def test_json_cannot_command_the_terminal(self) -> None:
        assert "\x1b" not in PLAIN.message('{"a": "\\u001b[2J"}')
        assert "\x9b" not in PLAIN.message('{"a": "\\u009b2J"}')

    def test_json_is_laid_out(self) -> None:
        assert PLAIN.message('{"a":[1,"é"]}') == '{\n  "a": [\n    1,\n    "é"\n  ]\n}'

    def test_json_is_coloured_by_what_it_is(self) -> None:
        shown = COLOURED.message('{"a": ["b", -1.5e3, true, "\\"x\\": 1"]}')
        assert '\x1b[34m"a"\x1b[0m:' in shown
        assert '\x1b[32m"b"\x1b[0m' in shown
        assert "\x1b[36m-1500.0\x1b[0m" in shown
        assert "\x1b[33mtrue\x1b[0m" in shown
        assert '\x1b[32m"\\"x\\": 1"\x1b[0m' in shown

    def test_text_that_is_no_json_is_shown_as_it_is(self) -> None:
        assert PLAIN.message("{no json") == "{no json"
        assert PLAIN.message("[" * 100_000) == "[" * 100_000

    def test_binary_is_shown_in_hexadecimal_digits_and_cut(self) -> None:
        assert PLAIN.message(b"\x00\xff") == "binary, 2 bytes: 00 ff"
        assert PLAIN.message(b"x" * 1000).endswith("78 78 ...")
        assert len(PLAIN.message(b"x" * 1000)) < 1000

    def test_raw_is_what_came(self) -> None:
        raw = Show(colours=False, terminal=False, pretty=False)
        assert raw.raw(b"\x00\xff") == b"\x00\xff"
        assert raw.raw('{"a":1}\x1b') == b'{"a":1}\x1b'
        assert PLAIN.raw('{"a":1}') == b'{\n  "a": 1\n}'


class Stream(io.StringIO):
    def isatty(self) -> bool:
        return True


class TestColours:
    def test_terminal_has_them(self) -> None:
        assert wants_colours(Stream(), {"TERM": "xterm"})

    def test_no_color_dumb_and_pipe_have_none(self) -> None:
        assert not wants_colours(Stream(), {"TERM": "xterm", "NO_COLOR": "1"})
        assert not wants_colours(Stream(), {"TERM": "dumb"})
        assert not wants_colours(io.StringIO(), {"TERM": "xterm"})
