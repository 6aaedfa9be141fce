"""Streamlit's files as browsers like them: compressed once, and kept for ever where a name holds a hash."""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import brotli
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from streamlit_app.server.compressed import MIN_BYTES, Compressed, accepted
from streamlit_app.server.headers import content_policy

APP_PATH = "/app"
FOR_EVER = "public, max-age=31536000, immutable"
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
_HASHED = re.compile(r"\.[A-Za-z0-9_-]{8}\.(?:[a-z0-9]+\.)?[a-z0-9]+$")
# Streamlit's page would look for its server below the address of each page first.
_BACKEND = f'<script>window.__streamlit = {{ BACKEND_BASE_URL: location.origin + "{APP_PATH}" }}</script>'
_TYPES = {".js": "text/javascript", ".css": "text/css", ".json": "application/json", ".woff2": "font/woff2"}
_PAGE = re.compile(r"[A-Za-z0-9_-]*")


class StreamlitFiles:
    """The files of Streamlit's page: `index.html`, never kept, and what it loads, whose names hold a hash.

    `rewrite` may change `index.html` once, at the start; the scripts that then stand in it are the ones that may run.
    """

    def __init__(self, folder: Path, compressed: Compressed, rewrite: Callable[[str], str] | None = None) -> None:
        self._folder = folder
        self._compressed = compressed
        html = (folder / "index.html").read_text(encoding="utf-8")
        html = html.replace("</title>", f"</title>{_BACKEND}", 1)
        html = html if rewrite is None else rewrite(html)
        self._policy = content_policy(_INLINE_SCRIPT.findall(html), is_streamlit=True)
        self._index = _Bodies.of(html.encode(), "text/html; charset=utf-8")
        # Files are looked up, never searched by path, so that no path leads out of the folder.
        self._files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}

    def routes(self) -> list[Route]:
        """The pages below `/app` and the files that they load."""
        return [
            Route(APP_PATH, self._to_pages, methods=["GET"]),
            Route(f"{APP_PATH}/static/{{name:path}}", self._file, methods=["GET"]),
            Route(f"{APP_PATH}/{{page}}", self._page, methods=["GET"]),
            Route(f"{APP_PATH}/", self._page, methods=["GET"]),
        ]

    async def _to_pages(self, request: Request) -> Response:
        # The page names its files relative to the folder.
        query = f"?{request.url.query}" if request.url.query else ""
        return RedirectResponse(f"{APP_PATH}/{query}", 307)

    async def _page(self, request: Request) -> Response:
        name = request.path_params.get("page", "")
        if name in self._files and name != "index.html":
            return self._sent(request, name)
        if name != "index.html" and not _PAGE.fullmatch(name):
            raise HTTPException(404)
        response = self._index.response(request, "no-store")
        response.headers["Content-Security-Policy"] = self._policy
        return response

    async def _file(self, request: Request) -> Response:
        return self._sent(request, f"static/{request.path_params['name']}")

    def _sent(self, request: Request, name: str) -> Response:
        path = self._files.get(name)
        if path is None:
            raise HTTPException(404)
        encoding, body = "identity", path
        if "range" not in request.headers:
            # A part of a file is a part of the plain one.
            for offered in accepted(request.headers.get("accept-encoding", "")):
                found = self._compressed.file(name, offered)
                if found is not None:
                    encoding, body = offered, found
                    break
        size = body.stat().st_size
        headers = {
            "ETag": f'"{hashlib.sha256(f"{name}:{size}".encode()).hexdigest()[:20]}-{encoding}"',
            "Vary": "Accept-Encoding",
            "Cache-Control": FOR_EVER if _HASHED.search(name) else "no-cache",
            **({} if encoding == "identity" else {"Content-Encoding": encoding}),
        }
        if is_known(request, headers["ETag"]):
            return Response(status_code=304, headers={key: headers[key] for key in ("ETag", "Vary", "Cache-Control")})
        return FileResponse(body, media_type=_type(path), headers=headers)


@dataclass(frozen=True)
class _Bodies:
    """A small file in memory, as it is and compressed."""

    media_type: str
    etag: str
    by_encoding: Mapping[str, bytes]

    @classmethod
    def of(cls, body: bytes, media_type: str) -> _Bodies:
        found = {"identity": body}
        if len(body) >= MIN_BYTES:
            found |= {"br": brotli.compress(body, quality=11), "gzip": gzip.compress(body, 9, mtime=0)}
        return cls(media_type, hashlib.sha256(body).hexdigest()[:20], found)

    def response(self, request: Request, cache: str) -> Response:
        fitting = accepted(request.headers.get("accept-encoding", ""))
        encoding = next((each for each in fitting if each in self.by_encoding), "identity")
        etag = f'"{self.etag}-{encoding}"'
        headers = {"ETag": etag, "Vary": "Accept-Encoding", "Cache-Control": cache}
        if is_known(request, etag):
            return Response(status_code=304, headers=headers)
        if encoding != "identity":
            headers["Content-Encoding"] = encoding
        return Response(self.by_encoding[encoding], media_type=self.media_type, headers=headers)


def is_known(request: Request, etag: str) -> bool:
    """Whether the browser has exactly this already."""
    known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
    return etag in known or known == ["*"]


def _type(path: Path) -> str:
    return _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
