"""The page's plain functions, called in the browser."""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from clockwork.demo.run import DUMPS
from ingest.documents.fingerprints import FINISHED_STATES
from ingest.reading.records import Record
from ingest.slurm.gpus import NODE_KEYS, node_gpus
from ingest.slurm.keys import NODE
from ingest.slurm.tres import Tres, read_tres
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
        const address = new URL(module, document.querySelector("script[src]").src);
        import(address).then((m) => done(%s)).catch((error) => done(`failed: ${error}`));
    """
    return browser.driver.execute_async_script(
        script % expression, f"{module}.js", expression, list(arguments)
    )


@pytest.mark.parametrize(
    ("states", "words"),
    [
        ("RUNNING PENDING COMPLETED", "1 running, 1 waiting, 1 ended within a week"),
        (
            "RUNNING SUSPENDED STOPPED PENDING",
            "1 running, 2 suspended, 1 waiting, 0 ended within a week",
        ),
        ("", "0 running, 0 waiting, 0 ended within a week"),
    ],
)
def test_a_suspended_job_does_not_run(browser: Browser, states: str, words: str) -> None:
    jobs = [{"slurm": {"job_state": each}, "cw": {}} for each in states.split()]
    assert call(browser, "views/mine", "m.inShort(a)", *jobs) == words


@pytest.mark.parametrize(
    ("hash_text", "view", "arguments"),
    [
        ("", "home", {}),
        ("#", "home", {}),
        ("#/", "home", {}),
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
        *(("m.memory(191000)", "187\u00a0GiB"), ("m.memory(512)", "512\u00a0MiB")),
        *(("m.memory(1536)", "1.5\u00a0GiB"), ("m.memory(NaN)", None)),
        ("m.moment('Unknown')", None),
        ("m.moment('2021-11-13Tomorrow')", None),
        ("m.clock(new Date(2021, 10, 3, 4, 5).getTime())", "2021-11-03 04:05"),
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
    plain = "plain" in expression
    module = "words/text" if plain else "words/words" if "ed(" in expression else "words/times"
    assert call(browser, module, expression) == said


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
    assert call(browser, "slurm/tres", "m.readTres(null)") == {"cpus": 0, "memory": 0, "nodes": 0}


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


POWERED_BY_SLURM = (
    *("IDLE+CLOUD+POWERED_DOWN", "IDLE+CLOUD+POWERING_DOWN", "IDLE+CLOUD+POWER_DOWN"),
    *("IDLE+CLOUD+POWERING_UP", "MIXED+CLOUD+NOT_RESPONDING+POWERING_UP", "IDLE+CLOUD+POWER_UP"),
    *("IDLE+CLOUD+POWER", "IDLE#+CLOUD", "IDLE~+CLOUD", "ALLOCATED#", "IDLE%", "IDLE!"),
)


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
        "IDLE+CLOUD+NOT_RESPONDING+POWERING_DOWN": "off",
        "IDLE+CLOUD+POWER_DOWN": "off",
        "IDLE+CLOUD+POWER": "off",  # up to 20.11
        "DOWN+CLOUD+POWERED_DOWN": "bad",
        "IDLE+CLOUD+NOT_RESPONDING+POWERING_UP": "wait",
        "IDLE#+CLOUD": "wait",
        "IDLE+DYNAMIC_FUTURE": "good",
        "FUTURE": "wait",
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


def test_a_job_that_is_completing_runs_no_longer(browser: Browser) -> None:
    slurm = {"start_time": "2001-09-09T01:00:40Z", "end_time": "2001-09-09T01:10:40Z"}

    def run_time(state: str, now: int) -> float | None:
        job = {"slurm": {**slurm, "job_state": state}, "cw": {}}
        seconds: float | None = call(browser, "slurm/job_facts", "m.runTime(a[0], a[1])", job, now)
        return seconds

    later, meanwhile = 1_000_000_000_000, 999_999_000_000  # 01:46:40 and 01:30:00
    assert run_time("COMPLETING", later) == 600
    assert run_time("RUNNING", later) == 46 * 60
    del slurm["end_time"]
    assert run_time("COMPLETING", meanwhile) == 29 * 60 + 20
    slurm |= {"end_time": "2001-09-09T01:10:40Z", "exit_code": "1:0"}
    job = {"slurm": {**slurm, "job_state": "COMPLETING"}}
    said = call(
        browser, "views/job_in_words", f"m.jobInWords({{ ...a[0], cw: {{}} }}, {later})", job
    )
    assert said == "It ran for 10 min. Its exit code was 1."


def test_suspended_time_is_not_run_time(browser: Browser) -> None:
    now = 1_000_000_000_000

    def run_time(state: str, end: int) -> float | None:
        iso = {name: f"2001-09-09T01:{minute:02d}:40Z" for name, minute in (("s", 0), ("r", 30))}
        slurm: dict[str, object] = {
            "job_state": state,
            "start_time": iso["s"],
            "suspend_time": iso["r"],
        }
        slurm |= {"secs_pre_suspend": 600, "end_time": f"2001-09-09T01:{end:02d}:40Z"}
        job = {"slurm": slurm, "cw": {}}
        seconds: float | None = call(browser, "slurm/job_facts", "m.runTime(a[0], a[1])", job, now)
        return seconds

    assert run_time("SUSPENDED", 59) == 600
    assert run_time("RUNNING", 59) == 600 + 16 * 60
    assert run_time("COMPLETED", 40) == 600 + 10 * 60


def test_tables_say_whose_data_is_old_and_run_times_stop_there(browser: Browser) -> None:
    def cluster(name: str, *, up: bool | None, last: str | None) -> dict[str, Any]:
        return {"name": name, "up": up, "rounds": {"jobs": {"last_success": last}}}

    last, now = "2001-09-09T01:16:40Z", 1_000_000_000_000
    clusters = [cluster("fresh", up=True, last=last), cluster("new", up=False, last=None)]
    clusters += [cluster("stale", up=False, last=last), cluster("retired", up=None, last=last)]
    names = ["fresh", "new", "stale", "retired", "unknown"]
    known = call(
        browser, "slurm/job_facts", "a[2].map(m.knownUntil(a[0], a[1]))", clusters, now, names
    )
    assert known == [now, now, now - 1_800_000, now - 1_800_000, now]
    lines = "[...m.staleness(a).children].map((line) => line.textContent)"
    new, stale, retired = call(browser, "parts/parts", lines, *clusters)
    assert new == "new: not read yet."
    assert re.fullmatch(
        r"stale: as of 2001-09-09 \d\d:\d\d\. It was last reached \d+ y .* ago\.", stale
    )
    assert retired.endswith("Clockwork no longer reads this cluster.")
    assert call(browser, "parts/parts", "m.staleness(a)", clusters[0]) is None


@pytest.mark.parametrize(
    ("slurm", "cpus", "memory", "gpus", "types"),
    [
        ({"tres": "cpu=4,mem=16G,node=1,gres/gpu=2,gres/gpu:a100=2"}, 4, 16384, 2, ["a100"]),
        ({"req_tres": "cpu=4,mem=16G", "alloc_tres": "cpu=2,mem=512M"}, 2, 512, 0, []),
        (
            {
                "num_cpus": "8",
                "num_nodes": "2-2",
                "min_memory_node": "4G",
                "tres_per_node": "gpu:4",
            },
            *(8, 8192, 8, []),
        ),
        (
            {"num_cpus": "2", "min_memory_cpu": "1500M", "job_gres": "gpu:v100:1"},
            2,
            3000,
            1,
            ["v100"],
        ),
        ({}, None, None, 0, []),
    ],
)
def test_resources(
    browser: Browser, slurm: dict[str, str], cpus: int, memory: int, gpus: int, types: list[str]
) -> None:
    found = call(browser, "slurm/job_facts", "m.resources(a[0])", slurm)
    assert (found["cpus"], found["memory"], found["gpus"], found["types"]) == (
        *(cpus, memory, gpus, types),
    )


@pytest.mark.parametrize(
    ("slurm", "written"),
    [
        ({"job_id": "7"}, "7"),
        ({"job_id": "7", "array_job_id": "4", "array_task_id": "3"}, "4_3"),
        ({"job_id": "5", "array_job_id": "5", "array_task_id": "8-498%1"}, "5_[8-498%1]"),
        ({"job_id": "27", "het_job_id": "26", "het_job_offset": "1"}, "26+1"),
    ],
)
def test_ids_as_squeue_writes_them(browser: Browser, slurm: dict[str, str], written: str) -> None:
    assert call(browser, "slurm/ids", "m.squeueId(a[0])", slurm) == written
    assert call(browser, "slurm/ids", "m.typedId(a[0])", f" mila/{written} ")["cluster"] == "mila"
    for other in ("", "train", "cn-a001", "4_", "4_x", "\u0664", "1e5"):
        assert call(browser, "slurm/ids", "m.typedId(a[0])", other) is None, other


def test_rows_that_are_folded(browser: Browser) -> None:
    array = [
        {"cluster_name": name, "job_id": str(i), "array_job_id": "4"}
        for name in "ab"
        for i in (4, 5)
    ]
    het = [{"cluster_name": "a", "job_id": str(i), "het_job_id": "26"} for i in (26, 27)]
    alone = [{"cluster_name": name, "job_id": "4"} for name in "ab"]
    jobs = [{"slurm": slurm} for slurm in array + alone + het]
    groups = call(browser, "slurm/ids", "m.grouped(a).map((group) => group.jobs.length)", *jobs)
    assert groups == [2, 2, 1, 1, 2]


def test_dependencies_lead_to_their_jobs(browser: Browser) -> None:
    text = "afterok:1(unfulfilled),afterany:7_3:8_*,after:26+30?singleton"
    parts = call(browser, "slurm/ids", "m.dependencyParts(a[0])", text)
    assert [part["text"] for part in parts if part["isId"]] == ["1", "7_3", "8_*", "26"]
    assert "".join(part["text"] for part in parts) == text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("cn-a[001-003,7],login1", ["cn-a001", "cn-a002", "cn-a003", "cn-a7", "login1"]),
        ("r[1-2]n[3-4]", ["r1n3", "r1n4", "r2n3", "r2n4"]),
        ("a", ["a"]),
        *(("a[1", None), ("a[1-100000]", None), ("a[x]", None), ("", [])),
    ],
)
def test_lists_of_hosts(browser: Browser, text: str, names: list[str] | None) -> None:
    assert call(browser, "slurm/hostlist", "m.expanded(a[0])", text) == names


def test_what_is_free_on_a_node(browser: Browser) -> None:
    tres = {"cfg_tres": "cpu=8,mem=16G,gres/gpu=4,gres/gpu:a=4", "alloc_tres": "cpu=2,gres/gpu=1"}

    def free(state: str, **cw: str) -> list[int]:
        node = {"slurm": {**tres, "state": state}, "cw": cw}
        facts = (
            "((f) => [f.cpus.free, f.memory.free, f.gpus.free, f.types.a.free])(m.nodeFacts(a[0]))"
        )
        found: list[int] = call(browser, "slurm/node_facts", facts, node)
        return found

    for state in ("MIXED", "IDLE+PLANNED", "IDLE+CLOUD", "IDLE+DYNAMIC_FUTURE"):
        assert free(state) == [6, 16384, 3, 3]
    for state in ("DOWN*", "MIXED+DRAIN", "IDLE+MAINT", "RESERVED", "FUTURE", *POWERED_BY_SLURM):
        assert free(state) == [0, 0, 0, 0]
    assert free("MIXED", vanished="2021-11-13T09:00:00Z") == [0, 0, 0, 0]


def test_a_file_for_spreadsheets(browser: Browser) -> None:
    row = ["=1+1", "+x", "@y", "-z", 'say "hi"', "a,b\n", None, -5, "é", "a;=1"]
    text = call(browser, "parts/csv", "m.csv(a[0], [a[1]])", ["n"], row)
    assert text == 'n\r\n\'=1+1,\'+x,\'@y,\'-z,"say ""hi""","a,b\n",,-5,é,a;\'=1\r\n'


