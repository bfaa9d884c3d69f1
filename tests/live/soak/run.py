"""Runs a soak, and says what was found."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.live.certificates import CertificateAuthority
from tests.live.soak.abandoned_requests import ABANDONED_REQUESTS
from tests.live.soak.changes import Reloads, Rotations
from tests.live.soak.circumstances import Circumstances, Way
from tests.live.soak.comparison import Comparison
from tests.live.soak.configurations import TEMPORARY, Configurations, entrances, make_tokens
from tests.live.soak.costly_turns import KINDS, PORTS, UNCOUNTED, CostlyTurns
from tests.live.soak.entrance import SECRET, Entrance
from tests.live.soak.failed_requests import FAILED_REQUESTS
from tests.live.soak.good_clients import GoodClient
from tests.live.soak.good_origin import GoodOrigin
from tests.live.soak.misbehaving_origins import MisbehavingOrigins
from tests.live.soak.observation import Figures, Observation
from tests.live.soak.refused_requests import REFUSED_REQUESTS
from tests.live.soak.report import Plan, Report
from tests.live.soak.server import free_ports
from tests.live.support import Supervisor

WAYS: dict[str, Way] = {**REFUSED_REQUESTS, **ABANDONED_REQUESTS, **FAILED_REQUESTS}
LEFT_OVER_BYTES = 20 * 1024 * 1024
_SETTLING_SECONDS = 60.0
_COSTLY_SECONDS = 3.0
_TELL_SECONDS = 60.0


class Soak:
    """One supervisor with its clients and origins.

    Args:
        plan: how long, and how much.
        directory: for its files; its name must be short, because a unix socket is in it.
        tell: is given a line about the progress now and then, and each fault when it is found.
    """

    def __init__(self, plan: Plan, directory: Path, tell: Callable[[str], None] = lambda _: None) -> None:
        self._plan, self._tell = plan, tell
        self._rng = random.Random(plan.seed)
        authorities = (_authority(directory / "a"), _authority(directory / "b"))
        costly_port = free_ports(PORTS + 2)
        status_port, temporary_port = costly_port + PORTS, costly_port + PORTS + 1
        self._costly = CostlyTurns(costly_port, self._new_rng())
        made = Configurations(directory, directory / "local", status_port, temporary_port, authorities, make_tokens())
        self._supervisor = Supervisor(directory, made.first())
        pid = self._supervisor.process.pid
        ports = {name: self._supervisor.port_of(name) for name in ("agents", "tokens", "secure")}
        self._entrances = entrances(ports, made)
        self._temporary = Entrance(TEMPORARY, ("127.0.0.1", temporary_port))
        self._by_listener = {each.listener: each for each in self._entrances}
        self._comparison = Comparison(self._costly.ports, UNCOUNTED)
        self._origin, self._origins = GoodOrigin(authorities[0].for_server()), MisbehavingOrigins()
        self._good = [
            GoodClient(self._comparison, self._origin, authorities[0].for_client(), self._new_rng())
            for _ in range(plan.good_clients)
        ]
        self._misbehaved: Counter[str] = Counter()
        self._left: list[str] = []
        self._lock = threading.Lock()
        self._observation = Observation(pid, status_port)
        self._reloads = Reloads(made, self._comparison, self._new_rng())
        self._rotations = Rotations(self._supervisor.state, pid, self._comparison)

    def _new_rng(self) -> random.Random:
        return random.Random(self._rng.random())

    def run(self) -> Report:
        """Run to the end, and end the supervisor."""
        report, metrics = Report(), Counter[str]()
        try:
            report.start = self._observation.look()
            self._load(self._plan.warm_seconds)
            report.warm = self._settle(None)
            self._tell(f"warm: {report.warm.rss_bytes >> 20} MiB")
            self._load(self._plan.seconds)
            report.end = self._settle(report.warm)
            metrics = self._observation.metrics()
        except OSError as error:
            # Such as that of a process which has ended.
            self._comparison.fail(f"nothing more can be observed: {error!r}")
        finally:
            self._stop()
        self._compare_figures(report.warm, report.end)
        self._rotations.finish()
        self._compare_metrics(metrics)
        self._finish(report)
        return report

    # Load.

    def _load(self, seconds: float) -> None:
        """Have everybody at work for a while, and wait until everybody has ended what they do."""
        over = threading.Event()
        plan, costly_seconds = self._plan, min(_COSTLY_SECONDS, seconds / len(KINDS))
        works: list[tuple[Callable[[], None], float]] = [
            *((self._misbehaving(self._new_rng()), plan.pause_seconds) for _ in range(plan.misbehaving_clients)),
            *((self._behaving(client), plan.pause_seconds) for client in self._good),
            (lambda: self._costly.turn(self._by_listener, costly_seconds, over), plan.pause_seconds),
            (self._reloads.change, plan.reload_seconds),
            (self._rotations.rotate, plan.rotation_seconds),
        ]
        threads = [threading.Thread(target=self._repeat, args=(*work, over), daemon=True) for work in works]
        for thread in threads:
            thread.start()
        try:
            self._watch(seconds)
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def _repeat(self, work: Callable[[], None], seconds: float, over: threading.Event) -> None:
        """Do something every so many seconds, or as often as it can be done."""
        due = time.monotonic()
        while not over.is_set():
            try:
                work()
            except Exception as error:
                self._comparison.fail(f"a part of the soak failed: {error!r}")
            due = max(due + seconds, time.monotonic())
            over.wait(due - time.monotonic())

    def _behaving(self, client: GoodClient) -> Callable[[], None]:
        return lambda: client.act(self._entrances)

    def _misbehaving(self, rng: random.Random) -> Callable[[], None]:
        def work() -> None:
            with self._lock:
                self._left = self._left or rng.sample(list(WAYS), len(WAYS))
                way = self._left.pop()
            entrance = rng.choice(self._entrances)
            act = Circumstances(
                self._comparison, self._origin, self._origins, entrance, self._by_listener, self._temporary, rng
            )
            try:
                WAYS[way](act)
            except Exception as error:
                act.fail(f"{way}: {error!r}")
            with self._lock:
                self._misbehaved[way] += 1

        return work

    def _watch(self, seconds: float) -> None:
        """Wait, and look at the process meanwhile. Return early where nothing more is to be learnt."""
        began = told = time.monotonic()
        known = len(self._comparison.faults)
        while time.monotonic() - began < seconds:
            time.sleep(min(1.0, seconds))
            if self._supervisor.process.poll() is not None:
                self._comparison.fail("the supervisor has ended")
            for fault in self._comparison.faults[known:]:
                self._tell(f"{time.monotonic() - began:.0f} s: {fault}")
                known += 1
            if self._comparison.is_hopeless:
                return
            figures = self._observation.look()
            if time.monotonic() - told > _TELL_SECONDS:
                told = time.monotonic()
                done = sum(client.done.total() for client in self._good)
                rest = f"{figures.rss_bytes >> 20} MiB, {figures.descriptors.total()} descriptors"
                self._tell(f"{told - began:.0f} s: {done} good requests, {rest}, {len(self._comparison.faults)} faults")

    # With nobody connected.

    def _settle(self, before: Figures | None) -> Figures:
        """Wait until nobody is connected, all lines are written, and the descriptors are those that were before."""
        self._reloads.calm()
        self._await(
            lambda: not self._observation.busy(), lambda: f"nobody is connected, and {self._observation.busy()}"
        )
        self._await(self._has_all_lines, lambda: f"no lines of {len(self._comparison.missing())} requests")
        look = self._observation.look
        if before is not None:
            self._await(lambda: look().descriptors == before.descriptors, lambda: "descriptors are left over")
        return look()

    def _has_all_lines(self) -> bool:
        self._rotations.rotate()
        return not self._comparison.missing()

    def _await(self, holds: Callable[[], bool], fault: Callable[[], str]) -> None:
        deadline = time.monotonic() + _SETTLING_SECONDS
        while not holds():
            if time.monotonic() > deadline:
                self._comparison.fail(fault())
                return
            time.sleep(0.5)

    def _compare_figures(self, warm: Figures, end: Figures) -> None:
        fail = self._comparison.fail
        if end.descriptors != warm.descriptors:
            fail(f"descriptors were {dict(warm.descriptors)} and are {dict(end.descriptors)}")
        if end.threads != warm.threads:
            fail(f"there were {warm.threads} threads, and are {end.threads}")
        if end.rss_bytes - warm.rss_bytes > LEFT_OVER_BYTES:
            fail(f"{(end.rss_bytes - warm.rss_bytes) >> 20} MiB are left over")

    def _compare_metrics(self, metrics: Counter[str]) -> None:
        fail, comparison = self._comparison.fail, self._comparison
        if metrics["egress_requests_total"] != comparison.requests:
            fail(f"{metrics['egress_requests_total']} requests were counted, and {comparison.requests} recorded")
        if metrics["egress_config_generation"] != comparison.events["reload"] + 1:
            fail(f"configuration {metrics['egress_config_generation']} after {comparison.events['reload']} reloads")
        if metrics["egress_audit_log_lost_lines_total"]:
            fail(f"{metrics['egress_audit_log_lost_lines_total']} lines were lost")

    # The end.

    def _stop(self) -> None:
        try:
            self._supervisor.stop()
        except AssertionError as error:
            self._comparison.fail(str(error))
        for each in (self._origin, self._origins, self._costly):
            each.stop()

    def _finish(self, report: Report) -> None:
        fail, said = self._comparison.fail, self._supervisor.said()
        if status := self._supervisor.process.returncode:
            fail(f"the supervisor ended with {status}")
        if "Traceback" in said:
            place = said.index("Traceback")
            fail(f"the log has a traceback: {said[max(0, place - 500) : place + 3000]}")
        if SECRET in said:
            fail("the log has what it must not have")
        self._comparison.finish()
        self._rotations.verify()
        for fault in (*self._origin.faults, *self._origins.faults, *self._costly.faults):
            fail(fault)
        report.faults = self._comparison.faults
        report.peak_bytes = self._observation.peak_bytes
        for client in self._good:
            report.good += client.done
            report.checked_bytes += client.checked_bytes
        report.misbehaved, report.costly = self._misbehaved, self._costly.done
        report.events, report.requests = self._comparison.events, self._comparison.requests
        report.matched = self._comparison.matched.total()
        report.reloads = (self._reloads.done, self._reloads.refused)
        report.files, report.log_bytes = len(self._rotations.files), self._rotations.bytes


def _authority(directory: Path) -> CertificateAuthority:
    directory.mkdir()
    return CertificateAuthority(directory)
