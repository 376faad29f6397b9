"""A very small run of the bench of many replicas, behind the real gateway."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.record import Record
from bench.scale.__main__ import run, write
from bench.scale.amounts import QUICK
from bench.scale.change import Moment, moments, seconds_until_back
from bench.scale.clients import Answer
from bench.scale.routing import without_routing
from tests.support.fleet import CONFIGURATION, haproxy

CHANGES = ("a third replica comes", "one of three is killed")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a quick run of two kinds of sections: changing load, and a cache that is too small."""
    folder = tmp_path_factory.mktemp("scale")
    write(*run(QUICK, "cde", quick=True), folder)
    return folder


@pytest.fixture(scope="module")
def record(written: Path) -> Record:
    (file,) = written.glob("*-scale.json")
    return Record.from_json(json.loads(file.read_text()))


def test_no_prompt_fails_while_replicas_come_and_go(record: Record) -> None:
    for what in CHANGES:
        assert record.number("c", f"{what}: failures", "prompts") > 0
        assert record.number("c", f"{what}: failures", "failed") == 0
        assert 0 < record.number("c", what, "images moved") < 100


def test_every_tier_answers_when_the_cache_is_too_small(record: Record) -> None:
    measured = [record.number("d", what, "measured") for what in ("memory of a replica", "Redis", "encoded again")]
    assert min(measured) > 0
    assert sum(measured) == pytest.approx(100)
    assert record.number("d", "all", "failed") == 0
    assert 0 < record.number("d", "all", "embeddings kept") <= QUICK.stored + 5


def test_a_run_keeps_what_happened_over_time_and_draws_it(written: Path) -> None:
    (file,) = written.glob("*-scale.json")
    timelines = json.loads(file.read_text())["timelines"]
    assert tuple(timelines) == CHANGES
    assert all(len(line) > 1 for line in timelines.values())
    plots = sorted(plot.name.split("-scale-")[1] for plot in written.glob("*.svg"))
    assert plots == ["change.svg", "tiers.svg"]
    for plot in written.glob("*.svg"):
        assert ElementTree.parse(plot).getroot().tag == "{http://www.w3.org/2000/svg}svg"


def test_the_gateway_takes_its_configuration_without_routing(tmp_path: Path) -> None:
    changed = without_routing(CONFIGURATION.read_text())
    assert "hash" not in changed.split("backend image")[1].split("server-template")[0]
    file = tmp_path / "haproxy.cfg"
    file.write_text(changed)
    environ = {"BIND": "127.0.0.1:8", "UPSTREAM": "x:1", "DNS": "127.0.0.1:1", "MAX_REPLICAS": "2", "MAX_BODY": "1"}
    done = subprocess.run([haproxy(), "-c", "-f", str(file)], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_configuration_that_does_not_route_is_no_comparison() -> None:
    with pytest.raises(ValueError, match="does not route"):
        without_routing("backend image\n    balance leastconn\n")


def test_the_hit_rate_is_back_once_it_stays_back() -> None:
    timeline = [Moment(at, rate, 10) for at, rate in ((-1, 1.0), (1, 0.9), (2, 0.96), (3, 0.94), (4, 0.95), (5, 1.0))]
    assert seconds_until_back(timeline, 1.0) == 3.5
    assert seconds_until_back(timeline, 0.9) == 0


def test_a_window_slides_over_the_answers() -> None:
    answers = [Answer(at, 10.0 * at, "memory" if at < 5 else "redis") for at in range(10)]
    found = {moment.at: moment for moment in moments(answers, event=5, end=9)}
    assert found[-1].hit_rate == found[0].hit_rate == 1
    assert found[1].hit_rate == pytest.approx(2 / 3)
    assert found[4].hit_rate == 0
