"""Documents that the app has from the API, such as drafts of reports: the text, or the refusal in the API's words."""

from __future__ import annotations

import logging
import socket
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import httpx
import pytest

from streamlit_app import api_client
from streamlit_app.api_client import Api, ApiAway, ApiProblem

DRAFT = "# Entwurf f\u00fcr Otto\n"


class Documents(BaseHTTPRequestHandler):
    """One document, and one that is refused."""

    def do_GET(self) -> None:
        """Answer."""
        is_there = self.path == "/draft"
        refusal = b'{"error": {"code": "forbidden", "message": "A viewer may not."}}'
        self.send_response(200 if is_there else 403)
        self.send_header("Content-Type", "text/markdown; charset=utf-8" if is_there else "application/json")
        self.end_headers()
        self.wfile.write(DRAFT.encode() if is_there else refusal)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_document__is_text_refused_in_words_or_away() -> None:
    server = HTTPServer(("127.0.0.1", 0), Documents)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        with httpx.Client(trust_env=False) as client:
            made = Api(f"http://127.0.0.1:{server.server_port}", lambda: "ballast-app.statement", client)
            assert made.text("/draft") == DRAFT
            with pytest.raises(ApiProblem, match="A viewer may not"):
                made.text("/other")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    with socket.socket() as closed, httpx.Client(trust_env=False) as client:
        closed.bind(("127.0.0.1", 0))
        away = Api(f"http://127.0.0.1:{closed.getsockname()[1]}", lambda: "ballast-app.statement", client)
        with pytest.raises(ApiAway):
            away.text("/draft")


def test_log__has_no_addresses_of_requests() -> None:
    api_client.shared_client()
    assert logging.getLogger("httpx").getEffectiveLevel() >= logging.WARNING
