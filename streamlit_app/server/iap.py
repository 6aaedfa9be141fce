"""Sign-in by Google's Identity-Aware Proxy in front of the app: its signed assertion, checked at every request."""

from __future__ import annotations

from starlette.datastructures import Headers

from infra.runtime.clock import Clock
from infra.runtime.errors import SettingsError
from infra.runtime.logs import get_logger
from infra.runtime.settings import Settings
from streamlit_app.server.door import Entry, RefusedError
from streamlit_app.server.keys import KeySet, ProviderAwayError, TokenRefusedError, check_provider_url
from streamlit_app.server.session import Sessions, visitor_named

HEADER = "x-goog-iap-jwt-assertion"
ISSUER = "https://cloud.google.com/iap"
SIGN_OUT_AT = "/_gcp_iap/clear_login_cookie"
"""Where the proxy itself forgets the person."""
MAX_LENGTH = 8_000
_log = get_logger(__name__)


class IapIdentifier:
    """Whoever the proxy vouches for by its signature; the plain headers beside it prove nothing and are not read.

    A page's connection is checked when it opens, as the proxy does; from then on it lives as long as a session.
    """

    def __init__(self, keys: KeySet, audience: str, sessions: Sessions) -> None:
        self._keys = keys
        self._audience = audience
        self._sessions = sessions

    async def identify(self, headers: Headers) -> Entry:
        """The person whose address the assertion carries; raises `RefusedError` (401, 403; 503 without keys)."""
        given = headers.getlist(HEADER)
        if len(given) != 1 or len(given[0]) > MAX_LENGTH:
            raise RefusedError("The app is reached through Google's Identity-Aware Proxy only.")
        try:
            claims = await self._keys.verified(
                given[0], ("ES256",), issuer=ISSUER, audience=self._audience, required=("iss", "aud", "sub", "email")
            )
        except TokenRefusedError as error:
            _log.warning("iap_assertion_refused", reason=error.message)
            raise RefusedError("The proxy's assertion does not hold.") from error
        except ProviderAwayError as error:
            raise RefusedError("The keys of the proxy cannot be fetched; try again.", 503) from error
        people = self._sessions.people()
        actor = people.with_mail(claims["email"]) if isinstance(claims["email"], str) else None
        visitor = None if actor is None else visitor_named(people, actor.name)
        if visitor is None:
            raise RefusedError("Your account has no access here. Ask an administrator of Ballast.", 403)
        return Entry(visitor, self._sessions.open(visitor.name))


def iap_identifier(settings: Settings, sessions: Sessions, clock: Clock) -> IapIdentifier:
    """The identifier of these settings; raises `SettingsError` where one is missing."""
    if not settings.app_iap_audience:
        raise SettingsError("BALLAST_APP_SIGN_IN=iap needs BALLAST_APP_IAP_AUDIENCE, the backend service's audience.")
    url = check_provider_url(settings.app_iap_keys_url, "BALLAST_APP_IAP_KEYS_URL")
    return IapIdentifier(KeySet(url, clock), settings.app_iap_audience, sessions)
