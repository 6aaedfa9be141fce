"""Alert preferences over HTTP, of accounts and in the same way of teams."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Response

from alerting.errors import (
    ContactConflictError,
    ContactNotFoundError,
    PreferencesInvalidError,
    TeamUnknownError,
    TrialLimitError,
    VerificationCodeError,
    VerificationEndedError,
    VerificationLimitError,
)
from alerting.preferences import service, store, trial, verification
from alerting.preferences.dependencies import ContextDependency, OwnerDependency, account_owner, team_owner
from alerting.preferences.model import account_of
from alerting.preferences.schemas import (
    AlertPreferencesView,
    Attribution,
    ChangeList,
    ChangesCursor,
    ChangeView,
    CodeInput,
    ContactView,
    PreferencesInput,
    QuietHoursView,
    RegisteredContactInput,
    SilenceView,
    TrialView,
)
from alerting.preferences.service import OwnerPreferences
from infra.runtime.cursors import CursorInvalidError

MAX_CHANGES = 200

accounts_router = APIRouter(
    prefix="/v1/accounts/{account_id}", tags=["alert preferences"], dependencies=[Depends(account_owner)]
)
teams_router = APIRouter(prefix="/v1/teams/{team}", tags=["alert preferences"], dependencies=[Depends(team_owner)])

ContactPath = Annotated[str, Path(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9_]+$", description="contact")]


def get_alert_preferences(context: ContextDependency, owner: OwnerDependency) -> AlertPreferencesView:
    """Who is told and how; the defaults where nothing was set. Addresses are masked."""
    return _view(service.read_preferences(context, owner))


def put_alert_preferences(
    context: ContextDependency, owner: OwnerDependency, body: PreferencesInput
) -> AlertPreferencesView:
    """Replace who is told and how.

    An address that was there keeps its contact and its verification; a new one is sent a verification and is told
    nothing until it is verified; one that is left out is removed. A new webhook's secret is shown in this response
    and never again. Repeating a request changes nothing and sends nothing.
    """
    return _view(service.set_preferences(context, owner, body.wanted()))


def list_alert_preference_changes(
    context: ContextDependency,
    owner: OwnerDependency,
    cursor: Annotated[str | None, Query(max_length=500, description="next_cursor of the page before")] = None,
    limit: Annotated[int, Query(ge=1, le=MAX_CHANGES)] = 50,
) -> ChangeList:
    """The history of contacts, preferences and silences, newest first."""
    place = ChangesCursor.decode(cursor) if cursor is not None else None
    after = (place.at, place.change_id) if place is not None else None
    with context.engine.connect() as connection:
        rows = store.changes_page(connection, owner, after, limit + 1)
    shown = rows[:limit]
    behind = ChangesCursor(t=shown[-1].at, c=shown[-1].change_id).encode() if len(rows) > limit else None
    return ChangeList(changes=[ChangeView.model_validate(row) for row in shown], next_cursor=behind)


def verify_contact(
    context: ContextDependency, owner: OwnerDependency, contact_id: ContactPath, body: CodeInput
) -> ContactView:
    """Prove that the address is the owner's, by the code that was sent to it.

    A code ends after 15 minutes (SMS) or 24 hours, or by five wrong answers.
    """
    return ContactView.of(verification.verify(context, owner, contact_id, body.code))


def send_contact_verification(
    context: ContextDependency, owner: OwnerDependency, contact_id: ContactPath, response: Response
) -> ContactView:
    """Send a further verification; an address gets at most five an hour."""
    response.status_code = 202
    return ContactView.of(verification.send_verification(context, owner, contact_id))


def rotate_contact_secret(
    context: ContextDependency, owner: OwnerDependency, contact_id: ContactPath, body: Attribution
) -> ContactView:
    """Give a webhook a new secret, which is shown in this response and never again.

    For 24 hours every request is signed with both; a second rotation within them ends the first secret at once.
    """
    contact, secret = service.rotate_secret(context, owner, contact_id, body.set_by, body.reason)
    return ContactView.of(contact, secret)


def send_test_alert(
    context: ContextDependency, owner: OwnerDependency, response: Response, body: Attribution | None = None
) -> TrialView:
    """Send a test alert to every verified contact, or to the registered ones where there is none; one a minute."""
    response.status_code = 202
    requested_by, reason = (body.set_by, body.reason) if body else ("api", "test alert")
    return TrialView.model_validate(trial.send_trial(context, owner, requested_by, reason))


def put_registered_contact(
    context: ContextDependency, owner: OwnerDependency, body: RegisteredContactInput
) -> AlertPreferencesView:
    """Replace what onboarding knows of the account's holder, who is told while no contact of one's own is verified.

    Locale and time zone hold where none are set. Repeating a request changes nothing.
    """
    known = service.RegisteredContact(owner, body.email, body.phone, body.locale, body.time_zone)
    done = service.register_contacts(
        context.engine, context.sealer, context.clock, [known], changed_by=body.set_by, reason=body.reason
    )
    for reason in done.refused.values():
        raise PreferencesInvalidError(reason)
    return _view(service.read_preferences(context, owner))


def _view(found: OwnerPreferences) -> AlertPreferencesView:
    account = account_of(found.owner)
    settings = found.settings
    start, end = settings.quiet_start, settings.quiet_end
    return AlertPreferencesView(
        account_id=account,
        team=None if account is not None else found.owner.partition(":")[2],
        locale=settings.locale,
        time_zone=settings.time_zone,
        quiet_hours=QuietHoursView(start=f"{start:%H:%M}", end=f"{end:%H:%M}") if start and end else None,
        digest_minutes=settings.digest_minutes,
        updated_at=found.updated_at,
        contacts=[ContactView.of(each, found.secrets.get(each.contact_id)) for each in found.contacts],
        registered_contacts=[ContactView.of(each) for each in found.registered],
        silences=[SilenceView.model_validate(each) for each in found.silences],
        thresholds_url=f"/v1/accounts/{account}/thresholds" if account is not None else None,
    )


_INVALID = ("request_invalid", PreferencesInvalidError.code)
_CONTACT = ContactNotFoundError.code
_ROUTES: tuple[tuple[str, str, Callable[..., Any], int, tuple[tuple[int, tuple[str, ...]], ...]], ...] = (
    ("GET", "", get_alert_preferences, 200, ()),
    ("PUT", "", put_alert_preferences, 200, ((422, _INVALID), (429, (VerificationLimitError.code,)))),
    (
        *("GET", "/changes", list_alert_preference_changes, 200),
        ((422, ("request_invalid", CursorInvalidError.code)),),
    ),
    (
        *("POST", "/contacts/{contact_id}/verify", verify_contact, 200),
        (
            (404, (_CONTACT,)),
            (410, (VerificationEndedError.code,)),
            (422, ("request_invalid", VerificationCodeError.code)),
        ),
    ),
    (
        *("POST", "/contacts/{contact_id}/send-verification", send_contact_verification, 202),
        ((404, (_CONTACT,)), (409, (ContactConflictError.code,)), (429, (VerificationLimitError.code,))),
    ),
    (
        *("POST", "/contacts/{contact_id}/rotate-secret", rotate_contact_secret, 200),
        ((404, (_CONTACT,)), (409, (ContactConflictError.code,))),
    ),
    ("POST", "/test", send_test_alert, 202, ((429, (TrialLimitError.code,)),)),
)


def _mount(router: APIRouter, noun: str, missing: tuple[str, ...]) -> None:
    """Add the routes to an owner's router; `noun` stands before the names of a team's operations."""
    for method, path, endpoint, status, errors in _ROUTES:
        by_status = dict(errors)
        if missing:
            by_status[404] = (*missing, *by_status.get(404, ()))
        router.add_api_route(
            f"/alert-preferences{path}",
            endpoint,
            methods=[method],
            status_code=status,
            name=f"{noun}{endpoint.__name__}",
            responses={code: {"description": ", ".join(names)} for code, names in sorted(by_status.items())},
        )


_mount(accounts_router, "", ())
_mount(teams_router, "team_", (TeamUnknownError.code,))
accounts_router.add_api_route(
    "/registered-contact",
    put_registered_contact,
    methods=["PUT"],
    name=put_registered_contact.__name__,
    responses={422: {"description": ", ".join(_INVALID)}},
)
