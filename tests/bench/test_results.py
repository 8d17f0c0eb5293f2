"""Contenders in turn, the table and its targets, the exponent that fits, the plot."""

from xml.etree import ElementTree as ET

import pytest

from bench.growth import Growth
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
    printed = table([row()])
    assert "a thing" in printed
    assert "MISSED: 6 times faster than the baseline (5); met: at most 2 x the limit (2)" in printed
    assert "how others do it" in remarks([row()])
    document = row().document()
    assert document["times_better_than_baseline"] == 5
    assert document["times_the_limit"] == 2
    assert [target["met"] for target in document["targets"]] == [False, True]


def test_growth_as_a_table_and_as_a_plot() -> None:
    costs = {
        "<reading>": tuple(Samples((size / 1000,)) for size in (10, 100, 1000)),
        "asking": tuple(Samples((0.001,)) for _ in range(3)),
    }
    growth = Growth("growth", "jobs", (10, 100, 1000), costs)
    assert growth.exponents() == {
        "<reading>": pytest.approx(1.0),
        "asking": pytest.approx(0.0, abs=1e-9),
    }
    assert growth.lines()[1] == ["<reading>", *(growth.lines()[1][1:4]), "n^1.00"]
    assert "| asking |" in page(
        {"date": "", "python": "", "machine": {"cores": 2}, "versions": {}}, [row()], [growth]
    )
    svg = ET.fromstring(growth.plot())  # noqa: S314 - our own
    lines = svg.findall("{http://www.w3.org/2000/svg}polyline")
    assert [len(line.attrib["points"].split()) for line in lines] == [3, 3]
    assert any(text.text == "<reading>: n^1.00" for text in svg.iter())


def test_the_page_tells_how_many_targets_are_met() -> None:
    about = {"date": "today", "python": "3", "machine": {"cores": 2}, "versions": {"flask": "3"}}
    written = page(about, [row()], [])
    assert "Of 2 targets, 1 are met." in written
    assert "| a thing | 2 (2) s | 10 (10) s | 1 (1) s |" in written


def test_what_is_not_positive_has_no_place_on_a_logarithmic_axis() -> None:
    with pytest.raises(ValueError, match=r"math domain|positive"):
        log_log_plot("t", "jobs", [1, 10], {"a": [0.0, 1.0]})
