"""The gate that every request to the Flask application passes.

It checks the page that sent the request, the token, its scope, the rate limits and who has the image.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Response, g, request

from prompt_api.access import cors, headers
from prompt_api.access.grants import Authenticator
from prompt_api.access.policy import AccessPolicy
from prompt_api.access.scopes import Quota, Scope, needed_scope, spent_quota
from prompt_api.access.tool_tokens import authorization
from prompt_api.http.layer import Layer
from prompt_api.http.services import services
from prompt_api.integrations.asker import Asker
from shared.contract.errors import Forbidden, InvalidPrompt
from shared.contract.keys import parse_image_id

NOBODY = ""
"""The namespace of a service without tokens."""


def layer(policy: AccessPolicy) -> Layer:
    """Return the gate in front of every route.

    If a path contains an `image_id`, only requests of a namespace that has the image reach the route.
    """

    def admit() -> Response | None:
        sent = request.headers
        policy.pages.require(
            method=request.method,
            path=request.path,
            host=sent.get("Host"),
            origin=sent.get("Origin"),
            fetch_site=sent.get("Sec-Fetch-Site"),
        )
        if request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
            return Response(status=204, headers=dict(cors.preflight(request.headers.get("Origin"), policy.origins)))
        if request.url_rule is None:  # no route matches
            return None
        scope = needed_scope(request.method, request.url_rule.rule)
        g.namespace, g.client = _identified(policy.authenticator, scope)
        # Prompts are not counted here: their number is in the body, so the routes count them, all in one step.
        # Counting one here and the rest later would charge one for a refused request, and would always refuse a
        # request with more prompts than the limit: its cost is capped at the limit.
        if spent_quota(request.method, request.url_rule.rule) is Quota.UPLOADS:
            policy.rates.spend(Quota.UPLOADS, g.client)
        image_id = (request.view_args or {}).get("image_id")
        if policy.authenticator.enabled and scope is not None and image_id is not None:
            policy.owners.require(parse_image_id(image_id), g.namespace)
        return None

    def finish(answer: Response) -> Response:
        if policy.authenticator.enabled:
            answer.vary.add("Authorization")  # a cache must not give one token's answer to another token
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
    """Return the namespace whose images the current request may use."""
    found: str = g.namespace
    return found


def client() -> str:
    """Return the name of the current request's client. What is shared between clients is shared by this name."""
    found: str = g.client
    return found


def spend(quota: Quota, cost: int) -> None:
    """Count `cost` against the current client's share. The gate has already counted an upload before its route runs.

    Raises:
        RateLimited: the client has less than `cost` left.
    """
    services().access.rates.spend(quota, g.client, cost)


def charge_region() -> None:
    """Count a region that this request queues as an upload, because it takes a worker as long.

    Raises:
        RateLimited: the client has used up its uploads.
    """
    spend(Quota.UPLOADS, 1)


def asker() -> Asker:
    """Return the client of this request, as integrations know it."""
    return Asker(namespace(), client(), spend)


@contextmanager
def malformed_counted() -> Iterator[None]:
    """Count one prompt if the block finds the prompts malformed, because reading them took time all the same."""
    try:
        yield
    except InvalidPrompt:
        spend(Quota.PROMPTS, 1)
        raise


def _identified(authenticator: Authenticator, scope: Scope | None) -> tuple[str, str]:
    """Return the namespace of the current request and the name of its client.

    The name is that of the client's token. Without tokens, or on an open route, it is the client's address.

    Raises:
        Unauthorized: the request has no known token.
        Forbidden: the token does not have `scope`.
    """
    if scope is None or not authenticator.enabled:
        return NOBODY, _address()
    sent = authorization(request.path, request.headers.get("Authorization"), request.headers.get("Token"))
    grant = authenticator.require(sent)
    if scope not in grant.scopes:
        raise Forbidden(f"the token does not have the scope `{scope}`", scope=scope)
    return grant.namespace, grant.name


def _address() -> str:
    """Return the client's address. For IPv6 it is the /64 network, because one client can use every address in it."""
    try:
        address = ipaddress.ip_address(request.remote_addr or "")
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address  # a socket that listens on `::` shows IPv4 addresses like this
    if address.version == 4:
        return str(address)
    return str(ipaddress.ip_network((address, 64), strict=False).network_address)
