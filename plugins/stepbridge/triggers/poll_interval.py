"""How often executions and input are polled, and how long a wait backs off."""

import random
from typing import Final

SHORTEST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
SHORTEST_SAFETY_SECONDS: Final = 10.0
LONGEST_SAFETY_SECONDS: Final = 120.0
LONGEST_BACKOFF_SECONDS: Final = 120.0
JITTER: Final = 0.2


def poll_interval(youngest_age_seconds: float, pages: int = 1, *, by_events: bool = False) -> float:
    """Seconds until the next poll, when the youngest execution that runs is that old.

    A tenth of the age, between 1 and 30 s: the end is noticed soon in proportion to what was waited for. Where events
    report ends (``by_events``), a poll only finds ends whose event was lost: half the age, between 10 s and 2 min.
    ``pages`` is how many calls a poll takes; at least a second is left for each, a fifth of ListExecutions' smallest
    refill rate.
    """
    if by_events:
        seconds = min(max(youngest_age_seconds / 2, SHORTEST_SAFETY_SECONDS), LONGEST_SAFETY_SECONDS)
    else:
        seconds = min(max(youngest_age_seconds / 10, SHORTEST_SECONDS), LONGEST_SECONDS)
    return max(seconds, float(pages))


def hand_back_seconds(receive_count: int) -> int:
    """Seconds for which a message stays hidden that no trigger here waits for, by how often it was received.

    0, 1, 2, 4 … 32: another triggerer gets it at once; a message that nobody takes is received ever more rarely, seven
    times in the minute that it lives.
    """
    return 0 if receive_count <= 1 else int(2 ** min(receive_count - 2, 5))


def backoff_seconds(failures: int) -> float:
    """Seconds until the next call after ``failures`` calls in a row without an answer: 2, 4, 8 … at most 120."""
    return float(min(2.0 ** min(failures, 10), LONGEST_BACKOFF_SECONDS))


def with_jitter(seconds: float, draw: float | None = None) -> float:
    """``seconds`` moved by up to 20 %, so that many watchers do not poll together; by a random ``draw`` from [0, 1)."""
    draw = random.random() if draw is None else draw
    return seconds * (1 - JITTER + 2 * JITTER * draw)
