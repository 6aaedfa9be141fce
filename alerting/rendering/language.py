"""One language of alerts: its words, its formats and its templates, read once when the renderer is made."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from babel import Locale
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, select_autoescape

from alerting.errors import TemplateError
from alerting.notices import Kind
from alerting.rendering.formats import Formats

TEMPLATES = Path(__file__).parent / "templates"
LANGUAGES = ("en", "de", "es")
DEFAULT_LANGUAGE = "en"
ANY = "any"
# The severities that have texts of their own; a kind that is not here reads the same whatever its severity.
SEVERITIES: Mapping[Kind, tuple[str, ...]] = {
    Kind.MARGIN: ("early_warning", "margin_call", "liquidation", "recovered", "unpriced"),
    Kind.COMPLIANCE: ("info", "warning", "critical"),
    Kind.DELIVERY_RATE: ("warning", "recovered"),
}
_KINDS = (Kind.MARGIN, Kind.COMPLIANCE, Kind.DELIVERY_RATE, Kind.DIGEST, Kind.TEST, Kind.VERIFICATION)


@dataclass(frozen=True, slots=True)
class Words:
    """What is said in many alerts; the maps go from codes to words."""

    unknown: str
    no_debt: str
    simulated: str
    simulated_note: str
    footer: str
    severity: Mapping[str, str]
    channel: Mapping[str, str]
    no_price: Mapping[str, str]
    unpriced_reason: Mapping[str, str]

    def severity_word(self, severity: str) -> str:
        """The severity in words; `TemplateError` for one that is not known."""
        try:
            return self.severity[severity]
        except KeyError:
            raise TemplateError(f"There is no word for severity {severity[:40]!r}.") from None

    def reason_words(self, reason: str | None, assets: tuple[str, ...]) -> str:
        """Why a health is not known; a reason that this release does not know is shown as it came."""
        for start, words in self.unpriced_reason.items():
            if reason is not None and start and reason.startswith(start):
                rest = ", ".join(assets) if assets and "{rest}" in words and "price" in start else reason[len(start) :]
                return words.replace("{rest}", rest.removesuffix("+00").removesuffix(" UTC"))
        return reason or self.unpriced_reason[""]

    def no_price_words(self, reason: str | None) -> str:
        """Why an asset has no liquidation price; an unknown code is shown readable."""
        return self.unknown if reason is None else self.no_price.get(reason, reason.replace("_", " "))


@dataclass(frozen=True, slots=True)
class Language:
    """A language with everything that puts a notice into its words; `templates` by kind, severity and medium."""

    code: str
    words: Words
    formats: Formats
    templates: Mapping[tuple[Kind, str, str], Template]

    def template(self, kind: Kind, severity: str, medium: str) -> Template:
        """The template for a severity; `TemplateError` where the kind or severity has none."""
        known = SEVERITIES.get(kind)
        found = self.templates.get((kind, severity if known else ANY, medium))
        if found is None:
            raise TemplateError(f"There is no {medium} text for {kind} {severity[:40]!r}.")
        return found


def environment() -> Environment:
    """Where templates are compiled: a variable that is missing is an error, and HTML is escaped."""
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        autoescape=select_autoescape(["html"]),
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )


def load_language(code: str, templates: Environment) -> Language:
    """The language of that code; every kind and severity must have its templates (`TemplateNotFound`)."""
    content = tomllib.loads((TEMPLATES / code / "words.toml").read_text(encoding="utf-8"))
    return Language(
        code=code,
        words=Words(**content),
        formats=Formats(Locale.parse(code)),
        templates={
            (kind, severity, medium): _template(templates, code, kind, severity, medium)
            for kind in _KINDS
            for severity in SEVERITIES.get(kind, (ANY,))
            for medium in ("email", "sms")
        },
    )


def _template(templates: Environment, code: str, kind: Kind, severity: str, medium: str) -> Template:
    return templates.select_template([f"{code}/{kind}.{each}.{medium}.txt" for each in dict.fromkeys((severity, ANY))])
