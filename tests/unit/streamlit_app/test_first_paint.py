"""The first paint in Streamlit's page: it fits this version of Streamlit, and leaves any other page as it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import streamlit as st

from streamlit_app.server.first_paint import with_first_paint

INDEX = Path(st.__file__).parent / "static" / "index.html"


def test_first_paint__fits_the_version_of_streamlit() -> None:
    """A new version: look at its index.html, and at the page in a browser, before the number here is changed."""
    assert st.__version__ == "1.67.0"
    html = INDEX.read_text(encoding="utf-8")
    changed = with_first_paint(html)
    assert 'id="first"' in changed
    assert changed.index('id="first"') < changed.index('<div id="root">')
    # Nothing is loaded before the first words, and all that was loaded still is.
    assert not re.search(r"<link[^>]+rel=\"(modulepreload|stylesheet|preload)\"", changed)
    assert not re.search(r"<script[^>]+src=", changed)
    loaded = set(re.findall(r"\./static/(?:js|css)/[\w.-]+", html))
    assert loaded
    assert loaded == set(re.findall(r"\./static/(?:js|css)/[\w.-]+", changed))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('<div id="root"></div>', '<div id="app"></div>'),
        ('<script type="module" crossorigin', "<script defer"),
        ('rel="stylesheet" crossorigin', 'rel="stylesheet"'),
        ("SourceSans", "OtherSans"),
    ],
)
def test_first_paint__leaves_a_page_that_it_does_not_know(old: str, new: str) -> None:
    html = INDEX.read_text(encoding="utf-8").replace(old, new)
    assert with_first_paint(html) == html
