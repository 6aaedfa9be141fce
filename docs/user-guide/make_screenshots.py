"""Takes the pictures of the user guide: `python docs/user-guide/make_screenshots.py [--state-dir .ballast] [PAGE ...]`.

Needs a running stack (`ballast up`) whose risk_daily_job has ended, and Debian's Chromium. Signs in as the officer of
the stack with what stands in its `ballast.env`.
"""

from __future__ import annotations

import argparse
import io
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from compliance.api.people import people_of
from infra.runtime.settings import load_settings
from streamlit_app.pages import PAGES, address_of

HERE = Path(__file__).resolve().parent
CHROMIUM = "/usr/bin/chromium"
WIDTH, HEIGHT = 1200, 860
MOST_BYTES = 120_000
COLOURS = 64
PERSON = "officer"
# The last charts and Dagster's answer come after the first figures, in milliseconds.
SETTLE_MS = 6_000
# A page without these still loads.
CONTENT = "h2, table, [data-testid=stForm], [data-testid=stRadio], [data-testid=stTextInput]"
TIMEOUT_MS = 90_000


@dataclass(frozen=True)
class Picture:
    """One picture: its file, the address it shows, and the theme."""

    name: str
    address: str
    scheme: str = "light"


def pictures(account: str) -> list[Picture]:
    """Every picture of the guide; an account for the page that is about one."""
    shown = [Picture("light-page", "/"), Picture("sign-in", "/sign-in")]
    for page in PAGES:
        address = address_of(page, account=account) if page.path == "account" else address_of(page)
        shown.append(Picture(page.path, address))
    dark = {page.path: address_of(page) for page in PAGES if page.path in ("monitor", "oracle")}
    return [*shown, *(Picture(f"{path}-dark", address, "dark") for path, address in dark.items())]


def main() -> None:
    """Take the named pictures, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state-dir", type=Path, help="folder of the stack; .ballast unless told")
    parser.add_argument("--url", help="where the app is; the stack's own unless told")
    parser.add_argument("--account", default="acct-00001", help="account of the page that is about one")
    parser.add_argument("names", nargs="*", metavar="PAGE", help="pictures to take, by the name of their file")
    arguments = parser.parse_args()
    settings = load_settings(arguments.state_dir)
    if settings.compliance_users is None:
        raise SystemExit("The stack names nobody who may sign in: run `ballast up` first.")
    people_of(settings.compliance_users)
    users = settings.compliance_users.get_secret_value().replace("\n", ",")
    password = next(user.split(":")[2] for user in users.split(",") if user.split(":")[0].strip() == PERSON)
    wanted = [each for each in pictures(arguments.account) if not arguments.names or each.name in arguments.names]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            _take(
                browser,
                [each for each in wanted if each.scheme == scheme],
                scheme,
                arguments.url or settings.app_url,
                password,
            )
        browser.close()


def _take(browser: Browser, wanted: list[Picture], scheme: str, url: str, password: str) -> None:
    if not wanted:
        return
    context = browser.new_context(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)  # type: ignore[arg-type]
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    for picture in wanted:
        if picture.name == "sign-in":
            page.goto(url + picture.address)
            _keep(page, picture)
    page.goto(f"{url}/sign-in")
    page.get_by_label("Name", exact=True).fill(PERSON)
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda at: "/sign-in" not in at)
    for picture in wanted:
        if picture.name != "sign-in":
            page.goto(url + picture.address)
            page.locator("h1").first.wait_for()
            page.locator(CONTENT).first.wait_for()
            page.wait_for_timeout(SETTLE_MS)
            _keep(page, picture)
    context.close()


def _keep(page: Page, picture: Picture) -> None:
    """Write the picture with few colours, so that it stays small."""
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    kept = io.BytesIO()
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(kept, "PNG", optimize=True)
    if len(kept.getvalue()) > MOST_BYTES:
        raise SystemExit(f"{picture.name} has {len(kept.getvalue()):,} bytes; {MOST_BYTES:,} are allowed.")
    (HERE / f"{picture.name}.png").write_bytes(kept.getvalue())
    print(f"{picture.name}.png: {len(kept.getvalue()):,} bytes")


if __name__ == "__main__":
    main()
