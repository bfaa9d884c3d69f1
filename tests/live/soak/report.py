"""What a soak is asked for, and what it found."""

from __future__ import annotations

from collections import Counter

from attrs import define, field, frozen

from tests.live.soak.observation import Figures


@frozen
class Plan:
    """How long, and how much.

    Attributes:
        seconds: of the soak.
        warm_seconds: of the load before it, after which the memory is the level that counts.
        seed: of all that is chosen.
        reload_seconds: from one reload to the next.
        rotation_seconds: from one rotation to the next.
        good_clients: clients that behave.
        misbehaving_clients: clients that do not.
        pause_seconds: from the beginning of one thing that a client does to the next, if it takes less.
    """

    seconds: float
    warm_seconds: float
    seed: int = 1
    reload_seconds: float = 2.0
    rotation_seconds: float = 5.0
    good_clients: int = 8
    misbehaving_clients: int = 16
    pause_seconds: float = 0.2


@define
class Report:
    """What was found.

    Attributes:
        faults: what was wrong; empty for success.
        start: the process at its start, before it has made what it makes at first use, such as a pipe.
        warm: the process after the first load, with nobody connected.
        end: the process at the end, with nobody connected.
        peak_bytes: the most resident memory.
        good: checked requests of good clients, by kind.
        misbehaved: what misbehaving clients did, by kind.
        costly: turns of `bench/costly.py`, by kind.
        checked_bytes: octets that good clients compared.
        events: lines of the audit log, by event.
        requests: requests of which the audit log tells.
        matched: lines that were compared with what their clients know.
        reloads: configurations taken, and refused.
        files: of the audit log.
        log_bytes: their size.
    """

    faults: list[str] = field(factory=list)
    start: Figures = field(factory=Figures)
    warm: Figures = field(factory=Figures)
    end: Figures = field(factory=Figures)
    peak_bytes: int = 0
    good: Counter[str] = field(factory=Counter)
    misbehaved: Counter[str] = field(factory=Counter)
    costly: Counter[str] = field(factory=Counter)
    checked_bytes: int = 0
    events: Counter[str] = field(factory=Counter)
    requests: int = 0
    matched: int = 0
    reloads: tuple[int, int] = (0, 0)
    files: int = 0
    log_bytes: int = 0
