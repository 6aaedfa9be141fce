"""The newest state of a watched topic, and what of it a listener does not have yet."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

# The browser counts ages on by itself; what differs more than this from its count is sent.
AGE_TOLERANCE_S = 1.5


@dataclass(frozen=True)
class LivePage:
    """What a page shows now: pieces of HTML by name in their order, and ages in seconds by name (None: unknown).

    `is_old`: some figure could not be read anew, so all are greyed.
    """

    sections: Mapping[str, str]
    ages: Mapping[str, float | None] = field(default_factory=dict)
    is_old: bool = False

    def later(self, seconds: float, is_old: bool | None = None) -> LivePage:
        """The same page some seconds later."""
        ages = {name: None if age is None else age + seconds for name, age in self.ages.items()}
        return LivePage(self.sections, ages, self.is_old if is_old is None else is_old)


@dataclass
class Channel:
    """The newest state of one topic that somebody watches; versions count from 1."""

    topic: str
    page: LivePage | None = None
    made_at: float = 0.0
    is_late: bool = False
    version: int = 0
    changed: dict[str, int] = field(default_factory=dict)
    listeners: int = 0
    task: asyncio.Task[None] | None = None
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, page: LivePage, at: float) -> None:
        """Take a new page; listeners hear of it only if it differs from what they can count on by themselves."""
        before, elapsed, was_late = self.page, at - self.made_at, self.is_late
        self.page, self.made_at, self.is_late = page, at, False
        if before is not None and not was_late and not _differs(before.later(elapsed), page):
            return
        self.version += 1
        old: Mapping[str, str] = before.sections if before is not None else {}
        self.changed = {
            name: self.changed[name] if old.get(name) == html else self.version for name, html in page.sections.items()
        }
        self._tell()

    def late(self) -> None:
        """The look takes too long or failed: what is shown is old, and grows older."""
        if not self.is_late:
            self.is_late = True
            self.version += 1
            self._tell()

    def _tell(self) -> None:
        told, self.news = self.news, asyncio.Event()
        told.set()


def _differs(expected: LivePage, page: LivePage) -> bool:
    if dict(expected.sections) != dict(page.sections) or expected.is_old != page.is_old:
        return True
    if list(expected.sections) != list(page.sections) or expected.ages.keys() != page.ages.keys():
        return True
    pairs = ((expected.ages[name], age) for name, age in page.ages.items())
    return any((a is None) != (b is None) or abs((a or 0.0) - (b or 0.0)) > AGE_TOLERANCE_S for a, b in pairs)


@dataclass
class Listener:
    """One browser on a topic; `seen` is the version that it has."""

    channel: Channel
    now: Callable[[], float]
    beat_s: float
    seen: int = 0

    async def next(self) -> bytes:
        """The next event for this browser: what changed since its last one, or a heartbeat."""
        channel, news = self.channel, self.channel.news
        if channel.version <= self.seen:
            try:
                await asyncio.wait_for(news.wait(), self.beat_s)
            except TimeoutError:
                return self._event("beat", {})
        since, self.seen = self.seen, channel.version
        if channel.page is None:
            return self._event("beat", {})
        sections = channel.page.sections
        changed = [[name, html] for name, html in sections.items() if html and channel.changed[name] > since]
        return self._event("page", {"order": [name for name, html in sections.items() if html], "sections": changed})

    def _event(self, name: str, content: dict[str, Any]) -> bytes:
        channel = self.channel
        if channel.page is not None:
            elapsed = self.now() - channel.made_at
            shown = channel.page.later(elapsed)
            content |= {"ages": shown.ages, "is_old": shown.is_old}
        content["is_late"] = channel.is_late
        text = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return f"event: {name}\nid: {self.seen}\ndata: {text}\n\n".encode()
