"""Links that work: the stored one while it lives long enough, else a new one, for which HeyGen is asked once.

The way of a new link is that of every poll: claim the row, ask, record, read the row again.
"""

import asyncio
from collections import OrderedDict
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import structlog

from tracker.domain.files.ports import Asker, Files, LinkFigures, Rows
from tracker.domain.links import Link, LinkKind, expires_at
from tracker.domain.observation import Observation, ProblemKind
from tracker.domain.ports import Clock
from tracker.domain.status import Status
from tracker.errors import (
    AccountError,
    BrokenTransferError,
    FileTooLargeError,
    HeyGenError,
    LinkEndedError,
    LinkRefusedError,
    NotFinishedError,
    NotFoundError,
    StoreError,
    TrackerError,
    TransientError,
)

log = structlog.get_logger("tracker.links")

GOOD_FOR = timedelta(hours=1)
JUST_ASKED = timedelta(minutes=1)  # for so long the same question would bring the same answer
REMEMBERED = 1000  # questions, and checks
LOOK_AGAIN_SECONDS = 0.2  # while another tracker asks
LONGEST_QUESTION = timedelta(minutes=5)  # of others, before we say that it takes too long
CHECK_SECONDS = 5.0


class Freshness(StrEnum):
    """How links are kept alive."""

    OFF = "off"  # the stored one is given while it lives
    ON_DEMAND = "on_demand"  # whoever wants one gets a fresh one
    ALWAYS = "always"  # and before they end new ones are asked for, whoever wants them


class FreshLinks:
    """Gives links. `files` None: nothing tells whether the file host would take them."""

    def __init__(
        self,
        rows: Rows,
        asker: Asker,
        files: Files | None,
        figures: LinkFigures,
        clock: Clock,
        freshness: Freshness,
    ) -> None:
        self._rows, self._asker, self._figures, self._clock = rows, asker, figures, clock
        self.freshness = freshness
        self._checks = Checks(files, clock) if files is not None else None
        self._asking: dict[int, asyncio.Task[None]] = {}
        self._asked: OrderedDict[int, tuple[datetime, TrackerError | None]] = OrderedDict()

    async def working(self, translation_id: int, kind: LinkKind) -> Link:
        """As `fresh`, once the file host was asked whether it takes the link: a revoked one is renewed once.

        Raises UnsafeLinkError for a link that leads where we do not go. A file host that does not
        answer keeps no link back: it may answer whoever follows it.
        """
        link = await self.fresh(translation_id, kind)
        if self._checks is None or not await self._checks.is_refused(link.url):
            return link
        log.info("link refused before its end", row=translation_id, kind=kind)
        link = await self.fresh(translation_id, kind, refused=link.url)
        if await self._checks.is_refused(link.url):
            raise LinkRefusedError(f"HeyGen gave a new link to the {kind}, and the file host refuses it, too")
        return link

    async def fresh(self, translation_id: int, kind: LinkKind, *, refused: str | None = None) -> Link:
        """See `Links`."""
        row = await self._row(translation_id)
        known = _link(row, kind)
        if known.url != refused and known.expires_at - self._clock() > GOOD_FOR:
            return known
        lives = known.url != refused and known.expires_at > self._clock()
        if self.freshness is Freshness.OFF:
            return known if lives else _refuse(known, refused)
        try:
            await self._ask_once(row)
        except HeyGenError as error:
            if not lives:
                raise
            log.warning("link not renewed", id=row["video_translate_id"], kind=kind, error=str(error))
            return known
        return self._given(_link(await self._row(translation_id), kind), known, refused, lives=lives)

    def _given(self, link: Link, known: Link, refused: str | None, *, lives: bool) -> Link:
        """What there is after HeyGen was asked, where that can be given."""
        if link.url == refused:
            raise LinkRefusedError(
                f"HeyGen gives the same link to the {link.kind} again, and the file host refuses it"
            )
        if link == known and not lives:
            raise TransientError(f"HeyGen was asked, and gave no new link to the {link.kind}")
        if link.expires_at - self._clock() <= GOOD_FOR:
            log.info("link ends soon", row=link.translation_id, kind=link.kind, end=str(link.expires_at))
        return link

    async def _row(self, translation_id: int) -> dict[str, Any]:
        if not (rows := await self._rows.get([translation_id])):
            raise NotFoundError(f"there is no translation {translation_id} any more")
        return rows[0]

    # One question, however many want its answer

    async def _ask_once(self, row: dict[str, Any]) -> None:
        """Have HeyGen asked, unless it just was; returns once the answer is stored, or raises what came."""
        number = row["id"]
        if (asked := self._asked.get(number)) and self._clock() - asked[0] < JUST_ASKED:
            if asked[1] is not None:
                raise asked[1].with_traceback(None)
            return
        if (task := self._asking.get(number)) is None:
            task = asyncio.create_task(self._ask(row), name=f"links of {row['video_translate_id']}")
            self._asking[number] = task
            task.add_done_callback(_seen)
            task.add_done_callback(lambda _: self._asking.pop(number, None))
        await asyncio.wait([task])  # whoever goes away cancels nothing
        task.result()

    async def _ask(self, row: dict[str, Any]) -> None:
        """Ask, or wait for whoever already does, in this process or in another one."""
        try:
            seen = await self._asker.ask(row["id"], row["poll_count"])
            until = self._clock() + LONGEST_QUESTION
            while seen is None and not await self._was_asked(row):
                if self._clock() > until:
                    raise TransientError(
                        "another tracker has been asking for this link for too long; try again"
                    )
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                if await self._is_free(row):
                    seen = await self._asker.ask(row["id"], row["poll_count"])
            if seen is not None:
                _raise_problem(seen)
        except (AccountError, StoreError):  # which cost no question, and may be over in a moment
            self._figures.link_not_renewed(Freshness.ON_DEMAND)
            raise
        except TrackerError as error:
            self._note(row, error)
            raise
        if seen is not None:
            self._note(row, None)

    def _note(self, row: dict[str, Any], error: TrackerError | None) -> None:
        """What came of our own question, for the figures and for whoever asks the same in a moment."""
        self._asked[row["id"]] = (self._clock(), error)
        self._asked.move_to_end(row["id"])
        while len(self._asked) > REMEMBERED:
            self._asked.popitem(last=False)
        if error is None:
            self._figures.link_renewed(Freshness.ON_DEMAND)
            log.info("link renewed", id=row["video_translate_id"], cause=Freshness.ON_DEMAND)
        else:
            self._figures.link_not_renewed(Freshness.ON_DEMAND)

    async def _was_asked(self, known: dict[str, Any]) -> bool:
        """Whether somebody has stored an answer since."""
        return bool((await self._row(known["id"]))["poll_count"] != known["poll_count"])

    async def _is_free(self, known: dict[str, Any]) -> bool:
        until = (await self._row(known["id"]))["claimed_until"]
        return until is None or until <= self._clock()


