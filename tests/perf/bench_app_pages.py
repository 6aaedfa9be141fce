"""How long the script of each page of the app takes over a large book.

    python tests/perf/bench_app_pages.py [--accounts 10000] [--runs 20]

Every page of `streamlit_app.pages` runs under Streamlit's AppTest, first with nothing read before (cold), then as in a
process that others use (warm: what is young is shared). Pages of compliance ask a running API, whose queue is empty.
Target: p95 under 1 s. Reference: an empty page.
"""

from __future__ import annotations

import argparse
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import streamlit as st
from _app import large_warehouse
from _bench import cuts, print_machine, process, wait_until
from streamlit.testing.v1 import AppTest

from compliance.migrations import upgrade
from compliance.model import Role
from infra.runtime.postgres import postgres_engine
from infra.runtime.settings import Settings
from streamlit_app import data, visitor
from streamlit_app.pages import PAGES
from streamlit_app.visitor import Visitor

RUN_TIMEOUT_S = 120
TARGET_S = 1.0
EMPTY = "import streamlit as st\nst.title('Empty')\n"
OF_AN_ACCOUNT = frozenset({"portfolio", "account"})
ONE_ACCOUNT = {"account": "acct-0000007"}


def script_of(path: str) -> str:
    """A script that shows one page."""
    return f"from streamlit_app.pages import PAGES\nnext(page for page in PAGES if page.path == {path!r}).render()\n"


def seconds(script: str, parameters: dict[str, str], runs: int, *, is_cold: bool) -> list[float]:
    """Seconds of each run in a session of its own."""
    taken = []
    for _ in range(runs):
        if is_cold:
            st.cache_resource.clear()
            st.cache_data.clear()
        test = AppTest.from_string(script, default_timeout=RUN_TIMEOUT_S)
        for name, value in parameters.items():
            test.query_params[name] = value
        began = time.perf_counter()
        test.run()
        taken.append(time.perf_counter() - began)
        if test.exception:
            raise SystemExit(f"a page failed: {test.exception[0].message}")
    return taken


def use(settings: Settings, role: Role) -> None:
    """Let the pages read this warehouse, as a person of the role."""
    os.environ["BALLAST_STATE_DIR"] = str(settings.state_dir)
    data.load_settings = lambda: settings
    # The people that the embedded mode makes are called by their roles.
    visitor.current = lambda: Visitor(role.value, role)


@contextmanager
def api_over(settings: Settings) -> Iterator[None]:
    """The API on these servers."""
    engine = postgres_engine(settings, "bench", pool_size=1)
    upgrade(engine)
    engine.dispose()
    with process(settings, "-m", "api", name="api"):
        wait_until(lambda: _is_alive(f"{settings.api_url}/healthz"), "the API")
        yield


def _is_alive(url: str) -> bool:
    try:
        return httpx.get(url).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def main() -> None:
    """Build the book, run every page, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--pages", nargs="*", help="paths of pages; none: every page")
    options = parser.parse_args()
    print_machine()
    # It says at each run that no browser is there.
    logging.disable(logging.WARNING)
    with large_warehouse(options.accounts) as settings, api_over(settings):
        slow = []
        for page in PAGES:
            if options.pages and page.path not in options.pages:
                continue
            use(settings, sorted(page.roles)[0] if Role.OFFICER not in page.roles else Role.OFFICER)
            looks = [(page.path, {})] if page.path != "account" else []
            if page.path in OF_AN_ACCOUNT:
                looks.append((f"{page.path} of an account", ONE_ACCOUNT))
            for name, parameters in looks:
                cold = seconds(script_of(page.path), parameters, max(5, options.runs // 4), is_cold=True)
                warm = seconds(script_of(page.path), parameters, options.runs, is_cold=False)
                print(f"{name:34} cold {cuts(cold)}\n{'':34} warm {cuts(warm)}")
                slow += [name] if sorted(warm)[int(len(warm) * 0.95)] > TARGET_S else []
        print(f"{'reference: an empty page':34} warm {cuts(seconds(EMPTY, {}, options.runs, is_cold=False))}")
    print(f"target p95 under {TARGET_S:.0f} s, warm: " + (f"missed by {', '.join(slow)}" if slow else "met"))
    print_machine()


if __name__ == "__main__":
    main()
