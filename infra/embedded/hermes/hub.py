"""What the routes share: prices, failures, open streams, and the task that publishes each period."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from enum import Enum
from typing import Final

from infra.embedded.hermes.board import Board, Snapshot
from infra.embedded.hermes.failures import HTTP_STATUS, Failures
from infra.embedded.hermes.models import FailureMode, FailureRequest, HermesState, PriceRequest, PriceState
from infra.runtime.logs import get_logger
from ingest.prices.pyth.accumulator import PriceFeedMessage

QUEUED_EVENTS = 64
_log = get_logger(__name__)


class Note(Enum):
    """What a stream is told besides prices: look at the failure again; end."""

    LOOK = 0
    END = 1


LOOK: Final = Note.LOOK
END: Final = Note.END
StreamQueue = asyncio.Queue[Snapshot | Note]


class Hub:
    """State of the server; every method is called on its event loop."""

    def __init__(self, board: Board, failures: Failures, period_s: float) -> None:
        self.board = board
        self.failures = failures
        self.requests: Counter[str] = Counter()
        self._period_s = period_s
        self._frozen: Snapshot | None = None
        self._streams: set[StreamQueue] = set()
        self._is_leaving = False

    @property
    def shown(self) -> Snapshot:
        """The newest prices, or the last ones before everything froze."""
        if self._frozen is not None and self.failures.is_active(FailureMode.FROZEN):
            return self._frozen
        return self.board.current

    async def publish_for_ever(self) -> None:
        """Publish each period."""
        while True:
            await asyncio.sleep(self._period_s)
            self.board.publish()
            self._tell(self.shown)

    def set_prices(self, wanted: PriceRequest) -> None:
        """Take new prices and publish them."""
        self.board.set_prices(wanted)
        self._tell(self.shown)

    def fail(self, wanted: FailureRequest) -> None:
        """Begin a failure; open streams see it at once."""
        self._frozen = self.shown
        self.failures.begin(wanted)
        self._tell(LOOK)

    def heal(self) -> None:
        """End the failure."""
        self.failures.end()
        self._frozen = None
        self._tell(self.shown)

    def join(self) -> StreamQueue:
        """A queue of what happens from now on."""
        mine: StreamQueue = asyncio.Queue(QUEUED_EVENTS)
        self._streams.add(mine)
        if self._is_leaving:
            mine.put_nowait(END)
        return mine

    def leave(self, mine: StreamQueue) -> None:
        """The stream of the queue has ended."""
        self._streams.discard(mine)

    def close(self) -> None:
        """End every stream, and those that are still opened, so that the server can."""
        self._is_leaving = True
        self._tell(END)

    def refuses_streams(self) -> bool:
        """Whether open streams end because every route refuses."""
        return self.failures.is_active(*HTTP_STATUS)

    def state(self) -> HermesState:
        """Everything that a person or a test wants to see."""
        prices = {self.board.assets[each.feed_id]: _state(each) for each in self.shown.messages.values()}
        return HermesState(
            prices=dict(sorted(prices.items())),
            slot=self.shown.slot,
            requests=dict(sorted(self.requests.items())),
            open_streams=len(self._streams),
            failure=self.failures.active,
        )

    def _tell(self, item: Snapshot | Note) -> None:
        for queue in self._streams:
            if queue.full():
                # A reader this slow loses the oldest updates, never a note.
                queue.get_nowait()
            queue.put_nowait(item)


def _state(message: PriceFeedMessage) -> PriceState:
    return PriceState(
        price_usd=Decimal(message.price).scaleb(message.expo),
        confidence_usd=Decimal(message.conf).scaleb(message.expo),
        expo=message.expo,
        publish_time=message.publish_time,
    )
