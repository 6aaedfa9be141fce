"""Colours and the style sheet of the app's own markup; both follow Streamlit's theme through its CSS variables.

`.streamlit/config.toml` is the one place of the theme's colours: Streamlit gives them to its pages, and
`light_page_css` writes the same variables for pages that stand without Streamlit.
"""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

CONFIG_FILE = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"

# Paul Tol's "bright" scheme, which people with any colour-vision deficiency can tell apart.
ASSET_COLOURS = {
    "BTC": "#4477AA",
    "ETH": "#EE6677",
    "SOL": "#228833",
    "LINK": "#CCBB44",
    "BNB": "#66CCEE",
    "XRP": "#AA3377",
    "USDC": "#997700",
    "USDT": "#BBBBBB",
}
OTHER_ASSET_COLOUR = "#888888"

# Streamlit's own elements: no fading while a live part reruns, and less empty space at the top.
PAGE_CSS = """
<style>
[data-stale="true"], .stElementContainer[data-stale="true"] { opacity: 1 !important; transition: none !important; }
[data-testid="stMainBlockContainer"] { max-width: 1400px; padding: 2.25rem 2rem 4rem; }
[data-testid="stMainBlockContainer"] h1 { padding: 0; }
.who { display: flex; flex-wrap: wrap; gap: 0.2rem 0.8rem; justify-content: flex-end; align-items: baseline;
  font-size: 0.9rem; }
.who a { color: inherit; }
/* Streamlit writes the chosen one in the first colour, which is too dark on dark. */
button[data-selected="true"], button[data-selected="true"] * { color: inherit !important; font-weight: 650; }
.chart-summary { margin: 0; font-size: 0.86rem; }
@media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding: 3.75rem 0.9rem 3rem; } }
</style>
"""

