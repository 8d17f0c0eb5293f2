"""The page in a real browser, over the real API and a database that scrapes have filled."""

import csv
import json
import re
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

import pytest
from selenium.webdriver import Keys

from tests.page.browser import Browser
from tests.page.site import (
    BREAKS_OUT,
    EMAIL,
    STARTED_JOB,
    SWEEP,
    TOKENS_OWNER_JOB,
    UNCOUNTED_NODE,
    Site,
)
from tests.page.visits import differs, ids, job_ids, show, shows, sign_in

pytestmark = pytest.mark.browser

# --- signing in -----------------------------------------------------------------------------------


def test_signing_in_and_out(browser: Browser, site: Site) -> None:
    browser.open(f"{site.url}#/jobs?partition=long")
    sign_in(browser, "")
    browser.wait_for("#refusal", "Type or paste your token")
    sign_in(browser, "two words")
    browser.wait_for("#refusal", "no spaces")
    assert browser.complaints() == []

    sign_in(browser, "cw_" + "A" * 43)
    browser.wait_for("#refusal", "refused")
    assert browser.run("return sessionStorage.length + localStorage.length") == 0
    assert [each for each in browser.complaints() if " 401 " not in each] == []

    sign_in(browser, site.token)
    browser.one("tbody tr")  # what the link asked for
    assert browser.run("return [sessionStorage.length, localStorage.length]") == [1, 0]
    assert browser.run("return document.cookie") == ""
    assert site.token not in browser.run("return document.documentElement.outerHTML")

    browser.one("#sign-out").click()
    browser.one("#token")
    assert browser.run("return sessionStorage.length + localStorage.length") == 0
    assert not browser.one("#views").is_displayed()


def test_staying_signed_in(browser: Browser, site: Site) -> None:
    browser.open(site.url)
    browser.one("#stay").click()
    sign_in(browser, site.token)
    browser.one(".cluster")
    assert browser.run("return [sessionStorage.length, localStorage.length]") == [0, 1]
    assert browser.texts("#who") == [EMAIL]
    browser.open(site.url)
    browser.one(".cluster")


# --- what is shown is what the API says -----------------------------------------------------------


def legend(browser: Browser, cluster: str, title: str) -> dict[str, int]:
    """The counts beside a picture, by state."""
    part = f'[aria-label="Cluster {cluster}"] [aria-label="{title}"]'
    return read_counts(browser.texts(f"{part} .legend li"))


def read_counts(texts: list[str]) -> dict[str, int]:
    return {name: int(count) for name, count in (text.rsplit(" ", 1) for text in texts)}


def test_the_figures_are_the_apis(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "clusters", ".cluster")
    clusters = site.ask("clusters/list")

    assert [each["name"] for each in clusters] == ["beluga", "mila"]
    assert signed_in.texts(".cluster h2") == ["beluga", "mila"]
    for cluster in clusters:
        name = cluster["name"]
        assert legend(signed_in, name, "Unfinished jobs by state") == cluster["unfinished_jobs"]
        assert legend(signed_in, name, "Nodes by state") == cluster["nodes"]
        part = f'[aria-label="Cluster {name}"] .partitions li'
        bars = zip(signed_in.texts(f"{part} a"), signed_in.texts(f"{part} .number"), strict=True)
        assert {partition: int(count) for partition, count in bars} == {
            partition: sum(counts.values()) for partition, counts in cluster["partitions"].items()
        }
        tres = cluster["tres"]
        told = signed_in.texts(f'[aria-label="Cluster {name}"] .allocated small')
        gpus = "unknown" if tres["allocated_gpus"] is None else tres["allocated_gpus"]
        assert told == [
            f"{tres['allocated_cpus']} of {tres['cpus']}",
            f"{gpus} of {tres['gpus']}",
        ]
        assert signed_in.texts(f'[aria-label="Cluster {name}"] > header .state') == ["up to date"]


def test_gpus_of_unknown_use(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, f"nodes?name={UNCOUNTED_NODE}", "tbody tr")
    assert any("unknown of 4" in text for text in signed_in.texts("tbody td.measure"))


def test_the_time_whose_jobs_are_all_known(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "clusters", '[aria-label="Cluster mila"] .known')

    assert signed_in.texts('[aria-label="Cluster mila"] .known > *') == [
        "Every job is known that ended since 1970-01-01 00:15.",
        "Jobs may be missing that ended from 1970-01-01 00:13 to 1970-01-01 00:15.",
        "Jobs may be missing that ended from 1970-01-01 00:10 to 1970-01-01 00:11.",
        "Jobs may be missing that ended from 1970-01-01 00:06 to 1970-01-01 00:08.",
        "There are earlier gaps: 2.",
    ]
    assert signed_in.texts('[aria-label="Cluster beluga"] .known') == []


