"""Turns a request away before its body is read, if no token admits it: strangers fill no memory and no disk."""

from __future__ import annotations

from collections.abc import Callable

from waitress.adjustments import Adjustments
from waitress.utilities import Error

from prompt_api.access import cors
from prompt_api.access.policy import AccessPolicy
from prompt_api.channel import PoliteChannel
from prompt_api.problems import CHALLENGE
from prompt_api.request_parser import BoundedParser
from shared.errors import Unauthorized


def channel_class(policy: AccessPolicy, count_refusal: Callable[[str, str, int, str], None]) -> type[PoliteChannel]:
    """What waitress is to make for each connection.

    Args:
        count_refusal: told route, method, status and code of each request that never reaches the application.
    """
    counting = {"count_refusal": staticmethod(count_refusal)}
    if not policy.authenticator.enabled:
        return type("CountingChannel", (PoliteChannel,), counting)

    def parser(adjustments: Adjustments) -> BoundedParser:
        return _GuardedParser(adjustments, policy)

    return type("GuardedChannel", (PoliteChannel,), {"parser_class": staticmethod(parser), **counting})


class _TurnedAway(Error):  # type: ignore[misc]  # waitress is untyped
    """What waitress answers with."""

    code = 401
    reason = "Unauthorized"

    def __init__(self, detail: str, headers: dict[str, str]) -> None:
        super().__init__(detail)
        self.headers = {"WWW-Authenticate": CHALLENGE[self.code], **headers}


class _GuardedParser(BoundedParser):
    def __init__(self, adjustments: Adjustments, policy: AccessPolicy) -> None:
        super().__init__(adjustments)
        self._policy = policy
        self._looked = False

    def received(self, data: bytes) -> int:
        consumed = super().received(data)
        if self.headers_finished and not self._looked:
            self._looked = True
            if self.body_rcv is not None and self.error is None:
                self._look()
        return consumed

    def _look(self) -> None:
        try:
            self._policy.authenticator.require(self.headers.get("AUTHORIZATION"))
        except Unauthorized as error:
            allowed = cors.allowed(self.headers.get("ORIGIN"), self._policy.origins)
            self.error = _TurnedAway(error.detail, dict(allowed))
            self.completed = True
            self.expect_continue = False  # or the client would be told to go on
