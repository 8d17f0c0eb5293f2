"""Hold a load of dashboards, writers and clusters for a long time; find what grows."""

import threading
from collections.abc import Sequence
from statistics import median, quantiles

import psutil

from tests.chaos.killing import Scene
from tests.chaos.report import Section
from tests.chaos.up import Up

SAMPLES = 40
"""Looks at each process, spread over the whole time."""
MOST_GROWTH = 1.15
"""Memory of a process at the end, in parts of what it was after a third of the time."""

CACHE_MIB = 1280
"""Up to which the embedded database may grow whatever the load: its cache of 1 GiB and itself."""

Sample = dict[str, tuple[int, int, int]]
"""A process's resident bytes, open files and threads, by its name."""


def run(
    here: Scene,
    seconds: float,
    *,
    interval: float,
    dashboards: int = 50,
    writers: int = 10,
    pause: float = 5.0,
) -> Section:
    """Hold the load for *seconds*; each client waits *pause* seconds between two requests."""
    section = Section(
        "Load for a long time",
        f"`clockwork up` scrapes {len(here.clusters)} clusters every {interval:g} s. "
        f"{dashboards} dashboards and {writers} writers wait {pause:g} s between two requests, "
        f"for {seconds / 60:.1f} minutes. The figures at the start are those of the end of the "
        "first third. The embedded database fills a cache of 1 GiB in its first hours.",
    )
    here.new_versions()
    clients = here.clients(seed=1, pause=pause)
    before = _rounds(here)
    with clients.working(writers, dashboards):
        samples = _watch(here.up, seconds)
    after = _rounds(here)
    section.problems += here.look(clients)
    wrong = {name: count for name, count in clients.answers.items() if name != "200"}
    if set(wrong) - {"404"}:  # a writer's job may not be in the database yet
        section.problems.append(f"not all was answered well: {wrong}, {clients.details}")
    if after[1] > before[1]:
        section.problems.append(f"{after[1] - before[1]} rounds failed")
    section.figure("requests answered", clients.answers["200"])
    section.figure("requests that failed", sum(wrong.values()) - wrong.get("404", 0))
    section.figure("lists refused for a moment and asked again", clients.told_to_ask_again)
    section.figure("time of an answer", _times(clients.seconds))
    section.figure("updates acknowledged, none of them lost", clients.acknowledged_count)
    section.figure("good rounds", after[0] - before[0])
    section.figure("failed rounds", after[1] - before[1])
    section.tables.append(_growth(samples, section.problems))
    return section


def _rounds(here: Scene) -> tuple[int, int]:
    with here.store() as store:
        return (
            store.round_log.count_documents({"ok": True}),
            store.round_log.count_documents({"ok": False}),
        )


def _watch(up: Up, seconds: float) -> list[Sample]:
    samples = []
    for _ in range(SAMPLES):
        threading.Event().wait(seconds / SAMPLES)
        samples.append({name: _sample(process) for name, process in up.processes().items()})
    return samples


def _sample(process: psutil.Process) -> tuple[int, int, int]:
    with process.oneshot():
        return process.memory_info().rss, process.num_fds(), process.num_threads()


def _growth(samples: Sequence[Sample], problems: list[str]) -> list[Sequence[str]]:
    """The figures of every process at the start and at the end, as medians of several looks."""
    rows: list[Sequence[str]] = [
        (
            "process",
            "MiB at the start",
            "at the end",
            "files",
            "at the end",
            "threads",
            "at the end",
        )
    ]
    third, some = len(samples) // 3, max(3, len(samples) // 8)
    start, end = samples[third : third + some], samples[-some:]
    for name in samples[-1]:
        cells = [name]
        for number in range(3):
            first, last = (_middle(part, name, number) for part in (start, end))
            unit = 1 << 20 if number == 0 else 1
            cells += [f"{first / unit:.0f}", f"{last / unit:.0f}"]
            slack = 16 << 20 if number == 0 else 8
            fills_cache = name == "database" and number == 0 and last < CACHE_MIB << 20
            if last > first * MOST_GROWTH + slack and not fills_cache:
                problems.append(f"{name} grows: {rows[0][1 + 2 * number]} {first}, then {last}")
        rows.append(cells)
    return rows


def _middle(samples: Sequence[Sample], name: str, number: int) -> float:
    return median(sample[name][number] for sample in samples if name in sample)


def _times(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "none"
    cuts = quantiles(seconds, n=100)
    return f"median {cuts[49] * 1000:.0f} ms, 95 of 100 within {cuts[94] * 1000:.0f} ms"
