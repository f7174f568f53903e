"""The long runs: many connections with traffic, and many that end in every way. ``python -m tests.soak --help``"""
