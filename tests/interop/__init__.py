"""The libraries of others as peers, in processes of their own."""

import pytest

pytest.register_assert_rewrite("tests.interop.conversations", "tests.interop.originals")
