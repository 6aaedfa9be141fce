"""The style sheet of the case pages, sent with their markup; the theme's own classes stay as they are."""

from __future__ import annotations

STYLE = """<style>
.clip { overflow-wrap: anywhere; }
.facts + .banner, .banner + p, .banner + .facts { margin-top: 0.8rem; }
.tags { display: inline-flex; flex-wrap: wrap; gap: 0.25rem 0.35rem; align-items: baseline; }
.tag.plain { background: transparent; border: 1px solid var(--st-border-color); color: var(--st-text-color); }
.numbers { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 0.8rem; }
.numbers .card { padding: 0.8rem 1rem; }
.numbers h2 { margin: 0 0 0.3rem; font-size: 0.9rem; display: flex; justify-content: space-between; gap: 0.6rem; }
.numbers b { font-size: 1.2rem; font-weight: 620; }
.funnel { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; }
.funnel b { font-weight: 650; }
.events { list-style: none; margin: 0; padding: 0 0 0 1.2rem; border-left: 2px solid var(--st-border-color); }
.events > li { position: relative; padding-bottom: 1rem; }
.events > li::before { content: ""; position: absolute; left: calc(-1.2rem - 6px); top: 0.4rem; width: 10px;
  height: 10px; border-radius: 50%; background: var(--st-primary-color); }
.events p { margin: 0.1rem 0; overflow-wrap: anywhere; font-size: 0.9rem; }
.events .said { border-left: 3px solid var(--st-border-color); padding-left: 0.6rem; white-space: pre-wrap; }
.hash { font-family: var(--st-code-font), monospace; font-size: 0.78rem; color: var(--st-gray-text-color);
  overflow-wrap: anywhere; }
.hit { border: 1px solid var(--st-border-color); border-radius: 8px; padding: 0.8rem 0.9rem; }
.hit + .hit { margin-top: 0.8rem; }
.hit h3 { margin: 0 0 0.4rem; display: flex; flex-wrap: wrap; gap: 0.3rem 0.5rem; align-items: baseline; }
.hit ul { margin: 0.4rem 0 0; padding-left: 1.1rem; }
.hit table { margin-top: 0.6rem; }
.machine-box { overflow-x: auto; max-width: 720px; }
.machine-box:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 3px; }
.machine { display: block; width: 100%; min-width: 600px; height: auto; }
.machine text { font: 12px var(--st-font), system-ui, sans-serif; fill: var(--st-text-color); text-anchor: middle; }
.machine rect { fill: var(--st-background-color); stroke: var(--st-border-color); stroke-width: 1.2; }
.machine .here rect { fill: var(--st-blue-background-color); stroke: var(--st-primary-color); stroke-width: 3; }
.machine .here text { font-weight: 700; }
.machine path { fill: none; stroke: var(--st-gray-text-color); stroke-width: 1.2; }
details summary { cursor: pointer; min-height: 24px; font-weight: 600; }
details[open] summary { margin-bottom: 0.5rem; }
@container (max-width: 640px) { .hit { padding: 0.6rem 0.7rem; } }
</style>"""
