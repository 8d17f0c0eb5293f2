import threading

from scraper.ssh.deadline import Deadline


def test_work_that_ends_in_time_is_left_alone() -> None:
    given_up = threading.Event()
    threads = set(threading.enumerate())
    with Deadline(600, given_up.set) as deadline:
        pass
    assert not deadline.passed
    assert not given_up.is_set()
    assert threads.issuperset(threading.enumerate())


def test_work_that_lasts_is_given_up_once() -> None:
    calls: list[str] = []
    released = threading.Event()

    def give_up() -> None:
        calls.append("given up")
        released.set()

    threads = set(threading.enumerate())
    with Deadline(0.01, give_up) as deadline:
        assert released.wait(20)
    assert deadline.passed
    assert calls == ["given up"]
    assert threads.issuperset(threading.enumerate())


def test_a_pause_does_not_count() -> None:
    given_up, later = threading.Event(), threading.Event()
    with Deadline(0.2, given_up.set) as deadline, deadline.paused(), Deadline(0.6, later.set):
        assert later.wait(20)
        assert not given_up.is_set()
    assert not deadline.passed
    assert not given_up.is_set()


def test_the_rest_of_the_time_counts_after_a_pause() -> None:
    given_up = threading.Event()
    with Deadline(0.01, given_up.set) as deadline:
        with deadline.paused():
            pass
        assert given_up.wait(20)
    assert deadline.passed


def test_a_deadline_that_passed_stays_so_in_a_pause() -> None:
    released = threading.Event()
    with Deadline(0.01, released.set) as deadline:
        assert released.wait(20)
        with deadline.paused():
            pass
    assert deadline.passed
