"""Accessibility rules of axe-core on a page, with a planted defect that proves that they were run on all of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.perf._npm import AXE, NpmAwayError, package_folder

# What lies below the fold of an inner scroll area is not looked at: the viewport holds the whole page.
TALL = 3_000
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
CONTROL = "planted-control"
_PLANT = f"""() => {{
  const image = Object.assign(document.createElement("img"), {{ id: "{CONTROL}", src: "data:," }});
  (document.querySelector("[data-testid=stMainBlockContainer]") ?? document.body).append(image);
}}"""


@cache
def _script() -> str:
    return (package_folder(AXE) / "axe.min.js").read_text(encoding="utf-8")


GRAVE = ("serious", "critical")


def violations(page: Page, ignored: Sequence[str] = (), impacts: Sequence[str] = ()) -> list[str]:
    """What breaks a rule on the page, `rule: element` each, but for the rules that are `ignored`.

    With `impacts`, such as `GRAVE`, only rules of that weight count.

    Skips the test where axe-core cannot be had. Raises `AssertionError` where the planted defect was not found.
    """
    try:
        script = _script()
    except NpmAwayError as error:
        pytest.skip(str(error))
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": size["width"], "height": TALL})
    page.evaluate(_PLANT)
    # As the browser's own tools do: the page's policy stays as it is.
    page.evaluate(script)
    found: dict[str, Any] = page.evaluate(
        "(rules) => axe.run(document, { runOnly: { type: 'tag', values: rules }, resultTypes: ['violations'] })",
        list(RULES),
    )
    page.evaluate(f"document.getElementById('{CONTROL}').remove()")
    page.set_viewport_size(size)
    wrong = [
        (rule["id"], str(node["target"]), node["html"][:160])
        for rule in found["violations"]
        if not impacts or rule["impact"] in impacts
        for node in rule["nodes"]
    ]
    assert any(CONTROL in target for _, target, _ in wrong), "the planted defect was not found: the rules did not run"
    return [f"{rule}: {target} {html}" for rule, target, html in wrong if CONTROL not in target and rule not in ignored]
