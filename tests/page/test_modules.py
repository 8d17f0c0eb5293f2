"""The page's plain functions, called in the browser."""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clockwork.demo.run import DUMPS
from ingest.reading.records import Record
from ingest.slurm.gpus import NODE_KEYS, node_gpus
from ingest.slurm.keys import NODE
from ingest.slurm.tres import Tres, read_tres
from ingest.sync.fingerprints import FINISHED_STATES
from tests.page.browser import Browser
from tests.page.site import Site
from tests.support.reading import read_lazily

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def browser(chromium_browser: Browser, site: Site) -> Browser:
    """The browser with the page loaded, once for all of these."""
    chromium_browser.open(site.url)
    return chromium_browser


def call(browser: Browser, module: str, expression: str, *arguments: Any) -> Any:
    """What an expression gives with a module's exports as ``m`` and *arguments* as ``a``."""
    script = """
        const [module, expression, a, done] = arguments;
        import(module).then((m) => done(%s)).catch((error) => done(`failed: ${error}`));
    """
    return browser.driver.execute_async_script(
        script % expression, f"./page/{module}.js", expression, list(arguments)
    )


@pytest.mark.parametrize(
    ("hash_text", "view", "arguments"),
    [
        ("", "overview", {}),
        ("#", "overview", {}),
        ("#/", "overview", {}),
        ("#/jobs", "jobs", {}),
        ("#/jobs?user=a%20b&name=x%26y%3Dz", "jobs", {"user": "a b", "name": "x&y=z"}),
        ("#/jobs?user=a&user=b&empty=", "jobs", {"user": "b", "empty": ""}),
        ("#/job?name=%0A%F0%9D%9B%8C%E2%80%AE%", "job", {"name": "\n𝛌\u202e%"}),
    ],
)
def test_addresses(browser: Browser, hash_text: str, view: str, arguments: dict[str, str]) -> None:
    read = call(browser, "frame/address", "m.readHash(a[0])", hash_text)
    assert read == {"view": view, "args": arguments}
    again = call(browser, "frame/address", "m.readHash(m.hashOf(a[0].view, a[0].args))", read)
    assert again == {"view": view, "args": {key: v for key, v in arguments.items() if v}}


def test_several_values(browser: Browser) -> None:
    values = ["a", "b,c", "d\\", "\\,", "é 𝛌", ",,", "e\nf"]
    written = call(browser, "frame/address", "a.map(m.oneValue).join(',')", *values)
    assert written.startswith("a,b\\,c,d\\\\,")
    assert call(browser, "frame/address", "m.severalValues(a[0])", written) == values


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        *(("m.length(0)", "0 s"), ("m.length(59.4)", "59 s"), ("m.length(60)", "1 min")),
        *(("m.length(3599)", "59 min 59 s"), ("m.length(7500)", "2 h 5 min")),
        *(("m.length(86400 * 400)", "1 y 35 d"), ("m.length(86400 + 30)", "1 d")),
        *(("m.length(-5)", "0 s"), ("m.grouped(1234567)", "1,234,567")),
        *(("m.counted(1, 'job')", "1 job"), ("m.counted(0, 'job')", "0 jobs")),
        *(("m.memory(191000)", "187 GiB"), ("m.memory(512)", "512 MiB")),
        *(("m.memory(1536)", "1.5 GiB"), ("m.memory(NaN)", None)),
        ("m.clusterTime('2021-11-13T00:56:47-05:00')", "2021-11-13 00:56"),
        ("m.clusterTime('Unknown')", None),
        ("m.clusterTime('2021-11-13Tomorrow')", None),
        ("m.moment('1636783007')", None),
        ("m.distance(Date.UTC(2021), Date.UTC(2021, 0, 1, 2))", "2 h ago"),
        ("m.distance(Date.UTC(2021, 0, 1, 2), Date.UTC(2021))", "in 2 h"),
        (
            "m.plain('a\\u001b[31m\\n\\u202e\\u200b\\ufeff\\u{e0041}z')",
            "a\\x1b[31m\\n\\u{202e}\\u{200b}\\u{feff}\\u{e0041}z",
        ),
        ("m.plain('\\ud800x')", "\\u{d800}x"),
        ("m.plain('né 𝛌 🎉 日本語')", "né 𝛌 🎉 日本語"),
    ],
)
def test_words(browser: Browser, expression: str, said: str | None) -> None:
    assert call(browser, "words/text", expression) == said


def segments(browser: Browser, counts: list[int], most: int = 0) -> list[dict[str, float]]:
    parts = [{"count": count} for count in counts]
    drawn: list[dict[str, float]] = call(
        browser, "parts/drawing", "m.segments(a[0], a[1])", parts, most
    )
    return drawn


def test_segments_fill_the_line(browser: Browser) -> None:
    assert segments(browser, []) == segments(browser, [0, 0]) == []
    for counts in ([1], [3, 1], [10**6, 1, 1], [0, 5], list(range(1, 400))):
        drawn = segments(browser, counts)
        assert [each["count"] for each in drawn] == [count for count in counts if count]
        assert drawn[0]["x"] == 0
        assert drawn[-1]["x"] + drawn[-1]["width"] == pytest.approx(100)
        for one, other in pairwise(drawn):
            assert one["width"] > 0
            assert one["x"] + one["width"] < other["x"]
    assert segments(browser, [10**6, 1])[1]["width"] > 0.7
    [half] = segments(browser, [5], most=10)
    assert half["width"] == pytest.approx(50)


