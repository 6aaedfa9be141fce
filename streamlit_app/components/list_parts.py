"""Lists to screen against, and what a search in them found, as markup."""

from __future__ import annotations

from html import escape

from compliance.api.list_routes import ListsView, ListVersionView, ListView
from compliance.api.screening_schemas import HitView, SearchView
from streamlit_app.components import cases_words, formats, markup
from streamlit_app.components.markup import Cell, Column, text

NO_LIST = markup.banner(
    "error",
    "No list was ever loaded.",
    "Nothing can be screened, which is never a clear answer. Load one with <code>ballast compliance load-list</code>.",
    role="alert",
)
STATE_WORDS = {
    "active": "Searched now",
    "superseded": "Replaced",
    "refused": "Refused",
    "loading": "Not loaded to its end",
}
STATE_CLASSES = {"active": "ok", "superseded": "none", "refused": "liquidation", "loading": "stale"}
SEARCH_TITLES = {"clear": "No entry of the active lists matches.", "hit": "Entries that it may be:"}


def lists_sections(found: ListsView) -> dict[str, str]:
    """A card for each list."""
    if not found.lists:
        return {"none": NO_LIST}
    return {f"list_{each.list_name}": _list(each) for each in found.lists}


def search_html(found: SearchView) -> str:
    """What the lists say of a name; what could not be searched is never shown as clear."""
    lists = ", ".join(f"{name} {version}" for name, version in found.list_versions.items()) or "none"
    facts = markup.facts(
        [("Lists", lists), ("Policy", found.policy_version), ("Searched on", found.searched_on.isoformat())]
    )
    if found.outcome == "error":
        why = escape(found.reason or "no reason is given")
        return markup.banner("error", "It could not be screened, which is not clear:", why, role="alert") + markup.card(
            markup.head("Search"), facts
        )
    mark = markup.tag("ok", "no match") if found.outcome == "clear" else markup.tag("degraded", "possible matches")
    hits = "".join(_hit(hit) for hit in found.hits)
    reason = markup.note(found.reason or "")
    title = markup.head(SEARCH_TITLES[found.outcome], mark, more=formats.count(len(found.hits), "hit"))
    return markup.card(title, hits + reason + facts)


def _list(found: ListView) -> str:
    active = found.active
    mark = markup.tag("stale", "nothing is searched") if active is None else markup.tag("ok", "searched")
    title = markup.head(found.list_name, mark, more="" if active is None else f"loaded {_age(active)} ago")
    refused = ""
    if found.refused_since:
        said = formats.count(found.refused_since, "newer load was refused", "newer loads were refused")
        since = "nothing is searched" if active is None else f"what is searched is {_age(active)} old"
        refused = markup.banner("error", f"{said}:", f"{since}. The reasons stand below.", role="alert")
    return markup.card(title, refused + _facts(active) + _versions(found))


def _facts(active: ListVersionView | None) -> str:
    if active is None:
        return "<p>No version of this list is active, so that nothing is screened by it.</p>"
    published = active.published_on.isoformat() if active.published_on else "the list does not say"
    return markup.facts(
        [
            ("Entries", _count(active.entries)),
            ("Names", _count(active.names)),
            ("Wallets", _count(active.wallets)),
            ("Published", published),
            ("Loaded", formats.moment(active.loaded_at)),
            ("Age", _age(active)),
            ("Content", active.content_hash[:16]),
        ]
    )


def _versions(found: ListView) -> str:
    columns = (
        Column("Loaded"),
        Column("State"),
        Column("Entries", True),
        Column("Names", True),
        Column("Wallets", True),
        Column("Added", True),
        Column("Changed", True),
        Column("Removed", True),
        Column("Content"),
        Column("Remarks"),
    )
    rows = [
        (
            text(formats.moment(each.loaded_at), f"{_age(each)} ago"),
            Cell(markup.tag(STATE_CLASSES[each.state], STATE_WORDS[each.state])),
            *(
                text(_count(count))
                for count in (each.entries, each.names, each.wallets, each.added, each.changed, each.removed)
            ),
            Cell(f"<code>{escape(each.content_hash[:12]) or 'not read'}</code>", each.list_version_id),
            Cell(f'<span class="clip">{escape(each.reason or "none")}</span>'),
        )
        for each in found.versions
    ]
    return "<h3>Loads, newest first</h3>" + markup.table(f"Loads of {found.list_name}", columns, rows)


def _hit(hit: HitView) -> str:
    topics = "".join(markup.tag("plain", formats.words(topic, cases_words.TOPIC_WORDS)) for topic in hit.topics)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in hit.reasons)
    facts = markup.facts(
        [
            ("Score", f"{hit.score:.2f} of 1, no probability"),
            ("List", f"{hit.list_name}, version {hit.list_version_id}"),
            ("Entry", hit.entry_id),
        ]
    )
    return f'<div class="hit"><h3>{hit.rank}. {escape(hit.listed_name)} {topics}</h3><ul>{reasons}</ul>{facts}</div>'


def _count(value: int | None) -> str:
    return "not counted" if value is None else f"{value:,}"


def _age(version: ListVersionView) -> str:
    return formats.age(version.age_s)
