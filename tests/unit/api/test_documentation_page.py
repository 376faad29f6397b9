"""The page `/docs` is complete and self-contained, and its commands work."""

from __future__ import annotations

import io
import re
import shlex
from html.parser import HTMLParser
from typing import Any

import pytest
from werkzeug.test import TestResponse

from prompt_api.openapi.prose import json_text, prose
from prompt_api.openapi.samples import OTHER_IMAGE
from tests.support.world import World, png
from tests.unit.api.test_openapi import operations

VOID = {"meta", "link", "img", "br", "input"}


class Page(HTMLParser):
    """The parts of a page that the tests check. Raises on tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.code: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.add(tag)
        self.attributes |= found.keys()
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.addresses += [value for name, value in attrs if name in ("href", "src") and value]
        if tag == "code" and self._open[-1] == "pre":
            self.code.append("")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "pre" in self._open:
            self.code[-1] += data


@pytest.fixture
def page(world: World) -> Page:
    return Page(world.client.get("/docs").text)


def test_every_operation_error_and_type_has_its_place(world: World, page: Page) -> None:
    document = world.client.get("/openapi.json").json
    assert {operation["operationId"] for _, _, operation in operations(document)} <= set(page.ids)
    assert {f"error-{code}" for code in document["components"]["examples"]} <= set(page.ids)
    assert {f"type-{name}" for name in document["components"]["schemas"]} <= set(page.ids)


def test_links_within_the_page_lead_somewhere_and_names_are_unique(page: Page) -> None:
    assert len(page.ids) == len(set(page.ids))
    assert not [name for name in page.ids if " " in name]
    assert {address[1:] for address in page.addresses if address.startswith("#")} <= set(page.ids)


def test_the_page_needs_nothing_but_our_own_files_and_no_script(world: World, page: Page) -> None:
    assert not page.tags & {"script", "style", "iframe"}
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
    loaded = {address for address in page.addresses if address.startswith(("/", "static"))}
    assert all(world.client.get(address, buffered=True).status_code == 200 for address in loaded)
    elsewhere = {address for address in page.addresses if "//" in address}
    assert elsewhere == {"https://github.com/facebookresearch/segment-anything"}
    styles = world.client.get("/docs/static/reference.css", buffered=True).text
    assert "url(" not in styles
    assert "@import" not in styles


def test_the_page_is_held_to_that_by_its_policy(world: World) -> None:
    for path in ("/docs", "/openapi.json", "/docs/static/reference.css"):
        policy = world.client.get(path, buffered=True).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "//" not in policy


def test_its_commands_work(world: World, page: Page) -> None:
    data = png(1000, 700)
    image_id = world.ready_image(data)
    commands = [line for text in page.code for line in text.replace("\\\n", "").split("\ncurl ") if "curl " in line]
    assert len(commands) > 15
    token = _answer(world, next(line for line in commands if "/masks" in line), image_id, data)
    known = token.json["results"][0]["masks"][0]["mask_token"]
    commands.sort(key=lambda line: "-X DELETE" in line)
    for command in commands:
        asked = re.sub(r'("mask_token": )"[^"]+"', rf'\1"{known}"', command.replace("wait=30", "wait=0"))
        answer = _answer(world, asked, image_id, data)
        # The fake model has no decoder to download, and a PNG of 8 bits has no preview. There is no Label Studio and no
        # host to fetch an image from. The examples of tools that carry their image name another model. Some routes of
        # samapi are not served.
        carried = {"x-anylabeling/v1/predict": 404, "b64img": 404, '-X POST "http://localhost/samapi': 404}
        # Nobody encodes regions here and no mask worker runs, so these stay queued. The example names no job of ours.
        waiting = {"/regions?": 202, '"region": [': 409, "/everything?": 202, "/everything/": 404}
        # The token is one of the image itself, and not of the other image that an example names.
        waiting |= {OTHER_IMAGE: 422}
        refused = waiting | {".onnx": 404, "/preview": 404, "keypointlabels": 422, '{"url"': 422, **carried}
        expected = [status for word, status in refused.items() if word in command] or [200, 204]
        assert answer.status_code in expected, (command, answer.text)


def _answer(world: World, command: str, image_id: str, data: bytes) -> TestResponse:
    """Return the service's answer to a curl command. Supports only the options that the page uses."""
    words = shlex.split(command.partition("\nIMAGE_ID=")[0])
    assert words.pop(0) == "curl"
    asked: dict[str, Any] = {"method": "GET"}
    while words:
        match words.pop(0):
            case "-H":
                asked["headers"] = [tuple(words.pop(0).split(": "))]
            case "-X":
                asked["method"] = words.pop(0)
            case "--head":
                asked["method"] = "HEAD"
            case "-d":
                asked |= {"method": "POST", "data": words.pop(0)}
            case "--data-binary":
                assert words.pop(0) == "@photo.jpg"
                asked |= {"method": "POST", "data": data}
            case "-F":
                assert words.pop(0) == "image=@photo.jpg"
                asked |= {"method": "POST", "data": {"image": (io.BytesIO(data), "photo.jpg")}}
            case "--output":
                assert words.pop(0)
            case "--no-buffer":
                pass
            case url:
                assert url.startswith("http://localhost/")
                path = url.removeprefix("http://localhost").replace("$IMAGE_ID", image_id)
                # Nobody encodes regions here, and no mask worker runs.
                asked["path"] = re.sub(r"(/regions|/everything)\?wait=30", r"\1?wait=0", path)
    return world.client.open(**asked, buffered=True)


def test_an_address_from_the_request_cannot_break_out_of_the_page(world: World) -> None:
    answer = world.client.get("/docs", headers={"Host": 'x"><script>alert(1)</script>'})
    assert "<script" not in answer.text


def test_values_are_written_as_json_has_them(world: World) -> None:
    html = world.client.get("/docs").text
    assert "<code>true</code>" in html
    assert "<code>True</code>" not in html
    assert "<p></p>" not in html


def test_prose_is_escaped_and_marked_up() -> None:
    assert prose("Both `a<b` and **c&d**.\n\n- one\n- [two](https://example.org)") == (
        "<p>Both <code>a&lt;b</code> and <strong>c&amp;d</strong>.</p>\n"
        '<ul><li>one</li><li><a href="https://example.org">two</a></li></ul>'
    )


def test_json_for_reading_keeps_short_things_on_a_line() -> None:
    assert json_text({"box": [1, 2], "text": "x" * 60}) == '{\n  "box": [1, 2],\n  "text": "' + "x" * 60 + '"\n}'
