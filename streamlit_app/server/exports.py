"""The exports: `/export/book` and `/export/account/<id>`, as CSV and PDF, for every role that sees the page.

A file is made whole before its first byte is sent: a warehouse that goes away gives an answer in words, never half a
file.
"""

from __future__ import annotations

import asyncio
import functools
import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from datetime import UTC, datetime
from typing import IO

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from assets.risk.queries import Reader
from infra.runtime.bigquery import Warehouse
from infra.runtime.clock import Clock, SystemClock
from infra.runtime.errors import BallastError
from infra.runtime.logs import get_logger
from streamlit_app import data
from streamlit_app.components.account_tables import ACCOUNT_PATH
from streamlit_app.components.export_links import EXPORT_ROOT
from streamlit_app.pages import PAGES, pages_for
from streamlit_app.reads import ProblemKind, problem_of
from streamlit_app.reports import content, csv_files
from streamlit_app.reports.content import UnknownAccountError
from streamlit_app.server.plain_page import problem_page
from streamlit_app.server.session import request_visitor

EXPORT_DEADLINE_S = 20.0
# A report costs a core for a moment: the rest of the process must go on.
MAX_AT_ONCE = 2
IN_MEMORY_BYTES = 8_000_000
CHUNK_BYTES = 256 * 1024
ACCOUNT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
CSV_TYPE = "text/csv; charset=utf-8; header=present"
PDF_TYPE = "application/pdf"
KINDS = ("csv", "pdf")
_log = get_logger(__name__)
Make = Callable[[Reader, datetime], Iterable[bytes]]


def routes(open_reader: Callable[[], Reader] | None = None, clock: Clock | None = None) -> list[Route]:
    """The routes, which must stand behind the door; the warehouse is opened by the first export."""
    time, turns = clock or SystemClock(), asyncio.Semaphore(MAX_AT_ONCE)
    reader = functools.cache(open_reader or _open_reader)

    async def answer(request: Request, path: str, name: str, kind: str, make: Make) -> Response:
        if path not in {page.path for page in pages_for(request_visitor(request).role)}:
            return problem_page("Your role may not see this.", 403)
        as_of = time.now()
        async with turns:
            try:
                file, size = await run_in_threadpool(_whole, lambda: make(reader(), as_of))
            except (BallastError, OSError) as error:
                return _problem(error, request.url.path)
        _log.info("export_made", kind=kind, is_of_account=path == ACCOUNT_PATH, bytes=size)
        file_name = f"ballast-{name}-{as_of.astimezone(UTC):%Y-%m-%dT%H%M%SZ}.{kind}"
        headers = {"Content-Disposition": f'attachment; filename="{file_name}"', "Content-Length": str(size)}
        return StreamingResponse(_chunks(file), media_type=CSV_TYPE if kind == "csv" else PDF_TYPE, headers=headers)

    async def book(request: Request) -> Response:
        kind = request.path_params["kind"]
        if kind not in KINDS:
            return problem_page("There is no such export.", 404)
        make = csv_files.book_csv if kind == "csv" else _book_pdf
        return await answer(request, PAGES[0].path, "book", kind, make)

    async def account(request: Request) -> Response:
        account_id, _, kind = request.path_params["name"].rpartition(".")
        if kind not in KINDS or not ACCOUNT_ID.fullmatch(account_id):
            return problem_page("There is no such export.", 404)

        def make(source: Reader, as_of: datetime) -> Iterable[bytes]:
            if kind == "csv":
                return csv_files.account_csv(source, account_id, as_of)
            return _account_pdf(source, account_id, as_of)

        return await answer(request, ACCOUNT_PATH, f"account-{account_id}", kind, make)

    return [
        Route(f"{EXPORT_ROOT}book.{{kind}}", book, methods=["GET"]),
        Route(f"{EXPORT_ROOT}account/{{name}}", account, methods=["GET"]),
    ]


def _open_reader() -> Reader:
    return Warehouse(data.settings(), deadline_s=EXPORT_DEADLINE_S)


def _whole(make: Callable[[], Iterable[bytes]]) -> tuple[IO[bytes], int]:
    """The whole file, on disk where it is large, and its length."""
    file = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 -- the answer closes it
    try:
        for part in make():
            file.write(part)
    except BaseException:
        file.close()
        raise
    size = file.tell()
    file.seek(0)
    return file, size


async def _chunks(file: IO[bytes]) -> AsyncIterator[bytes]:
    try:
        while chunk := await run_in_threadpool(file.read, CHUNK_BYTES):
            yield chunk
    finally:
        file.close()


def _book_pdf(reader: Reader, as_of: datetime) -> Iterable[bytes]:
    # Its library takes a third of a second to load, which the start of the app need not wait for.
    from streamlit_app.reports.documents import book_pdf

    return [book_pdf(content.read_book(reader, as_of))]


def _account_pdf(reader: Reader, account_id: str, as_of: datetime) -> Iterable[bytes]:
    from streamlit_app.reports.documents import account_pdf

    return [account_pdf(content.read_account(reader, account_id, as_of))]


def _problem(error: Exception, path: str) -> Response:
    if isinstance(error, UnknownAccountError):
        return problem_page(error.message, 404)
    problem = problem_of(error)
    _log.warning("export_failed", error=type(error).__name__, problem=problem.kind)
    words = {
        ProblemKind.AWAY: "BigQuery does not answer, so there is no file. Try again in a moment.",
        ProblemKind.NOT_BUILT: "The marts are not built yet, so there is no file. Run the risk_daily_job in Dagster.",
        ProblemKind.REFUSED: "BigQuery refused to answer, so there is no file. The app's log tells more.",
    }
    return problem_page(words[problem.kind], 503, path)
