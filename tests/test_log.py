"""The logger of all of this."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from wsdriver.log import log


class Raising(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(28, "No space left on device")


def test_handler_that_raises_harms_nobody() -> None:
    logger = logging.getLogger("wsdriver")
    handler = Raising()
    logger.addHandler(handler)
    try:
        for tell in (log.warning, log.error):
            tell("there is no room for %s", "this")
        try:
            raise ValueError
        except ValueError:
            log.exception("nor for a traceback")
    finally:
        logger.removeHandler(handler)


def test_record_has_the_line_of_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    log.error("here: %d", 1)
    log.exception("and here", exc_info=None)
    assert [record.getMessage() for record in caplog.records] == ["here: 1", "and here"]
    assert {(record.name, record.filename, record.funcName) for record in caplog.records} == {
        ("wsdriver", Path(__file__).name, "test_record_has_the_line_of_the_caller")
    }


def test_level_that_is_off_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "wsdriver"):
        log.info("nothing")
    assert caplog.records == []
