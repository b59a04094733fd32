"""Workers of a batch, without processes."""

from __future__ import annotations

import queue
import threading
from functools import partial

from vidamodal.batch.workers import Call, Pool, Worker


class Recorder(Worker):
    """A worker in this process. All but the first wait for ``others_may_go``."""

    others_may_go = threading.Event()
    ran: queue.SimpleQueue[tuple[int, object]] = queue.SimpleQueue()

    def __init__(self, number: int) -> None:
        self.number = number

    def call(self, function: Call) -> object:
        if self.number:
            assert self.others_may_go.wait(30)
        result = function()
        self.ran.put((self.number, result))
        return result

    def close(self) -> None:
        self.others_may_go.set()


def test_all_workers_are_prepared_at_once() -> None:
    pool = Pool(Recorder, 3)
    assert pool.prepare(lambda: "prepared", 2) == "prepared"
    assert Recorder.ran.get() == (0, "prepared")
    second = threading.Thread(target=pool.call, args=(partial(int, 7), 1))
    second.start()
    assert Recorder.ran.empty(), "the second worker was waited for"
    Recorder.others_may_go.set()
    second.join()
    assert {Recorder.ran.get(timeout=30), Recorder.ran.get(timeout=30)} == {(1, "prepared"), (1, 7)}
    assert sorted(pool.map([("a", partial(int, 1)), ("b", partial(int, 2))])) == [("a", 1), ("b", 2)]
    pool.close()
