"""The benchmark: wsdriver beside its peers, in one run, on pinned cores. Start it with ``python -m tests.bench``."""
