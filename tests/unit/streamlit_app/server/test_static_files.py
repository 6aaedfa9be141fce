"""Streamlit's files: what is sent to whom, what may be kept, and how twins come to be."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import brotli
import pytest
import streamlit
from starlette.applications import Starlette
from streamlit import file_util

from infra.runtime.clock import FixedClock
from streamlit_app.server.compressed import LEFTOVER_S, Compressed, accepted
from streamlit_app.server.headers import script_hash
from streamlit_app.server.static import StreamlitFiles

BIG = "static/js/index.DormvYxC.js"
CODE = b"let answer = 42;\n" * 200
INDEX = '<html><head><title>Streamlit</title><script>\n a()\n</script></head><div id="root"></div></html>' + " " * 600


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Files like Streamlit's."""
    found = tmp_path / "static"
    for name, body in {
        "index.html": INDEX.encode(),
        "favicon.png": b"\x89PNG" + bytes(600),
        "manifest.json": b"{}",
        BIG: CODE,
        "static/js/small.AAAAAAAA.js": b"1",
        "static/media/font.ttf.BsWL4Kly.woff2": bytes(700),
    }.items():
        path = found / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return found


@pytest.fixture
def compressed(folder: Path, tmp_path: Path, clock: FixedClock) -> Compressed:
    return Compressed(folder, tmp_path / "cache", frozenset({BIG}), clock)


@pytest.fixture
def app(folder: Path, compressed: Compressed) -> Starlette:
    compressed.start()
    assert compressed.wait(30)
    return Starlette(routes=StreamlitFiles(folder, compressed).routes())


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("gzip, deflate, br, zstd", ["br", "gzip"]),
        ("gzip", ["gzip"]),
        ("br;q=0.5, gzip;q=0.8", ["gzip", "br"]),
        ("br;q=0, gzip", ["gzip"]),
        ("*", ["br", "gzip"]),
        ("*;q=0", []),
        ("identity, *;q=0.1, gzip;q=0", ["br"]),
        ("", []),
        ("BR", ["br"]),
        (",;q=x, br;q=2", []),
    ],
)
def test_accepted__follows_the_browsers_weights(header: str, found: list[str]) -> None:
    assert accepted(header) == found


@pytest.mark.parametrize(
    ("encoding", "decoded"), [("br", brotli.decompress), ("gzip", gzip.decompress), (None, lambda body: body)]
)
def test_file__is_sent_as_the_browser_takes_it(ask, app: Starlette, encoding: str | None, decoded) -> None:
    sent = ask(app, f"/app/{BIG}", headers={"Accept-Encoding": encoding or "identity"})
    assert sent.content == CODE
    assert sent.headers.get("content-encoding") == encoding
    assert sent.headers["vary"] == "Accept-Encoding"
    assert sent.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert sent.headers["content-type"].startswith("text/javascript")
    assert (len(CODE) > int(sent.headers["content-length"])) is (encoding is not None)
    head = ask(app, f"/app/{BIG}", "HEAD", headers={"Accept-Encoding": encoding or "identity"})
    assert head.content == b""
    assert head.headers["content-length"] == sent.headers["content-length"]
    assert head.headers["etag"] == sent.headers["etag"]


def test_file__each_encoding_has_its_own_etag(ask, app: Starlette) -> None:
    tags = {
        each: ask(app, f"/app/{BIG}", headers={"Accept-Encoding": each}).headers["etag"]
        for each in ("br", "gzip", "identity")
    }
    assert len(set(tags.values())) == 3
    for encoding, tag in tags.items():
        known = ask(app, f"/app/{BIG}", headers={"Accept-Encoding": encoding, "If-None-Match": f'"x", W/{tag}'})
        assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", tag)
    other = ask(app, f"/app/{BIG}", headers={"Accept-Encoding": "br", "If-None-Match": tags["gzip"]})
    assert other.status_code == 200