CSS = """
* { box-sizing: border-box; }
.root { font-family: var(--st-font), system-ui, sans-serif; color: var(--st-text-color); font-size: 0.95rem;
  line-height: 1.45; font-variant-numeric: tabular-nums; container-type: inline-size;
  display: flex; flex-direction: column; gap: 1rem; }
.root > [data-name="banner"]:not(:has(.banner:not(.only-silent))) { display: none; }
.root[data-silent="yes"] > [data-name="banner"] { display: block !important; }
.root .fades { transition: opacity 0.2s; }
.root[data-old="yes"] .fades, .root[data-silent="yes"] .fades { opacity: 0.6; filter: grayscale(1); }
.root .only-old { display: none; }
.root[data-old="yes"] .only-old, .root[data-silent="yes"] .only-old { display: inline-block; }
.only-silent { display: none; }
.root[data-silent="yes"] .only-silent { display: block; }
.root[data-ended="yes"] > [data-name="banner"] { display: block !important; }
.root[data-ended="yes"] .fades { opacity: 0.6; filter: grayscale(1); }
.root[data-ended="yes"] .only-silent, .only-ended { display: none; }
.root[data-ended="yes"] .only-ended { display: block; }
h3 { font-size: 0.9rem; font-weight: 650; margin: 0.9rem 0 0.35rem; }
.fades > h3:first-child { margin-top: 0; }
h2 { font-size: 1.02rem; font-weight: 650; margin: 0; letter-spacing: -0.005em; }
p { margin: 0; }
.head { display: flex; flex-wrap: wrap; gap: 0.35rem 0.6rem; align-items: baseline; margin-bottom: 0.75rem; }
.head .more { margin-left: auto; }
.muted { color: var(--st-gray-text-color); }
.small { font-size: 0.84rem; }
.card { background: var(--st-secondary-background-color); border: 1px solid var(--st-border-color);
  border-radius: 10px; padding: 1rem 1.1rem; }
.pair { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1rem; }
.stack { display: flex; flex-direction: column; gap: 1rem; }
.stack > :first-child { flex: 1; }
@container (max-width: 760px) { .pair { grid-template-columns: minmax(0, 1fr); } }
.note { margin-top: 0.7rem; color: var(--st-gray-text-color); font-size: 0.84rem; max-width: 72ch; }
.tag { display: inline-block; padding: 0.02rem 0.45rem; border-radius: 999px; font-size: 0.76rem; font-weight: 600;
  white-space: nowrap; vertical-align: baseline; line-height: 1.5;
  background: var(--st-gray-background-color); color: var(--st-gray-text-color); }
.tag.healthy, .tag.recovered, .tag.ok { background: var(--st-green-background-color);
  color: var(--st-green-text-color); }
.tag.margin_call, .tag.degraded, .tag.warn { background: var(--st-orange-background-color);
  color: var(--st-orange-text-color); }
.tag.liquidation { background: var(--st-red-background-color); color: var(--st-red-text-color); }
.tag.early_warning { background: var(--st-yellow-background-color); color: var(--st-yellow-text-color); }
.tag.simulated { background: var(--st-blue-background-color); color: var(--st-blue-text-color); }
.tag.unpriced, .tag.stale, .tag.missing { color: var(--st-text-color); border: 1px dashed var(--st-gray-text-color);
  background: repeating-linear-gradient(45deg, var(--st-gray-background-color) 0 5px, transparent 5px 8px); }
.banner { border: 1px solid var(--st-border-color); border-left-width: 4px; border-radius: 8px;
  padding: 0.6rem 0.9rem; background: var(--st-secondary-background-color); }
.banner.away { border-left-color: var(--st-orange-color); background: var(--st-orange-background-color); }
.banner.info { border-left-color: var(--st-blue-color); }
.banner.error { border-left-color: var(--st-red-color); background: var(--st-red-background-color); }
.banner strong { font-weight: 650; }
code { font-family: var(--st-code-font), monospace; font-size: 0.88em; }

.fresh { display: flex; flex-wrap: wrap; gap: 0.3rem 0.9rem; align-items: center; }
.fresh .dot { width: 0.55rem; height: 0.55rem; border-radius: 50%; background: var(--st-green-color);
  display: inline-block; margin-right: 0.4rem; }
.root[data-old="yes"] .fresh .dot, .root[data-silent="yes"] .fresh .dot { background: var(--st-orange-color);
  border-radius: 0; }

.totals { display: grid; grid-template-columns: repeat(4, minmax(0, 1fr)); gap: 0.8rem; margin: 0; }
.totals .card { display: flex; flex-direction: column; gap: 0.15rem; }
.totals dt { color: var(--st-gray-text-color); font-size: 0.86rem; }
.totals dd { margin: 0; font-size: 1.42rem; font-weight: 620; letter-spacing: -0.015em; line-height: 1.25; }
.totals dd .unit { font-size: 0.55em; font-weight: 500; color: var(--st-gray-text-color); margin-left: 0.3em;
  letter-spacing: 0; }
.totals dd.under { font-size: 0.82rem; font-weight: 400; letter-spacing: 0; color: var(--st-gray-text-color); }
@container (max-width: 900px) { .totals { grid-template-columns: repeat(2, minmax(0, 1fr)); } }
@container (max-width: 520px) { .totals { gap: 0.55rem; } .totals .card { padding: 0.7rem 0.75rem; }
  .totals dd { font-size: 1.02rem; } }

.statuses { display: flex; flex-wrap: wrap; gap: 0.4rem 1.2rem; list-style: none; margin: 0; padding: 0; }
.statuses li { display: flex; gap: 0.4rem; align-items: baseline; }
.statuses b { font-weight: 650; }
.meter { display: flex; height: 0.6rem; border-radius: 999px; overflow: hidden; gap: 2px; margin: 0.15rem 0 0.65rem;
  background: var(--st-gray-background-color); }
.meter i { display: block; min-width: 3px; }
.fill.healthy { background: var(--st-green-color); }
.fill.margin_call { background: var(--st-orange-color); }
.fill.liquidation { background: var(--st-red-color); }
.fill.no_debt { background: var(--st-blue-color); }
.fill.unpriced { background: repeating-linear-gradient(45deg, var(--st-gray-color) 0 4px, transparent 4px 7px); }

.gauge { display: block; width: 100%; max-width: 420px; margin: 0 auto; height: auto; overflow: visible; }
.gauge text { font-family: var(--st-font), system-ui, sans-serif; fill: var(--st-text-color);
  font-variant-numeric: tabular-nums; }
.gauge .tick { font-size: 11px; fill: var(--st-gray-text-color); }
.gauge .value { font-size: 36px; font-weight: 640; letter-spacing: -0.02em; }
.gauge .word { font-size: 13px; font-weight: 600; fill: var(--st-gray-text-color); }
.gauge .needle { stroke: var(--st-text-color); stroke-width: 3; stroke-linecap: round; }
.gauge .knob { fill: var(--st-text-color); }
.gauge .none { stroke: var(--st-gray-background-color); }
.gauge .hatch { stroke: var(--st-gray-text-color); stroke-width: 2.5; }
.gauge .hatch-ground { fill: var(--st-gray-background-color); }
.zone-liquidation { stroke: var(--st-red-color); }
.zone-margin_call { stroke: var(--st-orange-color); }
.zone-watch { stroke: var(--st-yellow-color); }
.zone-healthy { stroke: var(--st-green-color); }
.legend { display: flex; flex-wrap: wrap; justify-content: center; gap: 0.2rem 0.9rem; list-style: none; padding: 0;
  margin: 0.5rem 0 0; font-size: 0.8rem; color: var(--st-gray-text-color); }
.legend i { display: inline-block; width: 0.65rem; height: 0.65rem; border-radius: 2px; margin-right: 0.3rem; }
.legend .liquidation { background: var(--st-red-color); }
.legend .margin_call { background: var(--st-orange-color); }
.legend .watch { background: var(--st-yellow-color); }
.legend .healthy { background: var(--st-green-color); }
.centre { text-align: center; }
.centre .note { margin-inline: auto; text-wrap: balance; }

.whole { display: flex; gap: 2px; height: 1.35rem; border-radius: 6px; overflow: hidden; margin-bottom: 0.9rem; }
.whole i { display: block; min-width: 2px; }
.parts { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.5rem 0.7rem;
  grid-template-columns: 4.4rem minmax(0, 1fr) auto; }
.parts li { display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; align-items: center; }
.parts .name { display: flex; align-items: center; gap: 0.45rem; font-weight: 600; }
.parts .swatch { width: 0.75rem; height: 0.75rem; border-radius: 3px; flex: none; }
.parts .bar { height: 0.55rem; border-radius: 999px; background: var(--st-gray-background-color); overflow: hidden; }
.parts .bar i { display: block; height: 100%; border-radius: 999px; min-width: 2px; }
.parts .figures { text-align: right; }
.parts .figures span { display: inline-block; }
.parts .share { min-width: 3.6rem; font-weight: 600; }
.unvalued { background: repeating-linear-gradient(45deg, var(--st-gray-color) 0 4px, transparent 4px 7px) !important; }
@container (max-width: 460px) { .parts { grid-template-columns: minmax(0, 1fr) auto; } .parts li { row-gap: 0.2rem; }
  .parts .bar { grid-column: 1 / -1; grid-row: 2; } }

table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.5rem 0.7rem; text-align: left; vertical-align: top; }
th:first-child, td:first-child { padding-left: 0; }
th:last-child, td:last-child { padding-right: 0; }
thead th { font-weight: 600; font-size: 0.8rem; color: var(--st-gray-text-color); vertical-align: bottom;
  border-bottom: 1px solid var(--st-border-color); padding-top: 0; }
tbody tr + tr td, tbody tr + tr th { border-top: 1px solid var(--st-border-color); }
tbody th { font-weight: 600; }
.number { text-align: right; white-space: nowrap; }
.one-line { white-space: nowrap; }
td .under, tbody th .under { display: block; font-size: 0.82rem; font-weight: 400; color: var(--st-gray-text-color);
  white-space: normal; }
tr.chosen-able:hover { background: color-mix(in srgb, var(--st-primary-color) 7%, transparent); cursor: pointer; }
.link { font: inherit; font-weight: 600; color: var(--st-link-color); background: none; border: 0; padding: 0;
  display: inline-block; min-height: 24px; cursor: pointer; text-decoration: underline; text-underline-offset: 3px;
  text-align: left; }
.link:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 3px; border-radius: 3px; }
@container (max-width: 640px) {
  table, tbody, tr { display: block; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  tbody tr { padding: 0.6rem 0; }
  tbody tr + tr { border-top: 1px solid var(--st-border-color); }
  tbody tr + tr td, tbody tr + tr th { border-top: 0; }
  tbody th, td { display: grid; grid-template-columns: minmax(6.5rem, 38%) minmax(0, 1fr); gap: 0.6rem;
    padding: 0.16rem 0; text-align: left; }
  tbody td.number, tbody th.number { white-space: normal; text-align: left; }
  tbody th::before, td::before { content: attr(data-label); font-weight: 400; font-size: 0.82rem;
    color: var(--st-gray-text-color); }
}
.facts { display: flex; flex-wrap: wrap; gap: 0.25rem 1.4rem; margin: 0.8rem 0 0; font-size: 0.84rem; }
.facts div { display: flex; gap: 0.35rem; }
.facts dt { color: var(--st-gray-text-color); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.lines { list-style: none; margin: 0; padding: 0; display: grid; gap: 0.35rem; }
.wraps { overflow-wrap: anywhere; min-width: 0; }
.lines li { display: flex; flex-wrap: wrap; gap: 0.15rem 0.5rem; align-items: baseline; }
.moved { display: inline-flex; flex-direction: column; align-items: flex-end; }
.spark { width: 96px; height: 26px; flex: none; }
.spark polyline { fill: none; stroke: var(--st-blue-color); stroke-width: 1.5; stroke-linejoin: round; }
.spark circle { fill: var(--st-blue-color); }
.bars, .histogram { display: block; width: 100%; height: auto; }
.bars { max-width: 560px; }
.histogram { max-width: 480px; }
.bars text, .histogram text { font: 12px var(--st-font), system-ui, sans-serif; fill: var(--st-text-color); }
.bars .soft, .histogram .soft { fill: var(--st-gray-text-color); }
.bars rect, .histogram rect { fill: var(--st-blue-color); }
.bars line { stroke: var(--st-border-color); }
.histogram .marked { fill: var(--st-red-color); stroke: var(--st-text-color); stroke-width: 1.5; }
@media (prefers-reduced-motion: reduce) { .root * { transition: none !important; } }
"""