def test_a_picture_is_drawn_to_scale(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "clusters", ".cluster")
    drawn = signed_in.run("""
        const bar = document.querySelector(
            '[aria-label="Cluster mila"] [aria-label="Unfinished jobs by state"] svg');
        return [bar.ariaLabel, [...bar.querySelectorAll("rect:not(.track)")].map((rect) =>
            [rect.textContent, rect.getBoundingClientRect().width, getComputedStyle(rect).fill])];
    """)
    label, parts = drawn
    mila = site.ask("clusters/list")[1]["unfinished_jobs"]

    assert label == "Unfinished jobs by state: " + ", ".join(
        f"{state} {mila[state]}" for state in ("RUNNING", "PENDING")
    )
    (running, running_width, blue), (pending, pending_width, amber) = parts
    assert (running, pending) == (f"RUNNING: {mila['RUNNING']}", f"PENDING: {mila['PENDING']}")
    assert running_width / pending_width == pytest.approx(mila["RUNNING"] / mila["PENDING"], 0.01)
    assert blue != amber


def test_a_picture_leads_to_its_jobs(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "clusters", ".cluster")
    signed_in.one('[aria-label="Cluster mila"] .legend a').click()
    running = site.ask("clusters/list")[1]["unfinished_jobs"]["RUNNING"]

    signed_in.wait_for(".page-title", f"{running} jobs")
    assert set(signed_in.texts("tbody .state")) == {"RUNNING"}
    assert signed_in.texts(".chip") == ["Cluster: mila", "State: RUNNING"]


# --- jobs -----------------------------------------------------------------------------------------


