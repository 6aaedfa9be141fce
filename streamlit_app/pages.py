"""The pages of the app: what each is called, where it stands, and which roles see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from compliance.model import Role
from streamlit_app.components.scope import APP_ROOT
from streamlit_app.views import (
    account,
    alerts,
    aml,
    cases,
    data_health,
    margin_monitor,
    oracle,
    policies,
    portfolio_overview,
    var_stress,
)

RISK = "Risk"
COMPLIANCE = "Compliance"
EVERYBODY = frozenset(Role)


@dataclass(frozen=True)
class PageSpec:
    """A page: `path` is its last part of the address, `group` its heading in the navigation."""

    title: str
    path: str
    group: str
    render: Callable[[], None]
    roles: frozenset[Role] = EVERYBODY


PAGES = (
    PageSpec("Portfolio overview", "portfolio", RISK, portfolio_overview.render),
    PageSpec("Account", "account", RISK, account.render),
    PageSpec("Margin monitor", "monitor", RISK, margin_monitor.render),
    PageSpec("VaR and stress", "var", RISK, var_stress.render),
    PageSpec("Oracle", "oracle", RISK, oracle.render),
    PageSpec("Alerts", "alerts", RISK, alerts.render),
    PageSpec("Data health", "health", RISK, data_health.render),
    PageSpec("KYC and cases", "cases", COMPLIANCE, cases.render, EVERYBODY - {Role.SERVICE}),
    PageSpec("AML", "aml", COMPLIANCE, aml.render, EVERYBODY - {Role.SERVICE, Role.VIEWER}),
    PageSpec("Policies and lists", "policies", COMPLIANCE, policies.render, EVERYBODY - {Role.SERVICE}),
)
"""In the order of the navigation; the first one stands at the root of the app."""


def pages_for(role: Role) -> tuple[PageSpec, ...]:
    """The pages that a person of this role sees."""
    return tuple(page for page in PAGES if role in page.roles)


def address_of(page: PageSpec, **parameters: str) -> str:
    """The address of a page on this host, with parameters."""
    query = f"?{urlencode(parameters)}" if parameters else ""
    return APP_ROOT + ("" if page is PAGES[0] else page.path) + query