LIGHT_PAGE_CSS = """
body { margin: 0; background: var(--st-background-color); color: var(--st-text-color);
  font: 1rem/1.45 system-ui, sans-serif; }
.bar-top { display: flex; flex-wrap: wrap; gap: 0.4rem 1.2rem; align-items: center; padding: 0.7rem 2rem;
  background: var(--st-secondary-background-color); border-bottom: 1px solid var(--st-border-color); }
.brand { font-weight: 700; letter-spacing: -0.01em; display: flex; gap: 0.5rem; align-items: center; }
.bar-top nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1rem; }
.bar-top .who { margin-left: auto; display: flex; flex-wrap: wrap; gap: 0.2rem 0.8rem; align-items: baseline;
  font-size: 0.9rem; }
.bar-top a { color: var(--st-link-color); min-height: 24px; display: inline-flex; align-items: center; }
.bar-top form { margin: 0; }
main { max-width: 1400px; margin: 0 auto; padding: 1.25rem 2rem 4rem; }
main h1 { font-size: 1.75rem; font-weight: 650; letter-spacing: -0.015em; margin: 0 0 0.6rem; }
.skip { position: absolute; left: -999px; }
.skip:focus { left: 1rem; top: 0.5rem; }
a:focus-visible, button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 3px;
  border-radius: 3px; }
@media (max-width: 640px) { .bar-top { padding: 0.6rem 0.9rem; } main { padding: 1rem 0.9rem 3rem; } }
"""


