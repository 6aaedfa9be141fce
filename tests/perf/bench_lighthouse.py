"""Lighthouse on the light page and on the full app, beside Streamlit's own hello page in the same run.

    python tests/perf/bench_lighthouse.py [--runs 5] [--accounts 200] [--url http://127.0.0.1:8601 --session COOKIE]

Mobile profile: slow 4G and a four times slower CPU, both simulated by Lighthouse; medians. Without --url the app runs
over a demo book of its own. Lighthouse comes from npm into a cache folder; Chromium is /usr/bin/chromium.
Targets: `/` first content under 2 s and performance 90; the full app 75.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from _app import COOKIE, app_over, demo_warehouse
from _bench import print_machine, wait_until
from _npm import LIGHTHOUSE, package_folder
from playwright.sync_api import sync_playwright

from infra.embedded.ports import free_ports

CHROMIUM = "/usr/bin/chromium"
CHROME_FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run")
RUN_TIMEOUT_S = 180
AUDITS = {
    "FCP s": ("first-contentful-paint", 1000),
    "LCP s": ("largest-contentful-paint", 1000),
    "TBT ms": ("total-blocking-time", 1),
    "CLS": ("cumulative-layout-shift", 1),
    "KiB": ("total-byte-weight", 1024),
}


@dataclass(frozen=True)
class Result:
    """The figures of one run: performance of 100, and each of `AUDITS`."""

    performance: float
    figures: Mapping[str, float]


@contextmanager
def browser_of(url: str, session: str, folder: Path) -> Iterator[int]:
    """A fresh Chromium that is signed in, and its port for Lighthouse.

    A header would not do: Chromium sends extra headers with no websocket, and Streamlit would stay empty.
    """
    port = free_ports(1)[0]
    flags = [*CHROME_FLAGS, f"--remote-debugging-port={port}", f"--user-data-dir={folder}", "about:blank"]
    process = subprocess.Popen([CHROMIUM, *flags], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/json/version"), "Chromium")
        if session:
            with sync_playwright() as playwright:
                chromium = playwright.chromium.connect_over_cdp(f"http://127.0.0.1:{port}")
                chromium.contexts[0].add_cookies([{"name": COOKIE, "value": session, "url": url}])
                chromium.close()
        yield port
    finally:
        process.terminate()
        process.wait(20)


def run_lighthouse(lighthouse: Path, url: str, session: str) -> Result:
    """One run on an address in a browser of its own."""
    with tempfile.TemporaryDirectory(prefix="ballast-lighthouse-", ignore_cleanup_errors=True) as folder:
        report = Path(folder) / "report.json"
        with browser_of(url, session, Path(folder) / "profile") as port:
            command = ["node", str(lighthouse / "cli" / "index.js"), url, "--output=json", f"--output-path={report}"]
            command += ["--quiet", "--only-categories=performance", f"--port={port}", "--disable-storage-reset"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_TIMEOUT_S, check=False)
        if done.returncode != 0:
            raise SystemExit(f"Lighthouse failed on {url}: {done.stderr[-1500:]}")
        return _result(url, report)


def _result(url: str, report: Path) -> Result:
    found = json.loads(report.read_text(encoding="utf-8"))
    if found.get("runtimeError"):
        raise SystemExit(f"Lighthouse could not measure {url}: {found['runtimeError']['message']}")
    audits = found["audits"]
    figures = {name: audits[audit]["numericValue"] / scale for name, (audit, scale) in AUDITS.items()}
    return Result(found["categories"]["performance"]["score"] * 100, figures)


@contextmanager
def stock_hello() -> Iterator[str]:
    """The address of Streamlit as it comes, with a page of one line."""
    port = free_ports(1)[0]
    with tempfile.TemporaryDirectory(prefix="ballast-hello-") as folder:
        script = Path(folder) / "hello.py"
        script.write_text('import streamlit as st\n\nst.title("Hello world")\n', encoding="utf-8")
        argv = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless=true"]
        argv += ["--server.address=127.0.0.1", f"--server.port={port}", "--browser.gatherUsageStats=false"]
        process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until(lambda: _answers(f"{url}/_stcore/health"), "stock Streamlit")
            yield f"{url}/"
        finally:
            process.terminate()
            process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def measure(name: str, url: str, session: str, runs: int, lighthouse: Path) -> None:
    """Print the medians of an address, and from where to where the performance went."""
    results = [run_lighthouse(lighthouse, url, session) for _ in range(runs)]
    scores = [result.performance for result in results]
    medians = {each: statistics.median(result.figures[each] for result in results) for each in AUDITS}
    figures = "  ".join(f"{each} {value:8.2f}" for each, value in medians.items())
    print(f"{name:14} performance {statistics.median(scores):3.0f} ({min(scores):.0f}-{max(scores):.0f})  {figures}")


def main() -> None:
    """Measure each page and the reference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--accounts", type=int, default=200)
    parser.add_argument("--pages", nargs="*", default=["/", "/app/", "/app/?account=acct-00001"])
    parser.add_argument("--url", help="a running app; its session comes by --session")
    parser.add_argument("--session", default="")
    options = parser.parse_args()
    lighthouse = package_folder(LIGHTHOUSE)
    print_machine()
    print(f"{LIGHTHOUSE}, mobile, slow 4G, medians of {options.runs}")
    with ExitStack() as held:
        url, session = options.url, options.session
        if url is None:
            app = held.enter_context(app_over(held.enter_context(demo_warehouse(options.accounts))))
            url, session = app.url, app.session
        for page in options.pages:
            measure(page, url + page, session, options.runs, lighthouse)
    with stock_hello() as hello:
        measure("stock hello", hello, "", options.runs, lighthouse)
    print_machine()


if __name__ == "__main__":
    main()
