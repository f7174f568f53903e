"""The live view in a real Chromium, over `gunicorn -k wsdriver.worker`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import gevent
import pytest

import wsdriver

from .conftest import Page, Server, serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving("tests.monitor.app:app", tmp_path_factory.mktemp("monitor") / "gunicorn.log") as server:
        yield server


def text(page: Page, name: str) -> str:
    return str(page.script("document.getElementById(arguments[0]).textContent", name))


def test_page_moves_with_what_the_server_does(chrome: Chrome, server: Server) -> None:
    page = Page(chrome)
    chrome.get(f"{server.url}_wsdriver")
    page.until_state("online")
    page.until(lambda: text(page, "open") == "0", "the first figures")
    url = server.url.replace("http", "ws")
    with wsdriver.connect(f"{url}chat") as one, wsdriver.connect(f"{url}chat"):
        for _ in range(5):
            one.send("x" * 100)
            one.receive(20)
        page.until(lambda: text(page, "open") == "2", "two WebSockets")
        page.until(lambda: "5 messages in" in text(page, "total-more"), "five messages")
        page.until(lambda: gevent.sleep(0.05) or text(page, "latency")[0].isdigit(), "a round trip")
        assert page.texts("#peers td.path") == ["/chat", "/chat"]
        one.close(4001)
        page.until(lambda: page.texts("#closes td:first-child") == ["4001"], "the close code")
    assert len(page.script("document.querySelector('#messages polyline').getAttribute('points')").split()) >= 2
    assert page.driver.get_log("browser") == []  # nothing against the Content-Security-Policy, for one


def test_page_asks_for_a_token(chrome: Chrome, server: Server) -> None:
    page = Page(chrome)
    chrome.get(f"{server.url.replace('//', '//ada:a-long-secret-of-some-length@')}token")
    page.until_state("online")
    page.until(lambda: text(page, "open") == "0", "the first figures")
