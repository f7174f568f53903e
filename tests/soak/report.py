"""The tables, and where they go."""

from __future__ import annotations

from pathlib import Path

from tests.bench.report import number, table
from tests.soak.endings import Outcome
from tests.soak.load import Load

BEGIN, END = "<!-- soak:begin -->", "<!-- soak:end -->"


def verdict(faults: list[str]) -> str:
    return "**SHORT**" if faults else "nothing lost"


def explained(rows: list[tuple[str, list[str]]]) -> str:
    """Say what fell short, below a table."""
    lines = [f"- {name}: {fault}" for name, faults in rows for fault in faults]
    return "\n".join(["", "", *lines]) if lines else ""


def of_load(loads: list[Load]) -> str:
    """Return the table of the load."""
    rows = []
    for each in loads:
        spans = [
            f"{number(each.before[what])} / {number(each.full[what])} / {number(each.after[what])}"
            for what in ("descriptors", "greenlets", "watchers")
        ]
        memory = " / ".join(number(figures["resident"]) for figures in (each.before, each.full, each.after))
        rows.append(
            [
                each.title,
                " + ".join(f"{number(count)} {library}" for library, count in each.connections.items()),
                number(sum(each.connections.values()) / each.connecting),
                number(each.seconds),
                number(each.messages[0]),
                number(each.messages[1]),
                number(each.size / 1e6),
                *spans,
                memory,
                verdict(each.faults),
            ]
        )
    head = ["server", "open connections", "opened per s", "seconds", "messages in", "messages out", "MB in"]
    head += ["descriptors: before / full / after", "greenlets", "watchers", "RSS MiB", "verdict"]
    return (
        "### Load\n\nEach connection has its turn, a hundredth of them at a time, and sends numbered messages of"
        " 1 B to 64 KiB, text and binary, some connections with permessage-deflate. The server judges each, sends it"
        " back, and sends one of its own; the client judges both. At the end, both compare how many there were."
        f"\n\n{table(head, rows)}{explained([(each.title, each.faults) for each in loads])}"
    )


def of_endings(outcomes: list[Outcome]) -> str:
    """Return the table of the endings."""
    rows = []
    for each in outcomes:
        counts = [f"{each.before[what]} / {each.after[what]}" for what in ("descriptors", "greenlets", "watchers")]
        codes = ", ".join(str(code) for code in sorted(each.codes)) or "-"
        rows.append(
            [
                each.title,
                each.side,
                number(each.connections),
                number(each.secure),
                number(each.connections / each.seconds),
                number(each.opened),
                number(sum(each.codes.values())),
                codes,
                *counts,
                f"{number(each.objects[0])} / {number(each.objects[1])}",
                number(each.traced / 1024, 1),
                " / ".join(number(size, 1) for size in each.resident),
                verdict(each.faults),
            ]
        )
    head = ["how it ends", "ours is the", "connections", "of them TLS", "per s", "opened", "`close` events", "codes"]
    head += [
        "descriptors: before / after",
        "greenlets",
        "watchers",
        "objects",
        "tracemalloc KiB",
        "RSS MiB: before / half time / after",
        "verdict",
    ]
    faults = [(f"{each.title}, {each.side}", each.faults) for each in outcomes]
    return (
        "### Endings\n\nConnections made and ended in turn, blocking handlers and ones of listeners, both ends in one"
        " process. Opened: with those that warm up before, and those under tracemalloc behind, a tenth as many, twice:"
        " what the second left more than the first is its column. Each that was opened has had one `close` event, and"
        f" the server's own count of endings by code is the same.\n\n{table(head, rows)}{explained(faults)}"
    )


def check(path: Path) -> None:
    """Raise ValueError for a file that is there, but has no place for a report: it is someone's."""
    if path.exists():
        text = path.read_text()
        if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
            raise ValueError(f"{path} exists and has no place for a report between '{BEGIN}' and '{END}'")


def write(path: Path, report: str) -> None:
    """Put the report between the markers of a file; a new file is made of the markers and the report."""
    check(path)
    text = path.read_text() if path.exists() else f"{BEGIN}{END}\n"
    before, _, rest = text.partition(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{report}\n\n{END}{rest.partition(END)[2]}")
