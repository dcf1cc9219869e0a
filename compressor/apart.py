"""Run tasks in processes of their own, a few at a time, and get an ending of each, even of one that crashes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NoReturn, Protocol, TypeAlias

from compressor.chain import Progress
from compressor.report import Ending

_Receiver: TypeAlias = "Connection[None, object]"  # what is sent, what is received; only type checkers know of it
_Sender: TypeAlias = "Connection[Ending, None]"

_GRACE_SECONDS = 10
"""For a process that is told to end, to remove what it has half written."""


class Task(Protocol):
    """Work on one model that can be sent to another process."""

    @property
    def source(self) -> Path:
        """The model."""

    def __call__(self) -> Ending:
        """Do it."""

    def refused(self, reason: str) -> Ending:
        """Say that it could not be done."""


def run_apart(tasks: Sequence[Task], jobs: int, tell: Progress) -> list[Ending]:
    """Run `tasks`, at most `jobs` at a time; endings are in the order of tasks."""
    waiting = list(enumerate(tasks))[::-1]
    running: dict[_Receiver, tuple[int, BaseProcess]] = {}
    endings: dict[int, Ending] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                number, task = waiting.pop()
                receiver, process = _start(task)
                running[receiver] = number, process
            tell(f"{len(endings)} of {len(tasks)} models done")
            ready = set(wait(list(running)))
            for receiver in [receiver for receiver in running if receiver in ready]:
                number, process = running.pop(receiver)
                endings[number] = _ending(tasks[number], receiver, process)
    finally:
        for _, process in running.values():
            process.terminate()
        for _, process in running.values():
            process.join(_GRACE_SECONDS)
    return [endings[number] for number in range(len(tasks))]


def _start(task: Task) -> tuple[_Receiver, BaseProcess]:
    # Not a fork: threads of the runtime do not survive one.
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, sender), daemon=True)
    process.start()
    sender.close()
    return receiver, process


def _work(task: Task, sender: _Sender) -> None:
    """What the process does."""
    # Ctrl-C reaches every process of a terminal; the one that started this one says when to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _leave)
    sender.send(task())


def _leave(*_: object) -> NoReturn:
    """End by an exception, so that half-written files are removed."""
    sys.exit(128 + signal.SIGTERM)


def _ending(task: Task, receiver: _Receiver, process: BaseProcess) -> Ending:
    try:
        ending = receiver.recv()
    except (EOFError, OSError):
        ending = None
    receiver.close()
    process.join()
    if isinstance(ending, Ending):
        return ending
    return task.refused(f"the process that worked on it ended with {_cause(process.exitcode)}")


def _cause(code: int | None) -> str:
    if code is not None and code < 0 and os.name == "posix":
        return signal.Signals(-code).name
    return f"exit code {code}"
