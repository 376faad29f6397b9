"""The tokens of tools that cannot send `Authorization`, also at the door, where bodies are still unread."""

from __future__ import annotations

import pytest
from waitress.adjustments import Adjustments

from prompt_api.access.grants import Grant, digest_of
from prompt_api.access.policy import access_policy
from prompt_api.access.scopes import Scope
from prompt_api.access.tool_tokens import authorization, without_token
from prompt_api.serving.body_budget import BodyBudget
from prompt_api.serving.door import channel_class
from prompt_api.serving.request_parser import Refusal
from shared.contract.settings import Settings
from tests.support.memory_store import MemoryStore

TOKEN = "samtok_x"


@pytest.mark.parametrize(
    ("path", "header", "token_header", "sent"),
    [
        ("/v1/images", "Bearer a", "b", "Bearer a"),
        ("/v1/images", None, "b", None),
        ("/x-anylabeling/v1/predict", None, "b", "Bearer b"),
        ("/x-anylabeling/v1/predict", "Basic eDp5", "b", "Basic eDp5"),
        ("/x-anylabeling/v1/predict", None, "", None),
        ("/x-anylabelingx", None, "b", None),
        ("/samapi/with-token/t/sam/", None, "b", "Bearer t"),
        ("/samapi/with-token/t/sam/", "Bearer a", None, "Bearer a"),
        ("/samapi/sam/", None, "b", None),
    ],
)
def test_where_a_token_may_stand(path: str, header: str | None, token_header: str | None, sent: str | None) -> None:
    assert authorization(path, header, token_header) == sent


@pytest.mark.parametrize(
    ("path", "plain", "token"),
    [
        ("/samapi/with-token/t/sam/weights/", "/samapi/sam/weights/", "t"),
        ("//samapi//with-token//t/sam/", "/samapi/sam/", "t"),
        ("/samapi/with-token/t", "/samapi", "t"),
        ("/samapi/with-token/", "/samapi", ""),
        ("/samapi/with-token/t/a\nb", "/samapi/a\nb", "t"),
        ("/samapi/sam/", "/samapi/sam/", None),
        ("/v1/with-token/t/", "/v1/with-token/t/", None),
    ],
)
def test_the_token_is_taken_out_of_the_path(path: str, plain: str, token: str | None) -> None:
    assert without_token(path) == (plain, token)


@pytest.mark.parametrize(
    ("head", "admitted"),
    [
        ("POST /x-anylabeling/v1/predict HTTP/1.1\r\nToken: samtok_x", True),
        ("POST /x-anylabeling/v1/predict HTTP/1.1\r\nToken: wrong", False),
        ("POST /v1/images HTTP/1.1\r\nToken: samtok_x", False),
        ("POST /samapi/with-token/samtok_x/sam/ HTTP/1.1", True),
        ("POST /samapi/with-token/wrong/sam/ HTTP/1.1", False),
        ("POST /samapi/sam/ HTTP/1.1", False),
    ],
)
def test_a_body_without_a_known_token_is_refused_unread(head: str, admitted: bool) -> None:
    settings = Settings(tokens=Grant("anna", frozenset(Scope), digest_of(TOKEN)).entry)
    policy = access_policy(settings, sets=MemoryStore(), owners_ttl=60, client=None)
    guarded = channel_class(policy, BodyBudget(1_000_000), lambda *_: None)
    parser = guarded.parser_class(Adjustments())
    parser.received(f"{head}\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n".encode())
    try:
        if admitted:
            assert not parser.completed
        else:
            assert isinstance(parser.error, Refusal)
            assert parser.error.problem.code == "unauthorized"
    finally:
        parser.close()
