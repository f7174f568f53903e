"""examples/chat in a real Chromium, over `gunicorn -k wsdriver.worker`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.redis import RedisServer

from .conftest import Page, Server, open_page, serving

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# Sends the given messages over a WebSocket of its own and hands back the given number of answers.
EXCHANGE = """
const [messages, expected, done] = arguments;
const url = new URL('chat', location.href);
url.protocol = 'ws:';
const ws = new WebSocket(url);
const answers = [];
ws.onopen = () => messages.forEach((message) => ws.send(message));
ws.onmessage = (event) => {
  answers.push(event.data);
  if (answers.length === expected) { ws.onclose = null; ws.close(); done(answers); }
};
ws.onclose = (event) => done([...answers, JSON.stringify({ type: 'close', code: event.code })]);
"""

# Joins twice with the same key and tells what became of the first connection and who is there then.
JOIN_TWICE = """
const done = arguments[0];
const url = new URL('chat', location.href);
url.protocol = 'ws:';
const join = JSON.stringify({ type: 'join', name: 'Katherine', key: 'secret' });
const first = new WebSocket(url);
let code = null;
let members = null;
const finish = () => { if (code && members) { second.close(); done([code, members]); } };
let second;
first.onopen = () => first.send(join);
first.onclose = (event) => { code = event.code; finish(); };
first.onmessage = () => {
  first.onmessage = null;
  second = new WebSocket(url);
  second.onopen = () => second.send(join);
  second.onmessage = (event) => { members = members || JSON.parse(event.data).members; finish(); };
};
"""


#: Joins, with the same key wherever it runs; returns the members. How the connection ends is in `closeCode`.
JOIN = """
const done = arguments[0];
const url = new URL('chat', location.href);
url.protocol = 'ws:';
const socket = new WebSocket(url);
window.closeCode = null;
socket.onopen = () => socket.send(JSON.stringify({ type: 'join', name: 'Katherine', key: 'secret' }));
socket.onclose = (event) => { window.closeCode = event.code; };
socket.onmessage = (event) => { socket.onmessage = null; done(JSON.parse(event.data).members); };
"""


def exchange(page: Page, messages: list[str], expected: int) -> list[dict[str, Any]]:
    """Talk to the server from the page, beside the page's own connection."""
    return [json.loads(answer) for answer in page.driver.execute_async_script(EXCHANGE, messages, expected)]


class TestConversation:
    def test_two_people_see_each_other_and_talk_both_ways(self, ada: Page, grace: Page) -> None:
        ada.join("Ada")
        ada.until_members("Ada")
        grace.join("Grace")
        ada.until_members("Ada", "Grace")
        grace.until_members("Ada", "Grace")

        ada.say("Hello Grace")
        grace.until_message("Hello Grace")
        grace.say("Hello Ada")
        ada.until_message("Hello Ada")
        ada.until_message("Hello Grace")
        assert ada.messages == grace.messages == ["Hello Grace", "Hello Ada"]
        assert ada.texts(".message.own .bubble") == ["Hello Grace"]
        assert grace.texts(".message.own .bubble") == ["Hello Ada"]
        assert grace.texts(".message:not(.own) .meta .name") == ["Ada"]

        grace.driver.get("about:blank")
        ada.until_members("Ada")
        assert "Grace left" in ada.texts("#messages .system")

        grace.driver.back()
        ada.until_members("Ada", "Grace")
        grace.until_state("online")
        assert grace.messages == ["Hello Grace", "Hello Ada"]

    def test_leave_button_takes_the_name_out_of_the_room(self, ada: Page, grace: Page) -> None:
        ada.join("Ada")
        grace.join("Grace")
        ada.driver.find_element("id", "leave").click()
        grace.until_members("Grace")
        assert ada.state == "offline"
        ada.join("Countess")
        grace.until_members("Countess", "Grace")

    def test_html_is_shown_as_text(self, ada: Page, grace: Page) -> None:
        name = "<b>Ada</b>"
        html = '<img src=x onerror="window.broken = true"><script>window.broken = true</script>&amp;'
        ada.join(name)
        grace.join("Grace")
        ada.say(html)
        grace.until_message(html)
        grace.until_members(name, "Grace")
        assert grace.script("document.querySelectorAll('#messages img, #messages script, #members b').length") == 0
        assert grace.script("window.broken === undefined")

    def test_name_in_use_is_asked_again(self, ada: Page, grace: Page) -> None:
        ada.join("Ada")
        grace.enter_name("ADA")
        grace.until(lambda: "already here" in grace.texts("#join-error")[0], "the complaint about the name")
        assert grace.state != "online"
        grace.join("Grace")
        ada.until_members("Ada", "Grace")

    def test_reload_keeps_the_name_and_shows_the_history_once(self, ada: Page) -> None:
        ada.join("Ada")
        ada.say("one")
        ada.say("two")
        ada.until_message("two")
        ada.driver.refresh()
        ada.until_state("online")
        assert ada.messages == ["one", "two"]
        assert ada.members == ["Ada"]

    def test_newcomer_gets_the_last_fifty_messages(self, ada: Page, grace: Page) -> None:
        sent = [json.dumps({"type": "join", "name": "Katherine"})]
        sent += [json.dumps({"type": "say", "text": f"line {number}"}) for number in range(55)]
        exchange(ada, sent, 56)
        grace.join("Grace")
        assert grace.messages == [f"line {number}" for number in range(5, 55)]