def test_tres_as_the_ingest_reads_it(browser: Browser) -> None:
    texts = sorted({text for path in DUMPS.rglob("nodes_*.txt") for text in tres_in(path)})
    assert len(texts) > 20
    read = call(browser, "slurm/tres", "a.map(m.readTres)", *texts)
    for text, found in zip(texts, read, strict=True):
        known = read_tres(text) or Tres()
        assert found["cpus"] == (known.cpus or 0), text
    assert call(browser, "slurm/tres", "m.readTres('cpu=1,mem=1.5G').memory") == 1536
    assert call(browser, "slurm/tres", "m.readTres(null)") == {"cpus": 0, "memory": 0}


def test_gpus_as_the_ingest_counts_them(browser: Browser) -> None:
    nodes = [node for path in DUMPS.rglob("nodes_*.txt") for node in nodes_in(path)]
    for text in ("gpu:tesla:no_consume:4", "gpu:a100", "gpu,mps:400", "gpu:2(S:0,2),gpu:a100:1"):
        nodes += [{"gres": text}, {"cfg_tres": "cpu=1", "gres": text, "gres_used": "gpu:1(IDX:0)"}]
    nodes += [{"cfg_tres": "gres/gpu:a=2,gres/gpu:b=1", "alloc_tres": text} for text in (None, "")]
    nodes += [{"cfg_tres": "gres/gpu=4", "gres": "gpu:4"}, {"gres": "gpux:4"}, {"gres": None}]
    read = call(browser, "slurm/tres", "a.map(m.nodeGpus)", *nodes)
    assert {"total": 4, "allocated": None} in read
    for slurm, found in zip(nodes, read, strict=True):
        gpus = node_gpus(slurm)
        assert found == {"total": gpus.total, "allocated": gpus.allocated}, slurm


def nodes_in(path: Path) -> Iterator[dict[str, Any]]:
    """The keys of each node of a dump that tell of its GPUs."""
    for each in read_lazily([path.read_bytes()], NODE):
        if isinstance(each, Record):
            yield {key: each.slurm[key] for key in NODE_KEYS if key in each.slurm}


def tres_in(path: Path) -> set[str]:
    records = read_lazily([path.read_bytes()], NODE)
    pairs = [pair for each in records if isinstance(each, Record) for pair in each.raw.pairs]
    return {pair.value for pair in pairs if pair.key in {"CfgTRES", "AllocTRES"} and pair.value}


def test_states(browser: Browser) -> None:
    finished = call(browser, "slurm/states", "a.map(m.isFinished)", *sorted(FINISHED_STATES))
    assert finished == [True] * len(FINISHED_STATES)
    unfinished = ["PENDING", "RUNNING", "COMPLETING", "SUSPENDED", "", None, "constructor"]
    assert not any(call(browser, "slurm/states", "a.map(m.isFinished)", *unfinished))
    tones = call(browser, "slurm/states", "a.map(m.jobTone)", "RUNNING", "FAILED", "NEW_ONE", None)
    assert tones == ["go", "bad", "off", "off"]
    nodes = {
        "IDLE": "good",
        "MIXED": "half",
        "ALLOCATED+COMPLETING": "go",
        "IDLE+DRAIN": "odd",
        "DOWN*": "bad",
        "DOWN+DRAIN": "bad",
        "IDLE+CLOUD+POWERED_DOWN": "off",
        "IDLE+PLANNED": "wait",
        "MIXED+NOT_RESPONDING": "bad",
        "SOMETHING": "off",
    }
    assert call(browser, "slurm/states", "a.map(m.nodeTone)", *nodes) == list(nodes.values())


def test_run_times(browser: Browser) -> None:
    start, end, now = (
        "2021-11-13T01:00:00-05:00",
        "2021-11-13T03:00:00-05:00",
        "Date.UTC(2021, 10, 13, 7)",
    )

    def run_time(state: str, start: str = start, **cw: str) -> float | None:
        job = {"slurm": {"job_state": state, "start_time": start, "end_time": end}, "cw": cw}
        seconds: float | None = call(browser, "slurm/job_facts", f"m.runTime(a[0], {now})", job)
        return seconds

    assert run_time("RUNNING") == 3600
    assert run_time("COMPLETED") == 7200
    assert run_time("COMPLETED", vanished="2021-11-13T09:00:00Z") == 7200
    assert run_time("RUNNING", vanished="2021-11-13T09:00:00Z") is None
    assert run_time("PENDING") is None
    assert run_time("RUNNING", "Unknown") is None
    assert run_time("RUNNING", end) is None


def test_links_and_questions(browser: Browser) -> None:
    link = '</a/b?limit=2&cursor=x%2Cy>; rel="next"'
    assert call(browser, "frame/client", "m.nextPage(a[0]).get('cursor')", link) == "x,y"
    for other in (None, "", '</a>; rel="prev"', "</a>"):
        assert call(browser, "frame/client", "m.nextPage(a[0])", other) is None
    asked = call(
        browser, "frame/client", "m.addressOf('jobs/list', a[0])", {"user": "a&b", "name": ""}
    )
    assert asked == "api/v1/cluster/jobs/list?user=a%26b"
