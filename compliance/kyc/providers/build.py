"""Which providers the settings allow for."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from compliance.kyc.providers.base import Provider
from compliance.kyc.providers.guarded import GuardedProvider
from compliance.kyc.providers.http import TIMEOUT
from compliance.kyc.providers.manual import ManualProvider
from compliance.kyc.providers.persona import PersonaProvider
from compliance.kyc.providers.sumsub import SumsubProvider
from infra.runtime.clock import Clock
from infra.runtime.settings import Settings


def build_providers(
    settings: Settings, clock: Clock, timeout: httpx.Timeout = TIMEOUT
) -> Mapping[str, GuardedProvider]:
    """The providers that have credentials, and the officers, by name; no connection is opened."""
    made: list[Provider] = [ManualProvider(clock)]
    if settings.persona_api_key is not None and settings.persona_template_id:
        made.append(
            PersonaProvider(
                settings.persona_url,
                settings.persona_api_key,
                version=settings.persona_version,
                template_id=settings.persona_template_id,
                webhook_secrets=settings.persona_webhook_secrets,
                clock=clock,
                timeout=timeout,
            )
        )
    if settings.sumsub_app_token is not None and settings.sumsub_secret_key is not None:
        made.append(
            SumsubProvider(
                settings.sumsub_url,
                settings.sumsub_app_token,
                settings.sumsub_secret_key,
                level_name=settings.sumsub_level_name,
                webhook_secret=settings.sumsub_webhook_secret,
                clock=clock,
                timeout=timeout,
            )
        )
    return {provider.name: GuardedProvider(provider) for provider in made}
