"""Refuses strangers and foreign pages before their bodies are read, so that they cannot fill memory or disk."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from waitress.adjustments import Adjustments

from prompt_api.access.policy import AccessPolicy
from prompt_api.access.tool_tokens import authorization
from prompt_api.serving.body_budget import BodyBudget
from prompt_api.serving.channel import PoliteChannel
from prompt_api.serving.request_parser import BoundedParser


def channel_class(
    policy: AccessPolicy, budget: BodyBudget, count_refusal: Callable[[str, str, int, str], None]
) -> type[PoliteChannel]:
    """Return the class that waitress makes for each connection.

    Args:
        policy: its authenticator checks the token, its page rules check the page; its origins may read a refusal.
        budget: limits the bodies of all connections together.
        count_refusal: called with route, method, status and code of each request that never reaches the application.
    """

    def admit(path: str, headers: Mapping[str, str]) -> None:
        # What has a body is meant to change something, whatever its method. The gate looks at the rest.
        policy.pages.require(
            method="POST",
            path="",
            host=headers.get("HOST"),
            origin=headers.get("ORIGIN"),
            fetch_site=headers.get("SEC_FETCH_SITE"),
        )
        if policy.authenticator.enabled:
            sent = authorization(path, headers.get("AUTHORIZATION"), headers.get("TOKEN"))
            policy.authenticator.require(sent)

    def parser(adjustments: Adjustments) -> BoundedParser:
        return BoundedParser(adjustments, budget, admit)

    members = {
        "parser_class": staticmethod(parser),
        "origins": policy.origins,
        "count_refusal": staticmethod(count_refusal),
    }
    return type("GuardedChannel", (PoliteChannel,), members)