def asset_colour(asset: str) -> str:
    """The colour of an asset, the same on every page."""
    return ASSET_COLOURS.get(asset, OTHER_ASSET_COLOUR)


def variables(theme: dict[str, object]) -> str:
    """The theme's colours as the CSS variables that Streamlit gives them: `redColor` is `--st-red-color`."""
    colours = {name: value for name, value in theme.items() if isinstance(value, str) and value.startswith("#")}
    return "".join(f"--st-{_kebab(name)}:{value};" for name, value in colours.items())


@cache
def light_page_css(more: str = "") -> str:
    """The style sheet of a page that stands without Streamlit, light and dark, as small as it goes; and `more`."""
    theme = tomllib.loads(CONFIG_FILE.read_text(encoding="utf-8"))["theme"]
    own = (
        f":root{{color-scheme:light dark;--st-font:system-ui;--st-code-font:ui-monospace;{variables(theme['light'])}}}"
        f"@media(prefers-color-scheme:dark){{:root{{{variables(theme['dark'])}}}}}"
    )
    return own + shortened(CSS + LIGHT_PAGE_CSS + more)


def shortened(css: str) -> str:
    """The style sheet without the blanks that only people need."""
    return re.sub(r"\s*([{};,>])\s*", r"\1", re.sub(r"\s+", " ", css)).replace(";}", "}").strip()


def _kebab(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower()
