"""Style and script of the inbox's page."""

from __future__ import annotations

SEVERITIES = ("early_warning", "margin_call", "liquidation", "recovered", "unpriced")

STYLE = """
:root { color-scheme: light dark; --ink: #1b2430; --soft: #5b6675; --line: #dde2e8; --card: #fff; --page: #f4f6f8;
  --early_warning: #8a6100; --margin_call: #b04300; --liquidation: #b3122a; --recovered: #1b6e3a; --unpriced: #5a4b9c;
  --email: #1f5fbf; --sms: #0f7466; --webhook: #7a3e9d; --pagerduty: #b3122a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #9aa6b4; --line: #2b3440; --card: #1a212a;
  --page: #11161c; --early_warning: #e3b341; --margin_call: #f0883e; --liquidation: #ff7b85; --recovered: #56d385;
  --unpriced: #b3a4f5; --email: #79b0ff; --sms: #4fd1bd; --webhook: #d0a0ee; --pagerduty: #ff7b85; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 15px/1.45 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.25rem 1rem 3rem; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: .25rem 1.25rem; margin-bottom: .75rem; }
h1 { font-size: 1.3rem; margin: 0; }
.count { color: var(--soft); } .count b { color: var(--ink); font-variant-numeric: tabular-nums; }
nav { display: flex; flex-wrap: wrap; gap: .5rem; margin-bottom: 1rem; }
nav a { display: inline-flex; align-items: baseline; gap: .4rem; padding: .25rem .7rem; border: 1px solid var(--line);
  border-radius: 999px; background: var(--card); color: var(--kind, var(--ink)); text-decoration: none; }
nav a[aria-current] { border-color: currentColor; box-shadow: inset 0 0 0 1px currentColor; }
nav b { color: var(--ink); font-variant-numeric: tabular-nums; }
ol { list-style: none; margin: 0; padding: 0; display: grid; gap: .6rem; }
li { background: var(--card); border: 1px solid var(--line); border-left: 5px solid var(--kind, var(--soft));
  border-radius: 8px; padding: .65rem .9rem; display: grid; grid-template-columns: 7rem 1fr auto; gap: .15rem 1rem;
  align-items: baseline; }
.kind { display: inline-flex; align-items: baseline; gap: .45rem; color: var(--kind); font-weight: 650; }
.kind svg, nav svg { width: 1.1em; height: 1.1em; flex: none; position: relative; top: .15em; fill: none;
  stroke: currentColor;
  stroke-width: 1.8; stroke-linecap: round; stroke-linejoin: round; }
.title { font-weight: 600; overflow-wrap: anywhere; min-width: 0; }
.severity { color: var(--mark, var(--soft)); font-weight: 650; white-space: nowrap; text-align: right; }
.to { grid-column: 1; color: var(--soft); font-size: .85rem; }
.recipient { grid-column: 2; overflow-wrap: anywhere; min-width: 0; }
.number { text-align: right; color: var(--soft); font-size: .85rem; font-variant-numeric: tabular-nums; }
.meta { grid-column: 2 / -1; color: var(--soft); font-size: .85rem; overflow-wrap: anywhere; }
.meta b { color: var(--liquidation); } .meta a { color: inherit; white-space: nowrap; }
.text { grid-column: 2 / -1; white-space: pre-wrap; overflow-wrap: anywhere; margin: .15rem 0; }
details { grid-column: 2 / -1; min-width: 0; } summary { color: var(--soft); font-size: .85rem; cursor: pointer; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; margin: .5rem 0 0; }
details.is-mail pre { font-family: inherit; font-size: .95rem; }
.empty { color: var(--soft); text-align: center; padding: 3rem 0; }
#away { display: none; color: var(--liquidation); } .is-away #away { display: inline; }
@media (max-width: 40rem) { li { grid-template-columns: 1fr auto; }
  .title, .recipient, .meta, .text, details { grid-column: 1 / -1; }
  .to { display: none; } .severity { grid-row: 1; grid-column: 2; } .number { grid-column: 1 / -1; text-align: left; } }
"""

SCRIPT = """
const renew = async () => {
  const open = new Set([...document.querySelectorAll("details[open]")].map((each) => each.id));
  try {
    const answer = await fetch(location.pathname + location.search, { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.status);
    const page = await answer.text();
    const part = page.slice(page.indexOf("<main>"), page.indexOf("</main>"));
    const fresh = new DOMParser().parseFromString(part, "text/html").querySelector("main");
    for (const each of fresh.querySelectorAll("details")) each.open = open.has(each.id);
    document.querySelector("main").replaceWith(fresh);
    document.body.classList.remove("is-away");
  } catch { document.body.classList.add("is-away"); }
  setTimeout(renew, 2000);
};
setTimeout(renew, 2000);
"""

# Paths of 24 by 24 drawings, one for each kind of message.
DRAWINGS = {
    "email": '<rect x="3" y="5" width="18" height="14" rx="2"/><path d="m3 7 9 6 9-6"/>',
    "sms": '<path d="M4 5h16v11H10l-5 4v-4H4z"/><path d="M8 9h8M8 12h5"/>',
    "webhook": '<path d="m8 6-5 6 5 6M16 6l5 6-5 6"/>',
    "pagerduty": '<path d="M6 16v-5a6 6 0 0 1 12 0v5l2 2H4z"/><path d="M10 21h4"/>',
}
