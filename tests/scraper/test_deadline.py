import threading

from scraper.deadline import Deadline


def test_work_that_ends_in_time_is_left_alone() -> None:
    given_up = threading.Event()
    threads = threading.active_count()
    with Deadline(600, given_up.set) as deadline:
        pass
    assert not deadline.passed
    assert not given_up.is_set()
    assert threading.active_count() == threads


def test_work_that_lasts_is_given_up_once() -> None:
    calls: list[str] = []
    released = threading.Event()

    def give_up() -> None:
        calls.append("given up")
        released.set()

    threads = threading.active_count()
    with Deadline(0.01, give_up) as deadline:
        assert released.wait(20)
    assert deadline.passed
    assert calls == ["given up"]
    assert threading.active_count() == threads