def test_what_an_owner_types_is_json_or_text(browser: Browser) -> None:
    for value, written in (("9007199254740993", "9007199254740993"), ("0.5", "0.5"), ("a", '"a"')):
        assert (
            call(browser, "views/owners_part", "m.pairs(...a)", "k", value) == f'{{"k":{written}}}'
        )


def test_the_language_of_the_page(browser: Browser) -> None:
    for languages, spoken in (
        (["fr-CA", "en"], "fr"),
        (["de", "FR"], "fr"),
        (["de"], "en"),
        ([], "en"),
    ):
        assert call(browser, "words/words", "m.preferred(a)", *languages) == spoken


def test_links_and_questions(browser: Browser) -> None:
    link = '</a/b?limit=2&cursor=x%2Cy>; rel="next"'
    assert call(browser, "frame/client", "m.nextPage(a[0]).get('cursor')", link) == "x,y"
    for other in (None, "", '</a>; rel="prev"', "</a>"):
        assert call(browser, "frame/client", "m.nextPage(a[0])", other) is None
    asked = call(
        browser, "frame/client", "m.addressOf('jobs/list', a[0])", {"user": "a&b", "name": ""}
    )
    assert asked == "api/v1/cluster/jobs/list?user=a%26b"


def test_a_task_of_a_very_large_array_is_found(browser: Browser) -> None:
    asks = """async (path, given) => {
        const task = (id) => ({ slurm: { array_job_id: 4711, array_task_id: String(id) } });
        if (given.job_id) return { body: given.job_id === "4711_1500" ? [task(1500)] : [] };
        return { body: Array.from({ length: Number(given.limit) }, (_, id) => task(id)) };
    }"""
    for typed in ("mila/4711_1500", "mila/4711_1500.batch"):
        found = call(browser, "views/find", f"m.findView({{ q: a[0] }}).ask({asks})", typed)
        assert [job["slurm"]["array_task_id"] for job in found["jobs"]] == ["1500"]


