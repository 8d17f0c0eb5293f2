import pytest

from scraper.ssh.errors import ScrapeError, Unreachable, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("slurm_load_jobs error: Unable", "slurm_load_jobs error: Unable"),
        ("Montréal 蒙特利尔 \U0001f600", "Montréal 蒙特利尔 \U0001f600"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\x1b]0;title\x07", "\\x1b]0;title\\x07"),
        ("a\r\nb\tc\x00", "a\\r\\nb\\tc\\x00"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202ereversed\u2028", "\\u202ereversed\\u2028"),
        ("\ud800", "\\ud800"),
    ],
)
def test_what_a_terminal_would_act_on_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_names_its_cluster_and_is_printable() -> None:
    error = Unreachable("mila", "banner \x1b[2J")
    assert isinstance(error, ScrapeError)
    assert str(error) == "mila: banner \\x1b[2J"
    assert error.cluster == "mila"
    assert error.message == "banner \\x1b[2J"
