from __future__ import annotations

import threading
import time

import pytest

from napari_sam2.errors import PromptError
from napari_sam2.ui.jobs import InlineLane, Iteration, Job, WorkerLane


def note(said, name, fail=None, **options):
    def work(report):
        report(f"{name} goes")
        if fail is not None:
            raise fail
        return name

    return Job(
        work,
        said.append,
        lambda error: said.append(f"{name}: {error}"),
        reported=said.append,
        **options,
    )


def counting(said, stop=4):
    return Iteration(
        lambda: iter(range(stop)), said.append, lambda error: said.append(error)
    )


def test_jobs_run_in_order_and_errors_are_told():
    said = []
    lane = InlineLane(automatic=False)
    lane.submit(note(said, "a"))
    lane.submit(note(said, "b", PromptError("no")))
    lane.submit(note(said, "c"))
    lane.run()
    assert said == ["a goes", "a", "b goes", "b: no", "c goes", "c"]


def test_a_later_job_takes_the_place_of_one_that_waits():
    said = []
    lane = InlineLane(automatic=False)
    lane.submit(note(said, "a", key=1, dropped=lambda: said.append("a dropped")))
    lane.submit(note(said, "b", key=2))
    lane.submit(note(said, "c", key=1))
    lane.run()
    assert said == ["a dropped", "b goes", "b", "c goes", "c"]


def test_jobs_come_between_the_steps_of_an_iteration():
    said = []
    lane = InlineLane(automatic=False)
    lane.iterate(counting(said))
    lane.step()
    lane.submit(note(said, "a"))
    lane.run()
    assert said == [0, "a goes", "a", 1, 2, 3, None]


def test_an_iteration_pauses_and_is_cancelled():
    said = []
    lane = InlineLane(automatic=False)
    iteration = counting(said)
    lane.iterate(iteration)
    lane.step()
    iteration.paused = True
    lane.run()
    assert said == [0]
    with pytest.raises(ValueError, match="not over"):
        lane.iterate(counting(said))
    iteration.cancelled = True
    lane.run()
    assert said == [0, None]
    lane.iterate(counting(said, 1))
    lane.run()
    assert said == [0, None, 0, None]


def test_a_defect_reaches_the_caller():
    lane = InlineLane()
    with pytest.raises(ZeroDivisionError):
        lane.submit(note([], "a", ZeroDivisionError()))


def test_a_closed_lane_is_silent():
    said = []
    lane = InlineLane(automatic=False)
    lane.submit(note(said, "a"))
    lane.close()
    lane.run()
    assert said == []


def test_workers_answer_on_the_window_s_thread(qtbot):
    here = threading.get_ident()
    told, worked = [], []

    def work(report):
        worked.append(threading.get_ident())
        report("on its way")
        return "done"

    def hear(what):
        told.append((what, threading.get_ident()))

    lane = WorkerLane()
    lane.submit(Job(work, hear, hear, reported=hear))
    qtbot.waitUntil(lambda: len(told) == 2, timeout=10_000)
    assert told == [("on its way", here), ("done", here)]
    assert worked[0] != here


def test_a_worker_takes_what_comes_while_it_works(qtbot):
    said = []
    lane = WorkerLane()
    iteration = Iteration(
        lambda: (time.sleep(0.005) or i for i in range(30)),
        said.append,
        lambda error: said.append("end"),
    )
    lane.iterate(iteration)
    qtbot.waitUntil(lambda: len(said) > 3, timeout=10_000)
    iteration.paused = True
    lane.submit(note(said, "a"))
    qtbot.waitUntil(lambda: "a" in said, timeout=10_000)
    qtbot.wait(50)
    still = len(said)
    qtbot.wait(50)
    assert len(said) == still
    iteration.paused = False
    lane.wake()
    qtbot.waitUntil(lambda: said[-1] == "end", timeout=10_000)
    assert [x for x in said if isinstance(x, int)] == list(range(30))


@pytest.mark.parametrize("defect", [ZeroDivisionError, RuntimeError])
def test_a_defect_in_a_worker_is_shown_and_the_lane_goes_on(qtbot, defect):
    said = []
    lane = WorkerLane()
    with qtbot.capture_exceptions() as shown:
        lane.submit(note(said, "a", defect("x"), abandoned=lambda: said.append("x")))
        lane.submit(note(said, "b"))
        qtbot.waitUntil(lambda: "b" in said, timeout=10_000)
    assert said == ["a goes", "x", "b goes", "b"]
    assert [kind for kind, *_ in shown] == [defect]


def test_a_closed_worker_lane_tells_nobody(qtbot):
    said = []
    lane = WorkerLane()
    lane.submit(note(said, "a"))
    lane.close()
    lane.submit(note(said, "b"))
    qtbot.wait(100)
    assert said == []


def test_a_job_is_told_that_napari_ends(qtbot):
    going, ended = threading.Event(), threading.Event()

    def work(report):
        going.set()
        while report("goes"):
            time.sleep(0.01)
        ended.set()

    lane = WorkerLane()
    lane.submit(Job(work, lambda _: None, lambda _: None))
    qtbot.waitUntil(going.is_set, timeout=10_000)
    lane._worker.quit()  # as napari does before it waits for all workers
    qtbot.waitUntil(ended.is_set, timeout=10_000)
    assert lane._idle.wait(10)  # else the end of Python is waited for
    lane.close()
