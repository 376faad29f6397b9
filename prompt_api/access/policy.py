"""What the gate in front of the routes goes by: made once per process from the settings."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import redis

from prompt_api.access.cors import parse_origins
from prompt_api.access.grants import Authenticator, parse_grants
from prompt_api.access.owners import Everyone, Owners, RecordedOwners
from prompt_api.access.rates import RateLimits, parse_rates
from shared.errors import ConfigurationError
from shared.settings import Settings
from shared.store import Sets


@dataclass(frozen=True, slots=True, eq=False)
class AccessPolicy:
    """Who may do what.

    Attributes:
        origins: whose pages may call the API from a browser.
    """

    authenticator: Authenticator
    owners: Owners
    rates: RateLimits
    origins: frozenset[str]


def access_policy(settings: Settings, *, sets: Sets, owners_ttl: int, client: redis.Redis | None) -> AccessPolicy:
    """The policy that `settings` describe.

    Args:
        sets: keeps who has which image, for `owners_ttl` seconds after an upload.
        client: counts what is limited; None counts in this process alone.

    Raises:
        ConfigurationError: a setting is malformed.
    """
    authenticator = Authenticator(parse_grants(settings.tokens))
    return AccessPolicy(
        authenticator=authenticator,
        owners=RecordedOwners(sets=sets, ttl=owners_ttl) if authenticator.enabled else Everyone(),
        rates=RateLimits(parse_rates(settings), client),
        origins=parse_origins(settings.cors_origins),
    )


def require_safe(settings: Settings) -> None:
    """Return if the API may start with what the settings say about access.

    Raises:
        ConfigurationError: a setting is malformed; or others than this machine could reach the API, it has no tokens,
            and nothing says that this is meant.
    """
    parse_rates(settings)
    parse_origins(settings.cors_origins)
    if parse_grants(settings.tokens) or settings.allow_anonymous == "true" or is_loopback(settings.host):
        return
    raise ConfigurationError(
        f"SAM_HOST={settings.host} lets other machines in, and there is no token to tell who they are. Make one with "
        "`python -m prompt_api.access.new_token NAMESPACE` and set SAM_TOKENS; or listen on 127.0.0.1; or, where "
        "something in front decides who gets in, set SAM_ALLOW_ANONYMOUS=true"
    )


def is_loopback(host: str) -> bool:
    """True if only this machine reaches `host`. A name other than `localhost` counts as reachable by others."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
