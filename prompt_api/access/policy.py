"""The access rules that the gate applies before each route, made once per process from the settings."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from dataclasses import dataclass

import redis

from prompt_api.access.cors import parse_origins
from prompt_api.access.grants import Authenticator, parse_grants
from prompt_api.access.owners import Everyone, Owners, RecordedOwners
from prompt_api.access.pages import PageRules, allowed_hosts
from prompt_api.access.rates import RateLimits, parse_rates
from shared.contract.errors import ConfigurationError
from shared.contract.settings import Settings
from shared.store.interface import Sets


@dataclass(frozen=True, slots=True, eq=False)
class AccessPolicy:
    """Who may do what.

    Attributes:
        origins: origins of the pages that may call the API from a browser.
        pages: refuses what other pages send.
    """

    authenticator: Authenticator
    owners: Owners
    rates: RateLimits
    origins: frozenset[str]
    pages: PageRules


def access_policy(
    settings: Settings,
    *,
    sets: Sets,
    owners_ttl: int,
    client: redis.Redis | None,
    clock: Callable[[], float] = time.monotonic,
) -> AccessPolicy:
    """Return the policy that `settings` describe.

    Args:
        sets: keeps who has which image, for `owners_ttl` seconds after an upload.
        client: the Redis client that counts for rate limits. If it is None, this process counts for itself.
        clock: returns monotonic seconds; tells when a known owner is looked up again.

    Raises:
        ConfigurationError: a setting is malformed.
    """
    authenticator = Authenticator(parse_grants(settings.tokens))
    return AccessPolicy(
        authenticator=authenticator,
        owners=RecordedOwners(sets=sets, ttl=owners_ttl, clock=clock) if authenticator.enabled else Everyone(),
        rates=RateLimits(parse_rates(settings), client),
        origins=parse_origins(settings.cors_origins),
        pages=page_rules(settings),
    )


def page_rules(settings: Settings) -> PageRules:
    """Return the rules for pages that `settings` describe.

    Raises:
        ConfigurationError: a setting is malformed.
    """
    hosts = allowed_hosts(settings.allowed_hosts, settings.host, loopback=is_loopback(settings.host))
    return PageRules(parse_origins(settings.cors_origins), hosts)


def require_safe(settings: Settings) -> None:
    """Return if the API may start with its access settings.

    Raises:
        ConfigurationError: a setting is malformed; or other machines could reach the API, it has no tokens, and
            `SAM_ALLOW_ANONYMOUS` does not say that this is intended.
    """
    parse_rates(settings)
    page_rules(settings)
    label_studio_namespace(settings)
    if parse_grants(settings.tokens) or settings.allow_anonymous == "true" or is_loopback(settings.host):
        return
    raise ConfigurationError(
        f"SAM_HOST={settings.host} lets other machines in, and there is no token to tell who they are. Make one with "
        "`python -m prompt_api.access.new_token NAMESPACE` and set SAM_TOKENS; or listen on 127.0.0.1; or, if a proxy "
        "in front of the API decides who gets in, set SAM_ALLOW_ANONYMOUS=true"
    )


def label_studio_namespace(settings: Settings) -> str | None:
    """Return the namespace whose clients may use images from Label Studio, or None if all clients may.

    The API always fetches as one Label Studio user, the one of the token in the settings. So a client that may use
    these images can use every image that this user sees.

    Raises:
        ConfigurationError: the setting names an unknown namespace, or there are several namespaces and it names none.
    """
    named, namespaces = settings.label_studio_namespace, {grant.namespace for grant in parse_grants(settings.tokens)}
    if not settings.label_studio_url or not namespaces or (len(namespaces) == 1 and not named):
        return None
    if named in namespaces:
        return named
    raise ConfigurationError(
        f"SAM_LABEL_STUDIO_NAMESPACE={named} is not a namespace of SAM_TOKENS ({', '.join(sorted(namespaces))}). Name "
        "the one whose clients may use every image that the user of SAM_LABEL_STUDIO_TOKEN sees"
    )


def image_hosts_namespace(settings: Settings, *, with_credentials: bool) -> str | None:
    """Return the namespace whose clients may have images fetched by URL, or None if all clients may.

    Args:
        with_credentials: whether the service shows credentials of its own to get some of these images. All clients that
            may use them see what these credentials show.

    Raises:
        ConfigurationError: the setting names an unknown namespace, or must name one and does not.
    """
    named, namespaces = settings.image_hosts_namespace, {grant.namespace for grant in parse_grants(settings.tokens)}
    if not named and (len(namespaces) < 2 or not with_credentials):
        return None
    if named in namespaces:
        return named
    raise ConfigurationError(
        f"SAM_IMAGE_HOSTS_NAMESPACE={named} is not a namespace of SAM_TOKENS ({', '.join(sorted(namespaces))}). Name "
        "the one whose clients may use every image in the buckets of SAM_IMAGE_HOSTS"
    )


def is_loopback(host: str) -> bool:
    """Return True if only this machine reaches `host`. A name other than `localhost` counts as reachable by others."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