class Checks:
    """Whether file hosts take links, remembered for a minute, and asked once however many want to know."""

    def __init__(self, files: Files, clock: Clock) -> None:
        self._files, self._clock = files, clock
        self._known: OrderedDict[str, tuple[datetime, asyncio.Task[bool]]] = OrderedDict()

    async def is_refused(self, url: str) -> bool:
        """False also where the host does not say. Raises UnsafeLinkError."""
        known = self._known.get(url)
        if known is None or self._clock() - known[0] >= JUST_ASKED:
            known = (self._clock(), asyncio.create_task(self._ask(url), name="check of a link"))
            known[1].add_done_callback(_seen)
            self._known[url] = known
            self._known.move_to_end(url)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        await asyncio.wait([known[1]])
        return known[1].result()

    async def _ask(self, url: str) -> bool:
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._files.check(url)
        except LinkRefusedError:
            return True
        except (BrokenTransferError, FileTooLargeError, TimeoutError) as error:
            log.info("link not checked", error=str(error) or f"no answer within {CHECK_SECONDS:g} s")
        return False


def _seen(task: "asyncio.Task[Any]") -> None:
    """Whoever wanted to know may have gone away: asyncio need not tell of an error that nobody asked for."""
    if not task.cancelled():
        task.exception()


def _link(row: dict[str, Any], kind: LinkKind) -> Link:
    """The link that is stored; NotFoundError: there is no such file, NotFinishedError: there is none yet."""
    name, status = row["video_translate_id"] or f"callback_id {row['callback_id']}", Status(row["status"])
    if not status.is_final:
        raise NotFinishedError(f"{name} is {status}: not finished yet")
    if status is Status.FAILED:
        raise NotFoundError(
            f"{name} has failed, so that there is no {kind}: {row['message'] or 'no reason given'}"
        )
    if (url := row[kind.column]) is None:
        if kind is LinkKind.VIDEO and row["attention"] == "url_missing":
            raise NotFinishedError(f"{name} has succeeded, and HeyGen has not named its video yet")
        others = ", ".join(other for other in LinkKind if row[other.column] is not None)
        raise NotFoundError(f"{name} has no {kind}: HeyGen has named none; there is: {others or 'nothing'}")
    # What an earlier release stored has no end of its own yet.
    end = row[kind.expiry_column] or expires_at(url, row["url_fetched_at"] or row["created_at"])
    return Link(row["id"], kind, url, end)


def _refuse(known: Link, refused: str | None) -> Link:
    why = (
        "is refused by the file host"
        if known.url == refused
        else f"ended at {known.expires_at:%Y-%m-%d %H:%M} UTC"
    )
    raise LinkEndedError(
        f"the stored link to the {known.kind} {why}, and TRACKER_KEEP_LINKS_FRESH is off; "
        "tracker poll ID asks HeyGen for another"
    )


def _raise_problem(seen: Observation) -> None:
    if seen.problem is None:
        return
    if seen.problem.kind is ProblemKind.UNREACHABLE:
        raise TransientError(f"HeyGen gave no new link: {seen.problem.message}")
    raise NotFoundError(f"HeyGen does not know {seen.video_translate_id} any more: {seen.problem.message}")
