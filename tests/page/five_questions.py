"""The questions that the first view leads to, and how long each answer takes.

``python -m tests.page.five_questions`` prints the times with 20,000 jobs and 2,000 nodes.
"""

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from ingest.reasons.english import explain
from tests.mongo import secantus
from tests.page.browser import Browser, chromium
from tests.page.busy_cluster import BIG, ENDED, NAME, NEXT, fill_busy_cluster
from tests.page.site import Site, running_site

JOBS, NODES = 20_000, 2_000
RUNS = 5


@dataclass(frozen=True)
class Question:
    """What somebody wants to know."""

    words: str
    clicks: tuple[str, ...]
    """Selectors of what is clicked, one after the other, from the first view."""
    where: str
    """The selector of the answer."""
    answers: tuple[str, ...]
    """What the answer contains."""


QUESTIONS = (
    Question("What do my jobs do?", (), f"tr:has(a[href*='job_id={BIG}'])", ("RUNNING", "10 h")),
    Question(
        "Why does my job wait, and until when?",
        (f"a[href*='job_id={NEXT}']",),
        "#why",
        (explain("Priority").sentence, "Slurm expects it to start at"),
    ),
    Question(
        "Which nodes have free GPUs?",
        (f"[aria-label='Cluster {NAME}'] a[href*='free=gpu']",),
        "tbody tr",
        ("ng0", "IDLE", "4 of 4"),
    ),
    Question(
        "What did my job use?",
        (f"a[href*='job_id={ENDED}']",),
        "[aria-labelledby=what-it-used]",
        ("9 h of 12 h 75 %", "16\u00a0GiB of 32\u00a0GiB 50 %", "2.0 kWh"),
    ),
    Question("Is what I see current?", (), "#freshness", ("up to date",)),
)


def seconds_to_answer(browser: Browser, site: Site, question: Question) -> float:
    """Load the page, and ask *question*: from the last click, or from the beginning of the load
    where there is none, until the answer is drawn, in seconds."""
    browser.open(site.url)
    asked = (question.clicks, question.where, question.answers)
    milliseconds: float = browser.driver.execute_async_script(_ASK, *asked)
    return milliseconds / 1000


_ASK = """
    const [clicks, where, answers, done] = arguments;
    const drawn = (selector, parts) => new Promise((resolve) => {
        const look = () => {
            const found = [...document.querySelectorAll(selector)].some((each) =>
                each.checkVisibility() && parts.every((part) => each.textContent.includes(part)));
            requestAnimationFrame(found ? () => setTimeout(resolve) : look);
        };
        look();
    });
    (async () => {
        let begin = 0;  // of the load
        for (const selector of clicks) {
            await drawn(selector, []);
            begin = performance.now();
            document.querySelector(selector).click();
        }
        await drawn(where, answers);
        done(performance.now() - begin);
    })();
"""


def main() -> None:
    """Print how long each answer takes."""
    with (
        tempfile.TemporaryDirectory() as folder,
        secantus(Path(folder) / "database") as uri,
        running_site(uri, NAME) as site,
        chromium(Path(folder) / "profile") as browser,
    ):
        fill_busy_cluster(site.store, JOBS, NODES)
        browser.forget(site.url)
        browser.run("sessionStorage.setItem('clockwork.token', arguments[0])", site.token)
        sys.stdout.write(
            f"{os.cpu_count()} processors; of {RUNS} runs, the median and the longest:\n"
        )
        for question in QUESTIONS:
            times = [seconds_to_answer(browser, site, question) for _ in range(RUNS)]
            middle, load = statistics.median(times), os.getloadavg()[0]
            line = f"{question.words:40}{middle:6.2f} s{max(times):6.2f} s, load {load:.0f}\n"
            sys.stdout.write(line)


if __name__ == "__main__":
    main()
