"""The API as pages of compliance ask it: answers by method and path, and a page opened over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from compliance.model import Role
from streamlit_app import visitor
from streamlit_app.api_client import ApiAway, ApiProblem, Query
from streamlit_app.components import aml_api
from streamlit_app.components.aml_api import Monitoring
from streamlit_app.visitor import Visitor

HOSTILE = '<img src=x"y onerror=alert(1)>'
ROOT = "/v1/compliance"
AWAY = ApiAway("The API does not answer (ConnectError).")
FORBIDDEN = ApiProblem(403, "forbidden", "Who has the role viewer may not read_case.")
Open = Callable[..., Any]


@dataclass
class FakeApi:
    """Answers by method and path; an answer that is an error is raised, one that is a function is asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def get(self, path: str, params: Query | None = None) -> Any:
        """What stands at the path."""
        return self._answer(f"GET {path}", dict(params or {}))

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a body."""
        return self._answer(f"POST {path}", dict(body or {}))

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Remove what stands at the path."""
        return self._answer(f"DELETE {path}", {})

    def given(self, name: str) -> list[dict[str, Any]]:
        """Parameters or bodies of each request to a path."""
        return [given for asked, given in self.asked if asked == name]

    def fail(self, error: Exception) -> None:
        """Answer everything with an error from now on."""
        self.answers = dict.fromkeys(self.answers, error)

    def _answer(self, name: str, given: dict[str, Any]) -> Any:
        self.asked.append((name, given))
        found = self.answers[name.replace(ROOT, "")]
        if isinstance(found, Exception):
            raise found
        return found(given) if isinstance(found, Callable) else found  # type: ignore[arg-type]


def opener(app: Any, fake: FakeApi, script: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> Open:
    """What opens the page of `script` as a person with a role, at an address, over the fake API."""

    def opened(role: Role = Role.OFFICER, **parameters: str) -> Any:
        monkeypatch.setattr(visitor, "current", lambda: Visitor("ann", role))
        app.at = AppTest.from_function(script, default_timeout=30)
        for name, value in parameters.items():
            app.at.query_params[name] = value
        return app.open()

    monkeypatch.setattr(aml_api, "open_monitoring", lambda: Monitoring(fake))
    return opened