def test_filters_are_the_apis_and_stand_in_the_address(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs", "tbody tr")
    if signed_in.run("return !document.querySelector('.fold').open"):
        signed_in.one(".fold summary").click()
    signed_in.one("#filter-user").send_keys("milauser12", Keys.TAB)
    signed_in.wait_for(".chip", "milauser12")
    signed_in.one("#filter-partition").send_keys("long,main", Keys.ENTER)
    signed_in.wait_for(".chip", "main")
    wanted = {"user": "milauser12", "partition": "long,main", "time": "0"}
    signed_in.one("input[value=RUNNING]").click()
    signed_in.wait_for(".chip", "RUNNING")
    wanted["job_state"] = "RUNNING"
    found = [job["slurm"]["job_id"] for job in site.ask("jobs/list", **wanted, sort="-submit_time")]

    signed_in.wait(lambda: job_ids(signed_in) == found)
    assert found
    address = signed_in.driver.current_url
    for part in ("user=milauser12", "partition=long%2Cmain", "job_state=RUNNING"):
        assert part in address
    values = (
        "return [...document.querySelectorAll('#suggested-partition option')].map((o) => o.value)"
    )
    assert "long" in signed_in.run(values)

    signed_in.open(address)  # as somebody does who was sent the link
    signed_in.wait(lambda: job_ids(signed_in) == found)
    signed_in.one(".chip").click()
    signed_in.wait(lambda: len(signed_in.texts(".chip")) == 3)
    signed_in.driver.back()
    signed_in.wait(lambda: len(signed_in.texts(".chip")) == 4)


def test_a_filter_that_the_api_refuses(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?array_job_id=one", ".page-title")
    signed_in.wait_for("#trouble", "array_job_id")
    assert [each for each in signed_in.complaints() if " 400 " not in each] == []

    show(signed_in, site, "jobs?array_job_id=233884", "tbody tr")
    tasks = site.ask("jobs/list", array_job_id="233884", sort="-submit_time")
    signed_in.wait(lambda: job_ids(signed_in) == [job["slurm"]["job_id"] for job in tasks])
    assert signed_in.texts("#trouble p") == []


def test_pages_hold_every_job_once(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?name=sweep&limit=50", "tbody tr")
    seen: list[str] = ids(signed_in)
    for size in (50, SWEEP - 100):
        signed_in.one("a[rel=next]").click()
        signed_in.wait(partial(differs, signed_in, seen[-50:]))
        assert len(ids(signed_in)) == size
        seen += ids(signed_in)
    assert signed_in.texts("a[rel=next]") == []
    assert sorted(seen) == sorted(str(800000 + number) for number in range(SWEEP))
    signed_in.one(".pager a").click()
    signed_in.wait(lambda: ids(signed_in) == seen[:50])


def test_sorting_by_a_column(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?cluster_name=beluga&time=all&limit=1000", "tbody tr")
    for direction, sort in (("ascending", "name"), ("descending", "-name")):
        signed_in.one("th.name .sort").click()
        signed_in.one(f"th[aria-sort={direction}]")
        found = site.ask("jobs/list", cluster_name="beluga", sort=sort)
        wanted = [job["slurm"]["job_id"] for job in found]
        signed_in.wait(partial(shows, signed_in, wanted))
        assert signed_in.focused().startswith("Name")


def test_a_jobs_page(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?partition=fun_partition&cluster_name=mila&time=all", "tbody a")
    signed_in.one("tbody a").click()
    signed_in.wait_for("h1", "somejobname_942640")
    job = site.ask("jobs/one", job_id=TOKENS_OWNER_JOB, cluster_name="mila")

    said = {key: value for key, value in job["slurm"].items() if value not in (None, "")}
    keys = signed_in.texts("[aria-label='All that Slurm says'] th")
    assert keys == list(said)
    values = signed_in.texts("[aria-label='All that Slurm says'] td")
    for key, value in zip(keys, values, strict=True):
        assert value.startswith(str(said[key])), key
    signed_in.one(".all-keys summary").click()
    signed_in.one(".all-keys input").send_keys("stderr")
    lines = "[...document.querySelectorAll('.all-keys tr')]"
    shown = f"return {lines}.filter((each) => each.checkVisibility()).length"
    assert signed_in.run(shown) == 1

    assert signed_in.texts("[aria-label='Notes of the owner'] th") == list(job["user"])
    written = signed_in.texts("[aria-label='Notes of the owner'] td")
    assert written[:2] == ["0.25", "9007199254740993"]  # which JavaScript can't count to
    signed_in.one("#note-key").send_keys("big")
    signed_in.one("#note-value").send_keys("9007199254740995", Keys.ENTER)
    signed_in.wait_for("[aria-label='Notes of the owner'] td", "9007199254740995")
    assert signed_in.run(shown) == 1  # what was unfolded and searched for stays so
    again = site.ask("jobs/one", job_id=TOKENS_OWNER_JOB, cluster_name="mila")
    assert again["user"]["big"] == 9007199254740995


def test_a_jobs_history(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, f"job?job_id={STARTED_JOB}", ".steps")
    steps = site.ask("jobs/history", job_id=STARTED_JOB, cluster_name="mila")["history"]

    assert [step["state"] for step in steps] == ["PENDING", "RUNNING"]
    assert signed_in.texts(".steps .state") == ["PENDING", "RUNNING"]
    shown = [
        each.get_attribute("datetime")
        for each in signed_in.driver.find_elements("css selector", ".steps small time")
    ]
    assert shown == [step["seen"] for step in steps]


def test_a_table_is_saved_for_spreadsheets(signed_in: Browser, site: Site, tmp_path: Path) -> None:
    behaviour = {"behavior": "allow", "downloadPath": str(tmp_path)}
    signed_in.driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)
    for where, name in (("jobs?cluster_name=mila&limit=50", "jobs"), ("nodes", "nodes")):
        show(signed_in, site, where, "tbody tr")
        signed_in.one("[data-key=csv]").click()
        saved = tmp_path / f"{name}.csv"
        signed_in.wait(saved.exists)
        rows = list(csv.DictReader(saved.open(newline="", encoding="utf-8")))
        if name == "jobs":
            assert [row["job_id"] for row in rows] == job_ids(signed_in)
            assert {row["cluster_name"] for row in rows} == {"mila"}
        else:
            assert [row["name"] for row in rows] == ids(signed_in)


def test_ones_own_tokens(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "jobs?limit=50", "tbody tr")
    signed_in.one("#who").click()
    signed_in.one("#token-name").send_keys("laptop", Keys.ENTER)
    made = signed_in.wait(
        lambda: signed_in.run("return document.querySelector('#new-token')?.value")
    )
    signed_in.wait(lambda: "laptop" in signed_in.texts("tbody th bdi"))
    [row] = [text for text in signed_in.texts("tbody tr") if text.startswith("laptop")]
    days = re.search(r"20\d\d-\d\d-\d\d", row)
    assert days is not None
    whoami = urlopen(Request(f"{site.base}whoami", headers={"Authorization": f"Bearer {made}"}))  # noqa: S310
    assert json.load(whoami)["token"]["name"] == "laptop"

    signed_in.one("#token-name").send_keys("laptop", Keys.ENTER)
    signed_in.wait_for("main .error", "laptop")
    assert [each for each in signed_in.complaints() if " 400 " not in each] == []

    signed_in.one("[data-key='revoke laptop']").click()
    signed_in.wait_for("[data-key='revoke laptop']", "Click again")
    signed_in.one("[data-key='revoke laptop']").click()
    signed_in.wait(lambda: "laptop" not in signed_in.texts("tbody th bdi"))
    assert signed_in.texts("#new-token") == []


def test_the_manual_tries_a_call(signed_in: Browser, site: Site) -> None:
    signed_in.open(f"{site.url}api/docs")

    def tried(path: str, **fields: str) -> tuple[int, str]:
        form = f"[data-call*='{path}\"'] "
        signed_in.one(f"{form} summary").click()
        for name, value in fields.items():
            signed_in.one(f"{form} [name={name}]").send_keys(value)
        signed_in.one(f"{form} button").click()
        [answer] = signed_in.wait(lambda: [each for each in signed_in.texts(f"{form} pre") if each])
        status, body = answer.split("\n", 1)
        return int(status.split()[0]), body

    status, body = tried("jobs/one", job_id=TOKENS_OWNER_JOB, cluster_name="mila")
    assert status == 200
    assert json.loads(body)["slurm"]["job_id"] == TOKENS_OWNER_JOB
    status, body = tried("tokens/create", name="tried", expires_in="1")
    assert status == 200
    assert tried("tokens/revoke", name="tried") == (200, '{"revoked":"tried"}')
    signed_in.run("sessionStorage.clear()")
    assert tried("whoami")[0] == 401
    assert [each for each in signed_in.complaints() if " 401 " not in each] == []


@pytest.mark.parametrize(
    ("text", "where", "part"),
    [
        (f"mila/{STARTED_JOB}", "h1", "sweep lr=0.1"),
        (STARTED_JOB, "h1", "sweep lr=0.1"),
        ("7", "main", "No cluster has a job of this id"),
        ("cn-a001", "h1", "cn-a001"),
        ("milauser12", "main", "Jobs of this user"),
        (BREAKS_OUT, "main", "Jobs with this name"),
    ],
)
def test_searching(signed_in: Browser, site: Site, text: str, where: str, part: str) -> None:
    show(signed_in, site, "clusters", ".cluster")
    signed_in.one("#find-text").send_keys(text, Keys.ENTER)
    signed_in.wait_for(where, part)


def test_an_id_that_two_clusters_have(signed_in: Browser, site: Site) -> None:
    job = site.store.jobs.find_one({"_id": f"mila/{STARTED_JOB}"})
    assert job is not None
    other = {**job, "_id": f"beluga/{STARTED_JOB}"}
    other["slurm"] = {**job["slurm"], "cluster_name": "beluga"}
    site.store.jobs.insert_one(other)
    try:
        show(signed_in, site, f"job?job_id={STARTED_JOB}", ".steps")
        links = [f"{cluster}/{STARTED_JOB}" for cluster in ("beluga", "mila")]
        assert signed_in.texts(".steps a") == links
        assert signed_in.texts("#trouble p") == []
        signed_in.one(".steps a").click()
        signed_in.wait_for(".job > header p", f"Job {STARTED_JOB} on beluga")
    finally:
        site.store.jobs.delete_one({"_id": other["_id"]})


def test_nodes(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "nodes?cluster_name=mila", "tbody tr")
    nodes = site.ask("nodes/list", cluster_name="mila", sort="name")
    assert ids(signed_in) == [node["slurm"]["name"] for node in nodes]
    assert signed_in.texts("tbody .state") == [node["slurm"]["state"] for node in nodes]

    signed_in.one("[data-key='sort gpus']").click()
    signed_in.one("th[aria-sort=descending]")
    free = [
        int(text.split()[0])
        for text in signed_in.texts("tbody td:nth-child(5)")
        if text[0].isdigit()
    ]
    assert free == sorted(free, reverse=True)
    show(signed_in, site, "nodes?cluster_name=mila&state=DRAIN", ".chip")
    signed_in.wait(lambda: set(signed_in.texts("tbody .state")) == {"IDLE+DRAIN"})
    assert signed_in.texts("tbody td:nth-child(5)")[0].startswith("none of")
    signed_in.one("tbody a").click()
    signed_in.one("[aria-label='All that Slurm says']")


def test_the_grid_of_nodes(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "nodes?cluster_name=mila&as=grid", ".grid a")
    count = len(site.ask("nodes/list", cluster_name="mila"))
    labels = signed_in.run(
        "return [...document.querySelectorAll('.grid a')].map((e) => e.ariaLabel)"
    )
    assert len(labels) == count
    assert "cn-a006, DOWN, out of service" in [re.sub(r"\+\w+", "", label) for label in labels]
    signed_in.run("document.querySelector('.grid a').focus()")
    signed_in.press(Keys.ARROW_RIGHT, Keys.ENTER)
    signed_in.wait_for("h1", labels[1].split(",")[0])


def test_an_unknown_view(signed_in: Browser, site: Site) -> None:
    show(signed_in, site, "constructor", "h1")
    signed_in.wait_for("h1", "This view does not exist")
