"""A plugin of pytest's for runs that are slow: ``-p tests.support.few_examples`` has Hypothesis try less often."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings

#: Examples of each test; as many as go into the time that ``tests/sanitize.py`` may take.
MOST = 30

#: Where Hypothesis keeps the settings of a test.
KEPT = "_hypothesis_internal_use_settings"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        test: Any = getattr(item, "obj", None)
        test = getattr(test, "__func__", test)  # a method's
        own = getattr(test, KEPT, None)
        if own is not None and own.max_examples > MOST:
            setattr(test, KEPT, settings(own, max_examples=MOST))
