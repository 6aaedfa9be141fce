"""The page behind the link of a verification mail: self-contained, without scripts, in the owner's language."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

from alerting.preferences.model import account_of
from alerting.preferences.verification import TokenState, TokenView

STYLE = (
    ":root{color-scheme:light dark}"
    "body{margin:0;min-height:100vh;display:flex;align-items:center;justify-content:center;"
    "font:16px/1.5 system-ui,sans-serif;background:#f3f4f6;color:#111827}"
    "main{box-sizing:border-box;max-width:28rem;width:100%;margin:1rem;padding:2rem;background:#fff;"
    "border:1px solid #d1d5db;border-radius:8px}"
    "h1{margin:0 0 1rem;font-size:1.375rem;line-height:1.3}p{margin:0 0 1rem;overflow-wrap:anywhere}"
    "button{width:100%;padding:.75rem 1rem;font:inherit;font-weight:600;color:#fff;background:#1d4ed8;border:0;"
    "border-radius:6px;cursor:pointer}button:focus-visible{outline:3px solid #93c5fd;outline-offset:2px}"
    ".small{margin:1rem 0 0;font-size:.875rem;color:#4b5563}"
    "@media (prefers-color-scheme:dark){body{background:#111827;color:#f3f4f6}"
    "main{background:#1f2937;border-color:#374151}.small{color:#d1d5db}}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
CONTENT_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
STATUS: Mapping[TokenState, int] = {
    TokenState.OPEN: 200,
    TokenState.CONFIRMED: 200,
    TokenState.USED: 410,
    TokenState.EXPIRED: 410,
    TokenState.UNKNOWN: 404,
}


@dataclass(frozen=True, slots=True)
class _Words:
    """Title and text of each state; texts name `{hint}` and `{owner}`."""

    texts: Mapping[TokenState, tuple[str, str]]
    account: str
    team: str
    button: str
    note: str


_WORDS: Mapping[str, _Words] = {
    "en": _Words(
        {
            TokenState.OPEN: ("Confirm this address", "Alerts of {owner} are to go to {hint}."),
            TokenState.CONFIRMED: ("Address confirmed", "Alerts of {owner} go to {hint} from now on."),
            TokenState.USED: ("Already used", "This link was used before. There is nothing left to do."),
            TokenState.EXPIRED: ("Link expired", "This link is no longer valid. Ask for a new one."),
            TokenState.UNKNOWN: ("Link unknown", "This link is not valid. Check that it was copied as a whole."),
        },
        account="account {name}",
        team="team {name}",
        button="Confirm",
        note="If you did not ask for this, close the page: without your confirmation nothing is sent.",
    ),
    "de": _Words(
        {
            TokenState.OPEN: ("Adresse bestätigen", "Meldungen zu {owner} sollen an {hint} gehen."),
            TokenState.CONFIRMED: ("Adresse bestätigt", "Meldungen zu {owner} gehen ab jetzt an {hint}."),
            TokenState.USED: ("Bereits verwendet", "Dieser Link wurde schon verwendet. Es ist nichts mehr zu tun."),
            TokenState.EXPIRED: ("Link abgelaufen", "Dieser Link gilt nicht mehr. Fordern Sie einen neuen an."),
            TokenState.UNKNOWN: ("Link unbekannt", "Dieser Link ist ungültig. Prüfen Sie, ob er vollständig ist."),
        },
        account="Konto {name}",
        team="Team {name}",
        button="Bestätigen",
        note="Wenn Sie das nicht veranlasst haben, schließen Sie die Seite: Ohne Bestätigung wird nichts gesendet.",
    ),
    "es": _Words(
        {
            TokenState.OPEN: ("Confirme esta dirección", "Los avisos de {owner} se enviarán a {hint}."),
            TokenState.CONFIRMED: ("Dirección confirmada", "Los avisos de {owner} se envían desde ahora a {hint}."),
            TokenState.USED: ("Ya utilizado", "Este enlace ya se ha utilizado. No hay nada más que hacer."),
            TokenState.EXPIRED: ("Enlace caducado", "Este enlace ya no es válido. Solicite uno nuevo."),
            TokenState.UNKNOWN: ("Enlace desconocido", "Este enlace no es válido. Compruebe que está completo."),
        },
        account="la cuenta {name}",
        team="el equipo {name}",
        button="Confirmar",
        note="Si no lo ha solicitado, cierre la página: sin su confirmación no se envía nada.",
    ),
}


def render_page(view: TokenView) -> str:
    """The page for a token of this worth; it repeats nothing of the token."""
    language = (view.locale or "en").partition("-")[0]
    words = _WORDS.get(language, _WORDS["en"])
    title, text = words.texts[view.state]
    owner = view.owner or ""
    account = account_of(owner)
    name = words.account.format(name=account) if account is not None else words.team.format(name=owner[5:])
    said = escape(text.format(owner=name, hint=view.hint or ""))
    # Without an action a form goes to the page's own address.
    form = f'<form method="post"><button type="submit">{escape(words.button)}</button></form>'
    rest = f'{form}<p class="small">{escape(words.note)}</p>' if view.state is TokenState.OPEN else ""
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><meta name="robots" content="noindex">'
        f"<title>{escape(title)} - Ballast</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1><p>{said}</p>{rest}</main></body></html>"
    )
