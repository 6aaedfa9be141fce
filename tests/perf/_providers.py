"""One process that answers as SendGrid, Twilio, PagerDuty and a receiver of webhooks, and can be made to fail.

    python tests/perf/_providers.py --port N [--fail 0.3] [--burst-every 10 --burst-s 1] [--stall 0.01 --stall-s 2]
        [--accept-s 0.4 --late 0.3]

It keeps what it accepted in memory: `GET /counts` gives, for each channel, requests, refusals, messages, distinct ones,
and what came twice; `GET /accepted` the ids of all messages, and what a receiver would tell copies by. With
`--accept-s` a share `--late` of the answers comes that late, after the message was taken.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

SID_DIGITS = 32
# The id of messages that a reference sends.
UNCOUNTED = "bare"


@dataclass
class Faults:
    """How it fails: shares of requests, and seconds."""

    fail: float = 0.0
    burst_every_s: float = 0.0
    burst_s: float = 0.0
    stall: float = 0.0
    stall_s: float = 2.0
    accept_s: float = 0.0
    late: float = 1.0
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    began: float = field(default_factory=time.monotonic)

    async def refusal(self) -> web.Response | None:
        """The answer that a request gets instead of being accepted, after a stall perhaps."""
        if self.stall and self.dice.random() < self.stall:
            await asyncio.sleep(self.stall_s)
        if self.burst_every_s and (time.monotonic() - self.began) % self.burst_every_s < self.burst_s:
            return web.Response(status=429, headers={"Retry-After": "1"})
        if self.fail and self.dice.random() < self.fail:
            return web.Response(status=503)
        return None


class Providers:
    """The application's state: what came, by channel and notification."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.requests: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.accepted: dict[str, Counter[str]] = {
            channel: Counter() for channel in ("email", "sms", "webhook", "pagerduty")
        }
        self.sms: list[dict[str, str]] = []
        self.pages: Counter[str] = Counter()
        # What a receiver drops a second copy by: the key of a page, and for a hook its id, whose body stays the same.
        self.page_keys: dict[str, set[str]] = {}
        self.bodies: dict[str, int] = {}
        self.changed: Counter[str] = Counter()

    async def _refused(self, channel: str) -> web.Response | None:
        self.requests[channel] += 1
        refusal = await self._faults.refusal()
        if refusal is not None:
            self.refused[channel] += 1
        return refusal

    async def _answer(self, response: web.Response) -> web.Response:
        """Answer late where that is wanted: the message is taken already."""
        if self._faults.accept_s and self._faults.dice.random() < self._faults.late:
            await asyncio.sleep(self._faults.accept_s)
        return response

    async def mail(self, request: web.Request) -> web.Response:
        """SendGrid's `POST /v3/mail/send`."""
        body = json.loads(await request.read())
        refusal = await self._refused("email")
        if refusal is not None:
            return refusal
        for person in body["personalizations"]:
            self.accepted["email"][{**body.get("custom_args", {}), **person["custom_args"]}["notification_id"]] += 1
        number = self.requests["email"]
        return await self._answer(web.Response(status=202, headers={"X-Message-Id": f"mail-{number}"}))

    async def text(self, request: web.Request) -> web.Response:
        """Twilio's `POST .../Messages.json`."""
        form = parse_qs((await request.read()).decode())
        refusal = await self._refused("sms")
        if refusal is not None:
            return refusal
        key = parse_qs(urlsplit(form["StatusCallback"][0]).query)["notification_id"][0]
        if key == UNCOUNTED:
            return web.json_response({"sid": "SM", "status": "queued"}, status=201)
        self.accepted["sms"][key] += 1
        sid = f"SM{len(self.sms):0{SID_DIGITS}x}"
        created = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime())
        self.sms.append({"sid": sid, "to": form["To"][0], "body": form["Body"][0], "date_created": created})
        return await self._answer(web.json_response({"sid": sid, "status": "queued"}, status=201))

    async def texts(self, request: web.Request) -> web.Response:
        """Twilio's list of messages to one number, newest first."""
        found = [{**each, "status": "sent"} for each in reversed(self.sms) if each["to"] == request.query.get("To")]
        return web.json_response({"messages": found[:50], "page": 0, "page_size": 50, "next_page_uri": None})

    async def page(self, request: web.Request) -> web.Response:
        """PagerDuty's `POST /v2/enqueue`."""
        body = json.loads(await request.read())
        refusal = await self._refused("pagerduty")
        if refusal is not None:
            return refusal
        self.pages[f"{body['event_action']}:{body['dedup_key']}"] += 1
        if body["event_action"] == "trigger":
            key = body["payload"]["custom_details"]["notification_id"]
            self.accepted["pagerduty"][key] += 1
            self.page_keys.setdefault(key, set()).add(body["dedup_key"])
        taken = web.json_response({"status": "success", "dedup_key": body["dedup_key"]}, status=202)
        return await self._answer(taken)

    async def hook(self, request: web.Request) -> web.Response:
        """A receiver of Standard Webhooks."""
        body = await request.read()
        refusal = await self._refused("webhook")
        if refusal is not None:
            return refusal
        key = request.headers["webhook-id"]
        if key != UNCOUNTED:
            self.accepted["webhook"][key] += 1
            if self.bodies.setdefault(key, hash(body)) != hash(body):
                self.changed[key] += 1
        return await self._answer(web.Response(status=204))

    async def counts(self, _request: web.Request) -> web.Response:
        """Sums of everything."""
        found = {
            channel: {
                "requests": self.requests[channel],
                "refused": self.refused[channel],
                "messages": sum(seen.values()),
                "distinct": len(seen),
                "twice": sum(count - 1 for count in seen.values()),
            }
            for channel, seen in self.accepted.items()
        }
        return web.json_response(found | {"pages": dict(self.pages)})

    async def everything(self, _request: web.Request) -> web.Response:
        """How often each notification was accepted, by channel, and copies that a receiver would not know."""
        several = {key: sorted(keys) for key, keys in self.page_keys.items() if len(keys) > 1}
        found = {channel: dict(seen) for channel, seen in self.accepted.items()}
        return web.json_response({"accepted": found, "changed_bodies": dict(self.changed), "page_keys": several})


def main() -> None:
    """Serve on 127.0.0.1 until ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    for name in ("fail", "burst-every", "burst-s", "stall", "accept-s"):
        parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--stall-s", type=float, default=2.0)
    parser.add_argument("--late", type=float, default=1.0)
    options = parser.parse_args()
    faults = Faults(
        options.fail,
        options.burst_every,
        options.burst_s,
        options.stall,
        options.stall_s,
        options.accept_s,
        options.late,
    )
    served = Providers(faults)
    app = web.Application(client_max_size=64 * 1024**2)
    app.add_routes(
        [
            web.post("/v3/mail/send", served.mail),
            web.post("/2010-04-01/Accounts/{account}/Messages.json", served.text),
            web.get("/2010-04-01/Accounts/{account}/Messages.json", served.texts),
            web.post("/v2/enqueue", served.page),
            web.post("/hook", served.hook),
            web.get("/counts", served.counts),
            web.get("/accepted", served.everything),
        ]
    )
    web.run_app(app, host="127.0.0.1", port=options.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