class TestRestart:
    def test_pages_come_back_and_lose_nothing(self, chat: Server, ada: Page, grace: Page) -> None:
        ada.join("Ada")
        grace.join("Grace")
        ada.say("before")
        grace.until_message("before")

        assert chat.stop() == 0
        ada.until_state("reconnecting")
        grace.until_state("reconnecting")
        ada.say("meanwhile")
        assert ada.texts(".message.pending .bubble") == ["meanwhile"]

        chat.start()
        ada.until_state("online")
        grace.until_state("online")
        ada.until_members("Ada", "Grace")
        grace.until_members("Ada", "Grace")
        grace.until_message("meanwhile")
        grace.say("after")
        ada.until_message("after")
        ada.until_message("meanwhile")
        grace.until_message("after")
        assert ada.messages == grace.messages == ["before", "meanwhile", "after"]

    def test_page_with_the_same_key_takes_its_name_back(self, ada: Page) -> None:
        code, members = ada.driver.execute_async_script(JOIN_TWICE)
        assert code == 4001
        assert members == ["Katherine"]


class TestBadRequests:
    def test_malformed_messages_are_answered_and_the_connection_lives(self, ada: Page) -> None:
        requests = {
            "{nope": "malformed",
            "[" * 10_000: "malformed",
            "[]": "malformed",
            "null": "malformed",
            '{"type": "dance"}': "malformed",
            '{"type": "join", "name": 7}': "malformed",
            '{"type": "join", "name": "  "}': "bad-name",
            json.dumps({"type": "join", "name": "x" * 25}): "bad-name",
            '{"type": "say", "text": "too early"}': "not-joined",
            '{"type": "join", "name": "Katherine"}': "",
            '{"type": "join", "name": "Dorothy"}': "already-joined",
            '{"type": "say", "text": " "}': "empty",
            json.dumps({"type": "say", "text": "x" * 1001, "ref": "r"}): "too-long",
            r'{"type": "say", "text": "\ud83d"}': "",
        }
        answers = exchange(ada, list(requests), len(requests))
        assert [answer.get("code", "") for answer in answers] == list(requests.values())
        assert answers[-2]["ref"] == "r"
        assert answers[-1]["text"] == "\ud83d"

    def test_message_beyond_the_limit_is_closed_with_1009(self, ada: Page) -> None:
        assert exchange(ada, ["x" * 20_000], 1) == [{"type": "close", "code": 1009}]


class TestTwoServers:
    @pytest.fixture
    def redis(self, tmp_path: Path) -> Iterator[RedisServer]:
        with RedisServer(tmp_path) as redis:
            yield redis

    @pytest.fixture
    def servers(self, tmp_path: Path, redis: RedisServer) -> Iterator[list[Server]]:
        """Two processes on two ports, which know of each other only by CHANNEL_URL."""
        with (
            serving("examples.chat:app", tmp_path / "first.log", redis.url) as first,
            serving("examples.chat:app", tmp_path / "second.log", redis.url) as second,
        ):
            yield [first, second]

    @pytest.fixture
    def ada(self, browsers: list[Chrome], servers: list[Server]) -> Iterator[Page]:
        yield from open_page(browsers[0], servers[0])

    @pytest.fixture
    def grace(self, browsers: list[Chrome], servers: list[Server]) -> Iterator[Page]:
        yield from open_page(browsers[1], servers[1])

    def test_are_one_room_also_while_redis_or_one_of_them_restarts(
        self, redis: RedisServer, servers: list[Server], ada: Page, grace: Page
    ) -> None:
        ada.join("Ada")
        ada.say("Anybody here?")
        ada.until_message("Anybody here?")
        grace.enter_name("ADA")
        grace.until(lambda: "already here" in grace.texts("#join-error")[0], "the complaint about the name")
        grace.join("Grace")
        assert grace.messages == ["Anybody here?"]  # the history of the other server
        assert sorted(grace.members) == ["Ada", "Grace"]
        ada.until_members("Ada", "Grace")
        grace.say("I am")
        ada.until_message("I am")
        assert system(ada) == ["You joined as Ada", "Grace joined"]
        assert system(grace) == ["You joined as Grace"]

        redis.stop()
        ada.say("Where is Redis?")
        ada.until_message("Where is Redis?")  # on its own server
        grace.say("Away")
        grace.until_message("Away")
        assert "Away" not in ada.messages
        redis.start()
        ada.until_message("Away")
        grace.until_message("Where is Redis?")
        ada.say("Here again")
        grace.until_message("Here again")
        both = ["Anybody here?", "I am", "Away", "Where is Redis?", "Here again"]
        assert sorted(ada.messages) == sorted(grace.messages) == sorted(both)

        assert servers[0].stop() == 0
        ada.until_state("reconnecting")
        grace.until_members("Grace")
        grace.say("Ada is away")
        grace.until_message("Ada is away")
        ada.say("Where is my server?")
        servers[0].start()
        grace.until_message("Where is my server?")
        ada.until_message("Where is my server?")
        both += ["Ada is away", "Where is my server?"]
        assert sorted(ada.messages) == sorted(grace.messages) == sorted(both)
        assert system(grace) == ["You joined as Grace", "Ada left", "Ada joined"]

        grace.driver.get("about:blank")
        ada.until_members("Ada")
        assert system(ada) == ["You joined as Ada", "Grace joined", "Grace left"]

    def test_page_takes_its_name_back_on_the_other_server(self, ada: Page, grace: Page) -> None:
        """... as it does behind a load balancer, before the first has noticed that it is gone."""
        ada.driver.execute_async_script(JOIN)
        assert grace.driver.execute_async_script(JOIN) == ["Katherine"]
        ada.until(lambda: ada.driver.execute_script("return closeCode") == 4001, "the end of the first")


def system(page: Page) -> list[str]:
    """Who came and went, as the page tells."""
    return page.texts("#messages .system")
