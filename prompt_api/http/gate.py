"""The gate that every request to the Flask application passes: who, allowed what, how often, on whose images."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, g, request

from prompt_api.access import cors, headers
from prompt_api.access.grants import Authenticator
from prompt_api.access.policy import AccessPolicy
from prompt_api.access.scopes import Quota, Scope, needed_scope, spent_quota
from prompt_api.http.layer import Layer
from prompt_api.http.services import services
from shared.contract.errors import Forbidden, InvalidPrompt
from shared.contract.keys import parse_image_id

NOBODY = ""
"""The namespace of a service without tokens."""


def layer(policy: AccessPolicy) -> Layer:
    """The gate in front of every route.

    A route with an `image_id` in its path is reached only by requests of a namespace that has the image.
    """

    def admit() -> Response | None:
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return Response(status=204, headers=dict(cors.preflight(request.headers.get("Origin"), policy.origins)))
        if request.url_rule is None:  # there is no such route
            return None
        scope = needed_scope(request.method, request.url_rule.rule)
        g.namespace, g.client = _identified(policy.authenticator, scope)
        # Only the body says how many prompts there are. Their routes count them, all at once: one here and the rest
        # later would cost one where the whole is refused, and as many as the limit could never be had.
        if spent_quota(request.method, request.url_rule.rule) is Quota.UPLOADS:
            policy.rates.spend(Quota.UPLOADS, g.client)
        image_id = (request.view_args or {}).get("image_id")
        if policy.authenticator.enabled and scope is not None and image_id is not None:
            policy.owners.require(parse_image_id(image_id), g.namespace)
        return None

    def finish(answer: Response) -> Response:
        if policy.authenticator.enabled:
            answer.vary.add("Authorization")  # what a cache keeps for one token is not for another
        for name, value in headers.EVERYWHERE.items():
            answer.headers.setdefault(name, value)
        for name, value in cors.allowed(request.headers.get("Origin"), policy.origins).items():
            if name == "Vary":
                answer.vary.add(value)
            else:
                answer.headers[name] = value
        return answer

    return Layer(enter=admit, leave=finish)


def namespace() -> str:
    """Whose images the present request is about."""
    found: str = g.namespace
    return found


def spend(quota: Quota, cost: int) -> None:
    """Count `cost` against the present client's share; an upload has been counted before its route is called.

    Raises:
        RateLimited: that is more than is left.
    """
    services().access.rates.spend(quota, g.client, cost)


@contextmanager
def malformed_counted() -> Iterator[None]:
    """Count prompts that turn out malformed inside the block as one: they were read all the same."""
    try:
        yield
    except InvalidPrompt:
        spend(Quota.PROMPTS, 1)
        raise


def _identified(authenticator: Authenticator, scope: Scope | None) -> tuple[str, str]:
    """The namespace of the present request, and what tells its client apart: token, or address without tokens.

    Raises:
        Unauthorized, Forbidden: the request may not be made.
    """
    if scope is None or not authenticator.enabled:
        return NOBODY, _address()
    grant = authenticator.require(request.headers.get("Authorization"))
    if scope not in grant.scopes:
        raise Forbidden(f"the token does not have the scope `{scope}`", scope=scope)
    return grant.namespace, grant.name


def _address() -> str:
    """The client's address; of IPv6 the network, all of which one client commands."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address  # as IPv4 comes to a socket that listens on `::`
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)
