"""The renderer: what one notice says on its channel, in its recipient's language."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal

import jinja2

from alerting.channels.base import Content, EmailContent, PageContent, SmsContent, WebhookContent
from alerting.errors import TemplateError
from alerting.gsm7 import SINGLE_SEPTETS, septets
from alerting.notices import ChannelName, Kind, Notice
from alerting.rendering import digest, variables
from alerting.rendering.fields import part, text
from alerting.rendering.language import DEFAULT_LANGUAGE, LANGUAGES, Language, environment, load_language
from alerting.rendering.mail import MailComposer
from alerting.rendering.margin import MarginFacts, margin_facts
from alerting.rendering.pages import compliance_page, delivery_rate_page, escalation_page, margin_page, unaccepted
from alerting.rendering.sms import compose
from alerting.rendering.variables import Links, Variables
from alerting.rendering.webhooks import margin_webhook, other_webhook

_OF_EVENTS = (Kind.MARGIN, Kind.COMPLIANCE)
_SUBTAG = re.compile(r"[-_.@]")


class Renderer:
    """Puts notices into words; it compiles every template when it is made and may be used from several threads.

    `app_url` and `public_url` are where people reach the app and the API. `cure_target_pct` is the health in percent
    that alerts say how to reach.
    """

    def __init__(self, app_url: str, public_url: str, cure_target_pct: Decimal) -> None:
        templates = environment()
        self._links = Links(app_url.rstrip("/"), public_url.rstrip("/"))
        self._cure_target_pct = cure_target_pct
        self._languages = {code: load_language(code, templates) for code in LANGUAGES}
        self._mail = MailComposer(templates.get_template("layout.html"))

    def render(self, notice: Notice) -> Content:
        """The content for the notice's channel.

        Raises `TemplateError`, whose message names fields but no values of persons, where something is missing, is of
        a kind or severity that is not known, or does not go to this channel.
        """
        try:
            return self._content(notice)
        except TemplateError as error:
            raise TemplateError(f"{notice.kind} for {notice.channel}: {error.message}") from error
        except jinja2.TemplateError as error:
            raise TemplateError(f"{notice.kind} for {notice.channel}: {error.message}") from error

    def _content(self, notice: Notice) -> Content:
        # The template follows the notice's severity, the figures the event's.
        if notice.kind in _OF_EVENTS and notice.severity != text(notice.payload, "severity"):
            raise TemplateError("The notice's severity is not the event's.")
        if notice.channel == ChannelName.EMAIL:
            return self._email(notice)
        if notice.channel == ChannelName.SMS:
            return self._sms(notice)
        if notice.channel == ChannelName.WEBHOOK:
            return self._webhook(notice)
        if notice.channel == ChannelName.PAGERDUTY:
            return self._page(notice)
        raise TemplateError("The channel is not known.")

    def _email(self, notice: Notice) -> EmailContent:
        language = self._language(notice.locale)
        template = language.template(notice.kind, notice.severity, "email")
        facts = self._facts(notice) if notice.kind == Kind.MARGIN else None
        values = self._values(language, notice, facts, is_brief=False)
        is_simulated = facts is not None and facts.is_simulated
        return self._mail.compose(
            template.render(values),
            lang=language.code,
            severity=notice.severity,
            footer=f"{language.words.footer} {notice.notification_id}",
            link=values.get("link"),
            mark=language.words.simulated if is_simulated else None,
            note=language.words.simulated_note if is_simulated else None,
        )

    def _sms(self, notice: Notice) -> SmsContent:
        language = self._language(notice.locale)
        template = language.template(notice.kind, notice.severity, "sms")
        if notice.kind == Kind.DIGEST:
            return self._sms_digest(language, template, notice)
        facts = self._facts(notice) if notice.kind == Kind.MARGIN else None
        values = self._values(language, notice, facts, is_brief=True)
        is_simulated = facts is not None and facts.is_simulated
        rendered = template.render(variables.sms_safe(values))
        return compose(rendered, language.words.simulated if is_simulated else None)

    def _sms_digest(self, language: Language, template: jinja2.Template, notice: Notice) -> SmsContent:
        members = digest.digest_members(language, notice)
        note = language.words.simulated if any(each.is_simulated for each in members) else None
        for worst in range(digest.MAX_WORST, 0, -1):
            content = compose(template.render(digest.sms_variables(language, notice, members, worst)), note)
            if septets(content.text) <= SINGLE_SEPTETS:
                return content
        return compose(template.render(digest.sms_variables(language, notice, members, 0)), note)

    def _webhook(self, notice: Notice) -> WebhookContent:
        return margin_webhook(notice, self._facts(notice)) if notice.kind == Kind.MARGIN else other_webhook(notice)

    def _page(self, notice: Notice) -> PageContent:
        english = self._languages[DEFAULT_LANGUAGE]
        if notice.kind == Kind.MARGIN:
            return margin_page(english, notice, self._facts(notice), self._links)
        if notice.kind == Kind.ESCALATION and notice.payload.get("event_kind") == Kind.COMPLIANCE:
            own = replace(notice, kind=Kind.COMPLIANCE, payload=part(notice.payload, "event"))
            return unaccepted(compliance_page(own), text(notice.payload, "reason"))
        if notice.kind == Kind.ESCALATION:
            facts = margin_facts(part(notice.payload, "event"), self._cure_target_pct)
            return escalation_page(english, notice, facts, self._links)
        if notice.kind == Kind.DELIVERY_RATE:
            return delivery_rate_page(english, notice)
        if notice.kind == Kind.COMPLIANCE:
            return compliance_page(notice)
        raise TemplateError("This kind goes to no pager.")

    def _values(self, language: Language, notice: Notice, facts: MarginFacts | None, *, is_brief: bool) -> Variables:
        if facts is not None:
            figures = variables.margin_figures(language, facts, self._links)
            return figures if is_brief else figures | variables.margin_details(language, facts, notice.time_zone)
        if notice.kind == Kind.COMPLIANCE:
            return variables.compliance(language, notice)
        if notice.kind == Kind.DELIVERY_RATE:
            return variables.delivery_rate(language, notice)
        if notice.kind == Kind.DIGEST:
            members = digest.digest_members(language, notice)
            return digest.mail_variables(language, notice, members, self._links.app_url)
        if notice.kind == Kind.VERIFICATION:
            return variables.verification(language, notice, self._links, is_brief=is_brief)
        return variables.test(notice)

    def _facts(self, notice: Notice) -> MarginFacts:
        return margin_facts(notice.payload, self._cure_target_pct)

    def _language(self, locale: str) -> Language:
        """The language of a locale such as `de-AT`; English where there are no texts for it."""
        code = _SUBTAG.split(locale, maxsplit=1)[0].lower()
        return self._languages.get(code) or self._languages[DEFAULT_LANGUAGE]