def test_file__a_part_is_a_part_of_the_plain_file(ask, app: Starlette) -> None:
    part = ask(app, f"/app/{BIG}", headers={"Accept-Encoding": "br", "Range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, b"answer")
    assert part.headers["content-range"] == f"bytes 4-9/{len(CODE)}"
    assert "content-encoding" not in part.headers
    tag = ask(app, f"/app/{BIG}", headers={"Accept-Encoding": "br"}).headers["etag"]
    whole = ask(app, f"/app/{BIG}", headers={"Range": "bytes=4-9", "If-Range": tag})
    assert (whole.status_code, whole.content) == (200, CODE)
    beyond = ask(app, f"/app/{BIG}", headers={"Range": f"bytes={len(CODE)}-"})
    assert beyond.status_code == 416


@pytest.mark.parametrize(
    ("name", "cache"),
    [
        ("static/media/font.ttf.BsWL4Kly.woff2", "immutable"),
        ("static/js/small.AAAAAAAA.js", "immutable"),
        ("favicon.png", "no-cache"),
        ("manifest.json", "no-cache"),
    ],
)
def test_file__is_kept_where_its_name_holds_a_hash(ask, app: Starlette, name: str, cache: str) -> None:
    sent = ask(app, f"/app/{name}", headers={"Accept-Encoding": "br"})
    assert sent.status_code == 200
    assert cache in sent.headers["cache-control"]
    assert "content-encoding" not in sent.headers


@pytest.mark.parametrize("name", ["static/js/none.js", "static/%2e%2e/index.html", "x.js", ".env"])
def test_file__nothing_else_is_found(ask, app: Starlette, name: str) -> None:
    assert ask(app, f"http://127.0.0.1:8601/app/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/app/", "/app/portfolio", "/app/index.html"])
@pytest.mark.parametrize("encoding", ["br", "gzip", "identity"])
def test_index__is_never_kept_and_runs_its_own_scripts_only(ask, app: Starlette, path: str, encoding: str) -> None:
    sent = ask(app, path, headers={"Accept-Encoding": encoding})
    assert sent.headers["cache-control"] == "no-store"
    assert 'BACKEND_BASE_URL: location.origin + "/app"' in sent.text
    assert sent.headers.get("content-encoding", "identity") == encoding
    assert script_hash("\n a()\n") in sent.headers["content-security-policy"]


def test_index__is_found_where_its_relative_addresses_hold(ask, app: Starlette) -> None:
    answer = ask(app, "/app?account=acct-1")
    assert (answer.status_code, answer.headers["location"]) == (307, "/app/?account=acct-1")


def test_index__can_be_rewritten_once(ask, folder: Path, compressed: Compressed) -> None:
    files = StreamlitFiles(folder, compressed, lambda html: html.replace("a()", "b()"))
    sent = ask(Starlette(routes=files.routes()), "/app/")
    assert script_hash("\n b()\n") in sent.headers["content-security-policy"]


def test_index__of_the_installed_streamlit_is_the_one_we_know() -> None:
    html = (Path(file_util.get_static_dir()) / "index.html").read_text()
    assert streamlit.__version__ == "1.67.0"
    assert html.count("</title>") == 1
    assert html.count("<script>") == 1


def test_twins__are_made_once_and_whole(
    folder: Path, tmp_path: Path, clock: FixedClock, compressed: Compressed
) -> None:
    assert compressed.file(BIG, "br") is None
    compressed.start()
    assert compressed.wait(30)
    twin = compressed.file(BIG, "br")
    assert twin is not None
    assert compressed.file("favicon.png", "br") is None
    twin.write_bytes(b"kept")
    again = Compressed(folder, tmp_path / "cache", frozenset({BIG}), clock)
    again.start()
    assert again.wait(30)
    found = again.file(BIG, "br")
    assert found is not None
    assert found.read_bytes() == b"kept"
    found.unlink()
    assert again.file(BIG, "br") is None


def test_twins__what_a_killed_process_left_is_removed(
    tmp_path: Path, clock: FixedClock, compressed: Compressed
) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    for name, age in (("old.part", LEFTOVER_S + 1), ("young.part", 1)):
        (cache / name).write_bytes(b"half")
        at = clock.now().timestamp() - age
        os.utime(cache / name, (at, at))
    compressed.start()
    assert compressed.wait(30)
    assert [each.name for each in cache.glob("*.part")] == ["young.part"]


def test_twins__without_a_disk_files_are_sent_as_they_are(ask, folder: Path, tmp_path: Path, clock: FixedClock) -> None:
    (tmp_path / "taken").write_text("no folder")
    compressed = Compressed(folder, tmp_path / "taken" / "cache", frozenset(), clock)
    compressed.start()
    assert compressed.wait(30)
    sent = ask(
        Starlette(routes=StreamlitFiles(folder, compressed).routes()), f"/app/{BIG}", headers={"Accept-Encoding": "br"}
    )
    assert "content-encoding" not in sent.headers
    assert sent.content == CODE


def test_twins__end_between_two_files(compressed: Compressed, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on = threading.Event(), threading.Event()
    make = compressed._twin

    def slow(*given) -> Path:
        began.set()
        assert go_on.wait(30)
        return make(*given)

    monkeypatch.setattr(compressed, "_twin", slow)
    compressed.start()
    assert began.wait(30)
    compressed.stop(0)
    go_on.set()
    assert compressed.wait(30)
    assert compressed.file(BIG, "br") is None
