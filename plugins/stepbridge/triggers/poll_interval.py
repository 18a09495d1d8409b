"""How often executions and input are polled, and how long a wait backs off. Pure."""

from __future__ import annotations

from typing import Final

__all__ = [
    "LONGEST_SAFETY_SECONDS",
    "LONGEST_SECONDS",
    "SHORTEST_SAFETY_SECONDS",
    "SHORTEST_SECONDS",
    "backoff_seconds",
    "hand_back_seconds",
    "poll_interval",
    "safety_poll_interval",
    "with_jitter",
]

SHORTEST_SECONDS: Final = 1.0
LONGEST_SECONDS: Final = 30.0
SHARE_OF_AGE: Final = 0.1
SHORTEST_SAFETY_SECONDS: Final = 10.0
LONGEST_SAFETY_SECONDS: Final = 120.0
SAFETY_SHARE_OF_AGE: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 120.0
JITTER: Final = 0.2


def poll_interval(youngest_age_seconds: float, pages: int = 1) -> float:
    """Seconds until the next poll, when the youngest execution that runs is that old.

    A tenth of the age, between 1 and 30 s: the end is noticed soon in proportion to what was waited for. ``pages`` is
    how many calls a poll takes; at least a second is left for each, a fifth of ListExecutions' smallest refill rate.
    """
    by_age = min(max(youngest_age_seconds * SHARE_OF_AGE, SHORTEST_SECONDS), LONGEST_SECONDS)
    return max(by_age, float(pages))


def safety_poll_interval(youngest_age_seconds: float, pages: int = 1) -> float:
    """Seconds until the next poll where events report ends, so that a poll only finds ends whose event was lost.

    Half the age, between 10 s and two minutes: an end whose event was lost is noticed that late. ``pages`` as above.
    """
    by_age = min(max(youngest_age_seconds * SAFETY_SHARE_OF_AGE, SHORTEST_SAFETY_SECONDS), LONGEST_SAFETY_SECONDS)
    return max(by_age, float(pages))


def hand_back_seconds(receive_count: int) -> int:
    """Seconds for which a message stays hidden that no trigger here waits for, by how often it was received.

    0, 1, 2, 4 … 32: another triggerer gets it at once; a message that nobody takes is received ever more rarely, seven
    times in the minute that it lives.
    """
    return 0 if receive_count <= 1 else int(2 ** min(receive_count - 2, 5))


def backoff_seconds(failures: int) -> float:
    """Seconds until the next call after ``failures`` calls in a row without an answer: 2, 4, 8 … at most 120."""
    return float(min(2.0 ** min(failures, 10), LONGEST_BACKOFF_SECONDS))


def with_jitter(seconds: float, draw: float) -> float:
    """``seconds`` moved by up to 20 %, by a ``draw`` from [0, 1), so that many watchers do not poll together."""
    return seconds * (1 - JITTER + 2 * JITTER * draw)