def test_links_to_the_jobs_of_a_user_of_a_domain(browser: Browser) -> None:
    """The filter `user` takes one name, as it is; `account` takes several."""
    link = "m.jobsOf(a[0], a[1], 'mila').getAttribute('href')"
    read = "Object.fromEntries(new URLSearchParams(a[0].split('?')[1]))"
    for key, written in (("user", "LAB\\ada"), ("account", "LAB\\\\ada")):
        address = call(browser, "views/job_links", link, key, "LAB\\ada")
        assert call(browser, "words/times", read, address)[key] == written
    given = {"user": "LAB\\ada,b"}
    bar = "m.filterBar('jobs', a[0], a[1], () => null).node"
    chips = f"[...{bar}.querySelectorAll('.chip bdi')].map((chip) => chip.textContent)"
    field = {"name": "user", "title": "User", "kind": "one"}
    assert call(browser, "parts/filters", chips, [field], given) == ["LAB\\ada,b"]


def test_counts_of_a_page_that_is_not_all(browser: Browser) -> None:
    jobs = [{"slurm": {"job_state": "PENDING", "cluster_name": "mila"}, "cw": {}}] * 500
    said = """(() => {
        const account = { mila_email_username: "a@b", username: "a" };
        const view = m.mineView({}, () => {}, { account });
        const headers = new Headers(a[1] ? { Link: '<jobs/list?cursor=x>; rel="next"' } : {});
        return view.show({ jobs: { body: a[0], headers }, clusters: { body: [] } });
    })()"""
    counts = "0 running, 500 waiting, 0 ended within a week"
    assert call(browser, "views/mine", said, jobs, False) == counts
    assert call(browser, "views/mine", said, jobs, True) == f"the first 500 jobs: {counts}"


def test_a_tab_whose_token_is_refused_lets_another_follow_the_changes(browser: Browser) -> None:
    script = """new Promise((found) => {
        const refused = Object.assign(new Error(), { status: 401 });
        const body = { cursor: "c", changed: [], gone: [] };
        const asks = { ask: async (path) => { found(path); return { body }; } };
        const ends = [{ ask: () => Promise.reject(refused) }, asks].map((client) =>
            m.followChanges(client, "one account", () => {}));
        setTimeout(() => { for (const end of ends) end(); found("nothing"); }, 20000);
    })"""
    assert call(browser, "frame/live", script) == "jobs/changes"
