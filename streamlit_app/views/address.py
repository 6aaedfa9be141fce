"""What a page shows as it stands in its address, so that it can be sent to somebody and survives a reload."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, TypeVar

import streamlit as st


class Shown(Protocol):
    """What a page shows: filters, order, pages."""

    def values(self) -> dict[str, str]:
        """The same as parameters of an address."""
        ...


Kept = TypeVar("Kept", bound=Shown)


def follow(key: str, choice_of: Callable[[Mapping[str, str]], Shown], widgets: Iterable[str]) -> None:
    """Let an address that was followed or loaded set what stands under `key`; its widgets begin anew."""
    given = st.query_params.to_dict()
    if given and given != st.session_state.get(_written(key)):
        st.session_state[key] = choice_of(given)
        for widget in widgets:
            st.session_state.pop(widget, None)


def keep(key: str, choice: Kept) -> Kept:
    """Keep what is shown now under `key`, and write it into the address."""
    st.session_state[key] = choice
    if st.query_params.to_dict() != choice.values():
        st.query_params.from_dict(choice.values())
    st.session_state[_written(key)] = choice.values()
    return choice


def _written(key: str) -> str:
    return f"{key}_in_address"
