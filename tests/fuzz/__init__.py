"""Fuzzing: functions of bytes that raise where a promise of the driver's is broken, and engines that look for them.

::

    python -m tests.fuzz                                   every target for ten minutes
    python -m tests.fuzz --target frames --seconds 3600

``targets`` has one module for each, ``corpus`` what each begins with and whatever has found something; the suite
replays that (``test_corpus.py``). A target takes the compiled modules and their plain twins through the same bytes
(``worlds.py``), and they have to agree.
"""
