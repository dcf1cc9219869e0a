"""Time models against each other on this host, in turns, so that its noise falls on all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping

from compressor.evaluation.contract import Feeds, Refusal, Session, describe_sizes
from compressor.evaluation.running import run_here
from compressor.report import Latency

MOST_RUNS = 200
FEWEST_RUNS = 3


def measure_latency(sessions: Mapping[str, Session], feeds: Feeds, *, seconds: float = 1.0) -> Mapping[str, Latency]:
    """Run every session in turn, again and again, and give the median of each.

    Args:
        sessions: what to time, by name; they should be open at the same time with the same options.
        feeds: one batch, the same for all.
        seconds: time to spend on each session; up to three times that for `FEWEST_RUNS` runs, and as long as it
            takes for one.

    Returns:
        A figure for each session that ran; one that fails has none.
    """
    # The first run is not counted: memory is still being claimed.
    running = {name: one for name, one in sessions.items() if _time_run(one, feeds) is not None}
    timed = _time_in_turns(running, feeds, seconds)
    shape = describe_sizes(feeds)
    return {
        name: Latency(median_ms=statistics.median(times) * 1000, runs=len(times), shape=shape)
        for name, times in timed.items()
        if times
    }


def _time_in_turns(sessions: Mapping[str, Session], feeds: Feeds, seconds: float) -> dict[str, list[float]]:
    timed: dict[str, list[float]] = {name: [] for name in sessions}
    budget = seconds * len(sessions)
    deadline = time.perf_counter() + budget
    for turn in range(MOST_RUNS):
        is_over = turn >= FEWEST_RUNS and _is_late(deadline)
        is_slow = turn >= 1 and _is_late(deadline + 2 * budget)
        if is_over or is_slow:
            break
        # Every other turn runs backwards, so that none always follows the same neighbour.
        for name in timed if turn % 2 == 0 else reversed(timed):
            elapsed = _time_run(sessions[name], feeds)
            if elapsed is not None:
                timed[name].append(elapsed)
    return timed


def _is_late(deadline: float) -> bool:
    return time.perf_counter() >= deadline


def _time_run(session: Session, feeds: Feeds) -> float | None:
    start = time.perf_counter()
    outputs = run_here(session, feeds)
    return None if isinstance(outputs, Refusal) else time.perf_counter() - start
