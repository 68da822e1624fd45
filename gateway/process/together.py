"""What several workers say as one: whether they are ready, their figures, and the outcome of an operation."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from gateway.admin.figures import Figures
from gateway.admin.operations import Members, Outcome
from gateway.process.child import WorkerProcess
from gateway.process.control import Unanswered
from gateway.process.keeper import Keeper

_SETTLE_SECONDS = 1.0
"""How long a revocation waits for the workers to confirm it; the promise is that it holds within a second."""

_NOBODY = Outcome(503, {"detail": "No worker can answer now."})

Workers = Callable[[], Collection[WorkerProcess]]


class Readiness:
    """The status of all workers. `places` gives the worker of each slot, None while there is none.

    The start is over when all have started, and everything is ready for the first time when all of them are. From then
    on the workers that are ready take the connections of one that is not, and as long as there is one, clients are
    served: a replica that runs with less must not be taken out by its orchestrator, and the rest with it.
    """

    def __init__(self, places: Callable[[], Sequence[WorkerProcess | None]]) -> None:
        self.started = False
        self.draining = False
        self._has_been_whole = False
        self._places = places

    def look(self) -> None:
        """Take notice of a change."""
        places = self._places()
        self.started = self.started or all(worker is not None and worker.has_started for worker in places)
        self._has_been_whole = self._has_been_whole or all(worker is not None and worker.is_ready for worker in places)

    def report(self) -> dict[str, Any]:
        """Whether requests should be sent here, and if not, why not; and which workers are not ready."""
        places = self._places()
        reports = [worker.report for worker in places if worker is not None and worker.report]
        is_served = any(worker is not None and worker.is_ready for worker in places)
        report: dict[str, Any] = {
            "ready": self._has_been_whole and is_served and not self.draining,
            "started": self.started,
            "draining": self.draining,
            "issuers": _worst((report.get("issuers", {}) for report in reports), "ready"),
        }
        if any("redis" in report for report in reports):
            # The same everywhere, but for a worker that has lost it: that one is shown.
            shown = sorted((report["redis"] for report in reports if "redis" in report), key=_is_ready)
            report["redis"] = shown[0]
        report["workers"] = {str(slot): _state(worker) for slot, worker in enumerate(places)}
        return report


def _is_ready(redis: Mapping[str, Any]) -> bool:
    return redis.get("state") == "ready"


def _state(worker: WorkerProcess | None) -> str:
    if worker is None:
        return "restarting"
    if worker.is_ready:
        return "ready"
    return "waiting" if worker.has_started else "leaving" if worker.is_leaving else "starting"


def _worst(states: Iterable[Mapping[str, Any]], best: str) -> dict[str, Any]:
    """One state for each name: the best one only where all say so."""
    worst: dict[str, Any] = {}
    for each in states:
        for name, state in each.items():
            if worst.get(name, best) == best:
                worst[name] = state
    return worst


class CountedTogether:
    """The figures of all workers, those that have ended included: nothing that was counted is lost."""

    def __init__(self, keeper: Keeper, tell: Callable[[Figures], None] = lambda _: None) -> None:
        """`tell` adds those that are kept in no worker."""
        self._keeper = keeper
        self._tell = tell
        self._ended = Figures()

    def take_over(self, ended: WorkerProcess) -> None:
        """Keep what a worker counted until its end."""
        self._ended.add_counts(ended.figures)

    async def figures(self) -> Figures:
        """All figures of this moment; of a worker that does not answer, those it told last."""
        await asyncio.gather(*map(_refreshed, self._keeper.workers))
        # Summed up after the last `await`: a worker that ends meanwhile is counted once, here or there.
        together = Figures()
        together.add(self._ended)
        for worker in self._keeper.workers:
            together.add(worker.figures)
        in_slots = self._keeper.in_slots()
        together.one("gateway_workers", sum(worker is not None and worker.has_started for worker in in_slots))
        together.one("gateway_worker_restarts", self._keeper.restarts)
        self._tell(together)
        return together


async def _refreshed(worker: WorkerProcess) -> None:
    if worker.report:
        with contextlib.suppress(Unanswered):
            await worker.refresh_figures()


class OperatedTogether:
    """Carries operations out on one worker, or on all."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def __call__(self, name: str, members: Members) -> Outcome:
        """Carry one out; 503 when there is no worker to do it."""
        if name == "revocations":
            return _listed(await self._by_all(name, members))
        if name == "refresh_keys":
            return _refreshed_keys(await self._by_all(name, members))
        outcome = await self._by_one(name, members)
        if name in ("revoke", "withdraw") and outcome.status < 400 and not await self._has_settled():
            return Outcome(outcome.status, outcome.members and {**outcome.members, "delivered": False})
        return outcome

    def _able(self) -> list[WorkerProcess]:
        """Those that can be asked, the ready ones first."""
        return sorted(
            (worker for worker in self._workers() if worker.has_started), key=lambda worker: not worker.is_ready
        )

    async def _by_one(self, name: str, members: Members) -> Outcome:
        for worker in self._able():
            try:
                return await worker.operate(name, members)
            except Unanswered:
                continue  # it has just ended; another can do the same
        return _NOBODY

    async def _by_all(self, name: str, members: Members) -> list[Outcome]:
        answers = await asyncio.gather(
            *(worker.operate(name, members) for worker in self._able()), return_exceptions=True
        )
        return [answer for answer in answers if isinstance(answer, Outcome)]

    async def _has_settled(self) -> bool:
        """Wait until every worker has acted on what one of them told the others. Whether all did."""
        # One that is about to end still answers requests; one that has not begun is told before it does.
        return all(await asyncio.gather(*(_settles(worker) for worker in self._workers() if worker.report)))


async def _settles(worker: WorkerProcess) -> bool:
    try:
        await worker.settle(_SETTLE_SECONDS)
    except Unanswered:
        return worker.is_gone
    return True


def _listed(outcomes: list[Outcome]) -> Outcome:
    """The union of all lists: the same entries, but for `delivered`, which only the one that made an entry may deny."""
    if not outcomes:
        return _NOBODY
    entries: dict[str, dict[str, Any]] = {}
    for outcome in outcomes:
        for entry in outcome.members["revocations"]:
            known = entries.setdefault(entry["id"], entry)
            known["delivered"] = known["delivered"] and entry["delivered"]
    ordered = sorted(entries.values(), key=lambda entry: (entry["created_at"], entry["id"]))
    return Outcome(200, {"revocations": ordered})


def _refreshed_keys(outcomes: list[Outcome]) -> Outcome:
    if not outcomes:
        return _NOBODY
    failed = next((outcome for outcome in outcomes if outcome.status != 200), None)
    return failed or Outcome(200, {"issuers": _worst((outcome.members["issuers"] for outcome in outcomes), "ok")})
