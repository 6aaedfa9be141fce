"""Answers of the API that a page shows: the last good one stays while the API is away, marked as old.

What the API refuses is shown to nobody, also not as it was before.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar, cast

import streamlit as st

from infra.runtime.errors import BallastError
from streamlit_app import data
from streamlit_app.api_client import ApiProblem
from streamlit_app.components import aml_style, cases_fresh, live
from streamlit_app.visitor import visitor

EVERY_S = 5.0
"""How often a page looks; a part that hears nothing for twice as long marks itself as old."""
NOW = timedelta(0)
SLOW = timedelta(seconds=30)
MOST_KEPT = 12
_KEPT = "asked_of_the_api"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Asked(Generic[Value]):
    """An answer with when it came; with a `problem` the value is an older one, or None."""

    value: Value | None
    read_at: datetime | None
    problem: BallastError | None = None


def ask(key: Hashable, run: Callable[[], Value], max_age: timedelta = NOW) -> Asked[Value]:
    """The answer of `run`, not asked for again within `max_age`; of this person in this role alone."""
    someone, now = visitor(), data.system_clock().now()
    kept: OrderedDict[Hashable, Asked[Any]] = st.session_state.setdefault(_KEPT, OrderedDict())
    place = (someone.name, someone.role, key)
    before = cast("Asked[Value] | None", kept.get(place))
    if before is not None and before.read_at is not None and now - before.read_at < max_age:
        return before
    try:
        found = Asked(run(), now)
    except ApiProblem as problem:
        kept.pop(place, None)
        return Asked(None, None, problem)
    except BallastError as problem:
        return replace(before, problem=problem) if before is not None else Asked(None, None, problem)
    kept[place] = found
    kept.move_to_end(place)
    while len(kept) > MOST_KEPT:
        kept.popitem(last=False)
    return found


def show(
    key: str, sections: Mapping[str, str], *asked: Asked[Any], on_account: Callable[[], None] | None = None
) -> None:
    """Show sections that rest on these answers, under how fresh they are and what went wrong."""
    now = data.system_clock().now()
    problem = next((each.problem for each in asked if each.problem is not None), None)
    read_at = min((each.read_at for each in asked if each.read_at is not None), default=None)
    has_old = any(each.value is not None for each in asked)
    top = {
        "freshness": cases_fresh.line_html(read_at),
        "banner": aml_style.STYLE + cases_fresh.banner_html(problem, has_old),
    }
    live.show(
        key,
        top | dict(sections),
        ages=cases_fresh.age_s(read_at, now),
        is_old=problem is not None,
        on_account=on_account,
    )
