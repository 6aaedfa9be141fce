"""The style sheet of the pages of monitoring and policies, sent with their markup."""

from __future__ import annotations

STYLE = """<style>
.clip { overflow-wrap: anywhere; }
.tags { display: inline-flex; flex-wrap: wrap; gap: 0.25rem 0.35rem; align-items: baseline; }
.tag.plain { background: transparent; border: 1px solid var(--st-border-color); color: var(--st-text-color); }
.numbers-row { display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; list-style: none; margin: 0; padding: 0; }
.became { display: grid; gap: 0.5rem 0.9rem; grid-template-columns: minmax(8rem, 14rem) minmax(0, 1fr) auto;
  align-items: center; list-style: none; margin: 0; padding: 0; }
.became li { display: grid; grid-column: 1 / -1; grid-template-columns: subgrid; align-items: center; }
.became .bar { display: flex; height: 1.05rem; gap: 2px; }
.became .bar i { display: block; min-width: 4px; border-radius: 2px; }
.part-rejected { background: var(--st-red-color); }
.part-released { background: var(--st-green-color); }
.part-blocked { background: repeating-linear-gradient(90deg, var(--st-orange-color) 0 5px, transparent 5px 7px); }
.part-accepted { background: var(--st-blue-color); }
.part-open { background: repeating-linear-gradient(45deg, var(--st-gray-color) 0 4px, transparent 4px 7px); }
.part-unknown { background: transparent; border: 1px dashed var(--st-gray-text-color); }
.keys { display: flex; flex-wrap: wrap; gap: 0.2rem 0.9rem; list-style: none; padding: 0; margin: 0 0 0.8rem;
  font-size: 0.84rem; color: var(--st-gray-text-color); }
.keys i { display: inline-block; width: 0.8rem; height: 0.8rem; border-radius: 2px; margin-right: 0.35rem;
  vertical-align: -0.08rem; }
.rule + .rule { border-top: 1px solid var(--st-border-color); margin-top: 0.9rem; padding-top: 0.9rem; }
.rule h3 { margin: 0 0 0.25rem; display: flex; flex-wrap: wrap; gap: 0.3rem 0.5rem; align-items: baseline; }
.rule .facts { margin-top: 0.45rem; }
details summary { cursor: pointer; min-height: 24px; font-weight: 600; }
details[open] summary { margin-bottom: 0.5rem; }
summary:focus-visible, .wide:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 3px; }
.wide { overflow-x: auto; }
.graph { display: block; width: 100%; min-width: 720px; max-width: 960px; margin: 0 auto; height: auto; }
.graph text { font: 12px var(--st-font), system-ui, sans-serif; fill: var(--st-text-color); }
.graph .soft { fill: var(--st-gray-text-color); }
.graph .strong { font-weight: 700; }
.graph .edge-in { stroke: var(--st-blue-color); fill: var(--st-blue-color); }
.graph .edge-out { stroke: var(--st-orange-color); fill: var(--st-orange-color); }
.graph .edge-in polygon, .graph .edge-out polygon { stroke: none; }
.graph line { stroke-linecap: round; opacity: 0.8; }
.graph g:hover line { opacity: 1; }
.graph .node { fill: var(--st-secondary-background-color); stroke: var(--st-text-color); stroke-width: 1.5; }
.graph .node.account { fill: var(--st-text-color); }
.graph .node.listed { fill: var(--st-red-color); }
.graph .node.mixer { fill: var(--st-yellow-color); }
.graph .node.not-known { stroke-dasharray: 3 2; }
.graph .ring { fill: none; stroke: var(--st-primary-color); stroke-width: 2; }
.versions td, .versions th { vertical-align: top; }
.hit { border: 1px solid var(--st-border-color); border-radius: 8px; padding: 0.8rem 0.9rem; }
.hit + .hit { margin-top: 0.8rem; }
.hit h3 { margin: 0 0 0.4rem; display: flex; flex-wrap: wrap; gap: 0.3rem 0.5rem; align-items: baseline; }
.hit ul, .plain-list { margin: 0.4rem 0 0; padding-left: 1.1rem; }
.plain-list li + li { margin-top: 0.3rem; }
@container (max-width: 640px) { td > div, tbody th > div { min-width: 0; overflow-wrap: anywhere; } }
@container (max-width: 560px) { .became { grid-template-columns: minmax(0, 1fr) auto; }
  .became .bar { grid-column: 1 / -1; grid-row: 2; } }
</style>"""
