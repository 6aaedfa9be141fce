"""The app's way to the API: each request is made for the person who looks, so that the API decides and records it."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote

import httpx

from infra.runtime.assertions import sign_assertion
from infra.runtime.clock import SystemClock
from infra.runtime.errors import BallastError, SettingsError
from infra.runtime.settings import Settings, load_settings
from streamlit_app.visitor import visitor

TIMEOUT_S = 5.0
Query = Mapping[str, str | int | bool | list[str] | None]


class ApiProblem(BallastError):  # noqa: N818 -- named by what the page shows
    """The API refused a request (4xx); `code` is the API's stable code and `message` its words."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class ApiAway(BallastError):  # noqa: N818 -- named by what the page shows
    """The API does not answer, or cannot now (network, 5xx); nothing is known of what was asked.

    After a POST it may have been done all the same.
    """

    code = "api_away"


class Api:
    """Requests to the API, each with a statement made at that moment by `assertion`; nothing is tried twice.

    Times out after `TIMEOUT_S` seconds. Raises `ApiProblem` and `ApiAway`.
    """

    def __init__(self, base_url: str, assertion: Callable[[], str], client: httpx.Client | None = None) -> None:
        self._base = base_url.rstrip("/")
        self._assertion = assertion
        self._client = client or shared_client()

    def get(self, path: str, params: Query | None = None) -> Any:
        """What stands at the path; parameters of None are left out."""
        return _read(self._answer("GET", path, params=params))

    def post(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Send a body as JSON."""
        return _read(self._answer("POST", path, body=body, headers=headers))

    def put(self, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        """Put a body as JSON."""
        return _read(self._answer("PUT", path, body=body, headers=headers))

    def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Any:
        """Remove what stands at the path."""
        return _read(self._answer("DELETE", path, headers=headers))

    def text(self, path: str) -> str:
        """A document that stands at the path, such as Markdown."""
        answer = self._answer("GET", path)
        if not answer.is_success:
            _read(answer)
        return answer.text

    def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Query | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        if not path.startswith("/"):
            raise ValueError("a path of the API begins with /")
        given = {name: value for name, value in (params or {}).items() if value is not None}
        try:
            return self._client.request(
                method,
                self._base + path,
                params=given or None,
                json=body,
                headers={**(headers or {}), "Authorization": f"Bearer {self._assertion()}"},
                timeout=TIMEOUT_S,
            )
        except httpx.HTTPError as error:
            raise ApiAway(f"The API does not answer ({type(error).__name__}).") from error


def segment(value: str) -> str:
    """The value as one segment of a path."""
    return quote(value, safe="")


def api() -> Api:
    """The API for the person who looks at the page; raises `SettingsError` where the app has no key for it."""
    settings, clock, person = process_settings(), SystemClock(), visitor()
    key = settings.app_assertion_key
    if key is None or not key.get_secret_value().strip():
        raise SettingsError("BALLAST_APP_ASSERTION_KEY is not set, so that the app cannot ask the API for anybody.")
    return Api(settings.api_url, lambda: sign_assertion(key, person.name, clock.now()))


@functools.cache
def shared_client() -> httpx.Client:
    """Connections for all sessions of the process; no redirects and no proxies, which a statement must not reach."""
    # The library writes each address into the log, in which stands what people looked for.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return httpx.Client(follow_redirects=False, trust_env=False, limits=httpx.Limits(max_connections=40))


@functools.cache
def process_settings() -> Settings:
    """The settings of this process."""
    return load_settings()


def _read(answer: httpx.Response) -> Any:
    if answer.status_code == 204:
        return None
    try:
        content = answer.json()
    except ValueError as error:
        raise ApiAway(f"The API does not answer in JSON ({answer.status_code}).") from error
    if answer.is_success:
        return content
    detail = content.get("error") if isinstance(content, dict) else None
    code, message = ("", "") if not isinstance(detail, dict) else (detail.get("code"), detail.get("message"))
    if 400 <= answer.status_code < 500:
        raise ApiProblem(answer.status_code, str(code or f"http_{answer.status_code}"), str(message or "Refused."))
    raise ApiAway(str(message or f"The API answers {answer.status_code}."))
