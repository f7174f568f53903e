"""Every server that wsdriver runs under, each started for real, all held to the same tests.

``rows`` is the table of the servers, ``app`` what they serve, ``serve`` runs those that are no programs of their own.
"""
