"""Contenders in turn, the table and its targets, the exponent that fits, the plot."""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bench import report
from bench.growth import Growth, lines, plot
from bench.plots import log_log_plot
from bench.report import page
from bench.results import Row, at_least_baseline, at_most_limit, remarks, table
from bench.timing import Contender, Samples, alternate, exponent


def test_contenders_take_turns_and_are_prepared_untimed() -> None:
    done: list[str] = []
    contenders = {
        name: Contender(lambda name=name: done.append(name), lambda: done.append("prepared"))  # type: ignore[misc]
        for name in ("a", "b")
    }
    contenders["once"] = Contender(lambda: done.append("once"), turns=1)
    times = alternate(contenders, 2)
    ran = [name for name in done if name != "prepared"]
    assert ran == ["a", "b", "once", "b", "a"]
    assert [len(samples.values) for samples in times.values()] == [2, 2, 1]


def test_median_best_and_percentile() -> None:
    seconds = Samples((3.0, 1.0, 2.0))
    assert (seconds.median, seconds.best, seconds.percentile(0.99)) == (2.0, 1.0, 3.0)
    assert Samples((3.0, 1.0), "1/s").best == 3.0
    assert seconds.times_better(Samples((8.0,))) == 4.0
    assert Samples((8.0,), "1/s").times_better(Samples((2.0,), "1/s")) == 4.0


def test_the_exponent_of_a_power() -> None:
    assert exponent([10, 100, 1000], [3 * size**1.5 for size in (10, 100, 1000)]) == pytest.approx(
        1.5
    )


def row() -> Row:
    ours, theirs, least = Samples((2.0,)), Samples((10.0,)), Samples((1.0,))
    return Row(
        name="a thing",
        ours=ours,
        baseline=theirs,
        limit=least,
        baseline_is="how others do it",
        limit_is="the least",
        targets=(at_least_baseline(6, ours, theirs), at_most_limit(2, ours, least)),
    )


def test_a_row_says_what_it_found_and_which_targets_it_met() -> None:
    document = row().document()
    printed = table([document])
    assert "a thing" in printed
    assert "MISSED: 6 times faster than the baseline (5); met: at most 2 x the limit (2)" in printed
    assert "how others do it" in remarks([document])
    assert document["times_better_than_baseline"] == 5
    assert document["times_the_limit"] == 2
    assert [target["met"] for target in document["targets"]] == [False, True]


def test_a_ratio_without_bounds_is_left_out() -> None:
    ours, nothing = Samples((2.0,)), Samples((0.0,))
    found = Row("a thing", ours, targets=(at_most_limit(2, ours, nothing),))
    assert "MISSED: at most 2 x the limit (-)" in table([found.document()])


def results(**groups: dict[str, Any]) -> dict[str, Any]:
    about = {"python": "3", "machine": {"cores": 2}, "versions": {"flask": "3"}}
    return {**about, "missing": ["load"], "groups": groups}


def test_growth_as_a_table_and_as_a_plot() -> None:
    costs = {
        "<reading>": tuple(Samples((size / 1000,)) for size in (10, 100, 1000)),
        "asking": tuple(Samples((0.001,)) for _ in range(3)),
    }
    growth = Growth("growth", "jobs", (10, 100, 1000), costs).document()
    assert growth["exponents"] == {
        "<reading>": pytest.approx(1.0),
        "asking": pytest.approx(0.0, abs=1e-9),
    }
    assert lines(growth)[1] == ["<reading>", "10 ms", "100 ms", "1 s", "n^1.00"]
    written = page(results(growth={"began": "today", "rows": [], "growth": [growth]}))
    assert "| asking | 1 ms | 1 ms | 1 ms | n^0.00 |" in written
    svg = ET.fromstring(plot(growth))  # noqa: S314 - our own
    drawn = svg.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in drawn] == [3, 3]
    assert any(text.text == "<reading>: n^1.00" for text in svg.iter())


def test_the_page_tells_how_many_targets_are_met_and_which_run_measured_what() -> None:
    found = [row().document()]
    written = page(
        results(
            read={"began": "today", "rows": found, "growth": []},
            list={"began": "yesterday", "rows": [], "growth": []},
            ssh={"began": "today", "rows": [], "growth": []},
        )
    )
    assert "Of 2 targets, 1 are met." in written
    assert "- Run of today: read, ssh\n- Run of yesterday: list\n- Not measured: load\n" in written
    assert "| a thing | 2 (2) s | 10 (10) s | 1 (1) s |" in written


def test_a_group_that_is_measured_anew_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, path in (("RESULTS", "results.json"), ("PAGE", "page.md"), ("DOCS", "")):
        monkeypatch.setattr(report, name, tmp_path / path)
    first, second = (datetime(2026, 11, day, tzinfo=timezone.utc) for day in (1, 2))
    for group, began in (("b", first), ("a", first), ("b", second)):
        report.keep(group, began, [row()], [], ["a", "b", "c"])
    kept = json.loads((tmp_path / "results.json").read_text())
    assert kept["missing"] == ["c"]
    assert [(name, group["began"][:10]) for name, group in kept["groups"].items()] == [
        ("a", "2026-11-01"),
        ("b", "2026-11-02"),
    ]
    assert "Of 4 targets, 2 are met." in (tmp_path / "page.md").read_text()


def test_what_is_not_positive_has_no_place_on_a_logarithmic_axis() -> None:
    with pytest.raises(ValueError, match=r"math domain|positive"):
        log_log_plot("t", "jobs", [1, 10], {"a": [0.0, 1.0]})
