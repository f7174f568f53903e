"""The EventSource of a real Chromium, over `gunicorn -k wsdriver.worker`; and the example."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import PATIENCE, Page, Server, module

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# Opens a stream, and keeps all that comes of it: [type, data, lastEventId].
OPEN = """
const [path, ...types] = arguments;
window.got = [];
window.source = new EventSource(path);
for (const type of ['message', ...types]) {
  source.addEventListener(type, (event) => got.push([type, event.data, event.lastEventId]));
}
source.addEventListener('open', () => got.push(['open', '', '']));
source.addEventListener('error', () => got.push(['error', String(source.readyState), '']));
"""

LINES = ["lines", "one\ntwo\nthree\n", "Grüße 🎉"]


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    module("gunicorn")
    server = Server("tests.browser.news:app", tmp_path_factory.mktemp("news") / "gunicorn.log")
    try:
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture
def page(chrome: Chrome, news: Server) -> Iterator[Page]:
    """An empty page of that server."""
    chrome.get(news.url)
    yield Page(chrome)
    chrome.get("about:blank")


def listen(page: Page, path: str, *types: str) -> None:
    page.driver.execute_script(OPEN, path, *types)


def got(page: Page, *types: str) -> list[list[str]]:
    """What has come so far; of these types only, where some are given."""
    return [event for event in page.script("window.got") if not types or event[0] in types]


def state_of(server: Server) -> dict[str, Any]:
    with urllib.request.urlopen(server.url + "state", timeout=PATIENCE) as response:
        found: dict[str, Any] = json.load(response)
    return found


class TestEvents:
    def test_arrive_with_their_types_lines_and_ids(self, page: Page) -> None:
        listen(page, "kinds", "lines", "long", "hostile", "forged", "end")
        page.until(lambda: got(page, "end"), "the last event")
        assert got(page) == [
            ["open", "", ""],
            ["message", "plain", ""],
            LINES,
            ["message", "", LINES[2]],
            ["long", "x" * 300_000, LINES[2]],
            ["hostile", " forged? \n\nevent: forged\ndata: no\n\n", ""],
            ["end", "the end", ""],
        ]

    def test_tab_that_is_closed_is_noticed(self, page: Page, news: Server) -> None:
        window = page.driver.current_window_handle
        page.driver.switch_to.new_window("tab")
        page.driver.get(news.url)
        listen(page, "numbers?tab", "number")
        page.until(lambda: len(got(page, "number")) == 5, "the events")
        assert "tab" in state_of(news)["open"]
        page.driver.close()
        page.driver.switch_to.window(window)
        page.until(lambda: "tab" not in state_of(news)["open"], "the end of the stream")

    def test_stream_that_the_page_closes_is_noticed(self, page: Page, news: Server) -> None:
        listen(page, "numbers?stream", "number")
        page.until(lambda: len(got(page, "number")) == 5, "the events")
        assert "stream" in state_of(news)["open"]
        page.script("source.close()")
        page.until(lambda: "stream" not in state_of(news)["open"], "the end of the stream")


class TestComingBack:
    def test_is_as_soon_as_retry_says_and_with_the_last_id(self, page: Page, news: Server) -> None:
        """Chromium's own delay is 3 seconds: twenty returns would take a minute."""
        started = len(state_of(news)["seen"])
        listen(page, "one-by-one", "number")
        page.until(lambda: len(got(page, "number")) >= 20, "twenty events, each of its own stream")
        page.script("source.close()")
        events = got(page, "number")
        assert events == [["number", f"number {number}", str(number)] for number in range(1, len(events) + 1)]
        requests = state_of(news)["seen"][started:]
        assert [last for _, last in requests[:20]] == ["", *map(str, range(1, 20))]

    def test_happens_by_itself_after_a_restart_of_the_server(self, page: Page, news: Server) -> None:
        listen(page, "numbers", "number")
        page.until(lambda: len(got(page, "number")) == 5, "the events")
        assert news.stop() == 0
        page.until(lambda: ["error", "0", ""] in got(page), "the error")
        news.start()
        page.until(lambda: len(got(page, "open")) == 2, "the page to come back")
        assert ["/numbers", "5"] in state_of(news)["seen"]
        assert len(got(page, "number")) == 5


class TestRefusals:
    @pytest.mark.parametrize("path", ["204", "401"])
    def test_are_final(self, page: Page, news: Server, path: str) -> None:
        listen(page, path)
        page.until(lambda: got(page), "the error")
        assert got(page) == [["error", "2", ""]]
        assert [seen for seen in state_of(news)["seen"] if seen[0] == f"/{path}"] == [[f"/{path}", ""]]


class TestExample:
    @pytest.fixture
    def ticker(self, tmp_path: Path) -> Iterator[Server]:
        module("gunicorn")
        server = Server("examples.eventsource:app", tmp_path / "gunicorn.log")
        try:
            server.start()
            yield server
        finally:
            server.close()

    def test_ticks_and_misses_none_after_a_restart(self, chrome: Chrome, ticker: Server) -> None:
        page = Page(chrome)
        chrome.get(ticker.url)
        page.until_state("online")

        def count() -> int:
            return int(page.texts("#count")[0])

        page.until(lambda: count() >= 122, "a history, and two ticks more")
        assert ticker.stop() == 0
        page.until_state("reconnecting")
        before = count()
        time.sleep(1.1)
        ticker.start()
        page.until_state("online")
        page.until(lambda: count() >= before + 3, "what was missed")
        assert page.texts("#missing") == ["0"]
        assert page.script("document.querySelectorAll('#line')[0].points.numberOfItems") > 100
        chrome.get("about:blank")
