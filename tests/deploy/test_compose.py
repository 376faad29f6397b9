"""The compose files follow the Compose specification and this project's own rules for every service."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.process import ROOT
from deploy.memory import MIB, api_memory, api_tmp, gpu_worker_memory, mask_worker_memory, worker_memory
from shared.contract.models import find_model
from shared.contract.settings import PREFIX, Settings
from tests.deploy import compose_files
from tests.deploy.compose_files import BASE, GPU, seconds

SCALED = ("prompt-api", "encoder-worker", "mask-worker")
ONCE = {"prepare"}
"""Services that end before the others start."""

GRACE = {
    "prompt-api": 10,
    "encoder-worker": 15,
    "mask-worker": 15,
    "gateway": 60,
    "redis-queue": 10,
    "redis-cache": 10,
}
"""The most seconds that each service takes to stop: `STOP_SECONDS` of the API, `Pace.stop` of the workers and
`hard-stop-after` of the gateway."""

SETTINGS = {PREFIX + one.name.upper() for one in fields(Settings)}


@pytest.fixture(params=["base", "gpu"])
def services(request: pytest.FixtureRequest) -> dict[str, Any]:
    document = compose_files.base() if request.param == "base" else compose_files.with_gpu()
    found: dict[str, Any] = document["services"]
    return found


def test_the_files_follow_the_compose_specification(tmp_path: Path) -> None:
    merged = tmp_path / "merged.yml"
    merged.write_text(yaml.safe_dump(compose_files.with_gpu()))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, BASE, GPU, merged], capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_mistake_in_a_file_would_be_found(tmp_path: Path) -> None:
    wrong = compose_files.base()
    wrong["services"]["gateway"]["healthchecks"] = {}
    (tmp_path / "wrong.yml").write_text(yaml.safe_dump(wrong))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, tmp_path / "wrong.yml"], capture_output=True, timeout=600, check=False)
    assert done.returncode == 1


def test_every_service_has_a_health_check(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert ("healthcheck" in service) is (name not in ONCE), name
        assert name in ONCE or service["healthcheck"]["test"][0] == "CMD", name


def test_services_start_after_the_health_of_what_they_need(services: dict[str, Any]) -> None:
    needed = {name: service.get("depends_on", {}) for name, service in services.items()}
    assert needed["gateway"].keys() == {"prompt-api"}
    for name in SCALED:
        assert needed[name].keys() == {"redis-cache", "redis-queue"} | ONCE
    for conditions in needed.values():
        for other, condition in conditions.items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert condition == {"condition": wanted}
            assert other in services


def test_every_service_is_limited(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["deploy"]["resources"]["limits"].keys() >= {"cpus", "memory"}, name


def test_no_service_is_root_gains_rights_or_writes_its_image(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service.get("user", _user_of_image(service)) not in ("", "0", "root"), name
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_logs_are_capped_and_what_ends_is_started_again(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
        assert service["restart"] == ("no" if name in ONCE else "unless-stopped")


def test_every_service_has_the_time_it_takes_to_stop(services: dict[str, Any]) -> None:
    assert services.keys() == GRACE.keys() | ONCE
    for name, needed in GRACE.items():
        assert seconds(services[name]["stop_grace_period"]) > needed, name


def test_nothing_is_in_the_way_of_more_replicas(services: dict[str, Any]) -> None:
    for name in SCALED:
        assert not {"container_name", "hostname", "ports"} & services[name].keys()


def test_all_services_that_load_models_have_the_same_files_and_settings(services: dict[str, Any]) -> None:
    sharing = [services[name] for name in (*SCALED, *ONCE)]
    for service in sharing:
        # Several replicas may write the second: they lock what they write.
        assert service["volumes"] == ["./deploy/models:/models:ro", "data:/data"]
    names = ("SAM_MODEL", "SAM_MODELS", "SAM_CATALOGUE", "SAM_WEIGHTS_PATH")
    assert len({tuple(service["environment"][name] for name in names) for service in sharing}) == 1
    for dockerfile in ("Dockerfile.api", "Dockerfile.encoder"):
        text = (ROOT / dockerfile).read_text()
        assert "SAM_BUNDLED_DIR=/weights SAM_WEIGHTS_DIR=/data" in text
        assert "install --directory --owner 10001 --group 10001 /data" in text


def test_a_gpu_runs_a_model_that_needs_one() -> None:
    worker = compose_files.with_gpu()["services"]["encoder-worker"]
    assert find_model(worker["environment"]["SAM_MODEL"]).runtime == "torch"
    assert worker["environment"]["SAM_DEVICE"] == "cuda"
    assert worker["build"]["args"]["VARIANT"] == "cuda"


def test_the_services_are_prepared_by_the_image_of_the_worker(services: dict[str, Any]) -> None:
    for name in ONCE:
        assert services[name]["image"] == services["encoder-worker"]["image"]
        assert services[name]["build"] == services["encoder-worker"]["build"]
        assert _limits(services[name])["memory"] == _limits(services["encoder-worker"])["memory"]


@pytest.mark.parametrize("services", ["base"], indirect=True)
def test_the_documented_worker_of_a_second_model_is_a_worker(services: dict[str, Any], tmp_path: Path) -> None:
    text = (ROOT / "docs/models.md").read_text()
    (snippet,) = re.findall(r"```yaml\n(# docker-compose\.override\.yml\n.*?)```", text, re.DOTALL)
    (tmp_path / "override.yml").write_text(snippet)
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, tmp_path / "override.yml"], capture_output=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout
    (worker,) = yaml.safe_load(snippet)["services"].values()
    assert worker["extends"] == {"file": "docker-compose.yml", "service": "encoder-worker"}
    assert worker["environment"].keys() == {"SAM_MODEL"}


def test_only_the_gateway_is_published_and_on_loopback_alone(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:8000:8000"]}


def test_volumes_and_files_that_are_mounted_exist(services: dict[str, Any]) -> None:
    declared = compose_files.base()["volumes"]
    for service in services.values():
        for source in (volume.split(":")[0] for volume in service.get("volumes", [])):
            assert (ROOT / source).exists() if source.startswith(".") else source in declared


def test_every_setting_is_one(services: dict[str, Any]) -> None:
    for service in services.values():
        given = [name for name in service.get("environment", {}) if name.startswith(PREFIX)]
        assert set(given) <= SETTINGS


def test_the_services_accept_their_settings(services: dict[str, Any]) -> None:
    for name in (*SCALED, *ONCE):
        Settings.from_env({key: str(value) for key, value in services[name]["environment"].items()})


def test_the_gateway_takes_every_upload_the_api_takes(services: dict[str, Any]) -> None:
    assert int(services["gateway"]["environment"]["MAX_BODY"]) > Settings().max_upload_bytes


def test_the_gateway_is_told_everything_its_configuration_asks(services: dict[str, Any]) -> None:
    asked = {"BIND", "UPSTREAM", "DNS", "MAX_REPLICAS", "MAX_BODY"}
    text = (ROOT / "deploy/gateway/haproxy.cfg").read_text()
    assert {name for name in asked if f'"${{{name}}}"' in text} == asked
    assert services["gateway"]["environment"].keys() == asked


def test_the_example_has_every_variable_with_its_default_and_no_other() -> None:
    assert compose_files.variables() == {name: {default} for name, default in compose_files.example().items()}


def test_the_cache_has_room_beside_its_data(services: dict[str, Any]) -> None:
    example = compose_files.example()
    assert float(example["CACHE_LIMIT"].rstrip("g")) >= 1.4 * float(example["CACHE_MEMORY"].rstrip("gb"))


def test_the_api_has_room_for_the_bodies_it_takes_and_for_copies_of_them(services: dict[str, Any]) -> None:
    (folder,) = services["prompt-api"]["tmpfs"]
    assert folder.startswith("/tmp:size=")
    assert folder == f"/tmp:size={api_tmp(_settings(services['prompt-api'])) // MIB}m"


def test_the_limits_of_memory_follow_from_the_settings(services: dict[str, Any]) -> None:
    api, worker, masks = (services[name] for name in SCALED)
    assert _limits(api)["memory"] == f"{api_memory(_settings(api), _cores(api)) // MIB}m"
    settings, cores = _settings(worker), _cores(worker)
    needed = gpu_worker_memory(settings, cores) if settings.device == "cuda" else worker_memory(settings, cores)
    assert _limits(worker)["memory"] == f"{needed // MIB}m"
    assert _limits(masks)["memory"] == f"{mask_worker_memory(_settings(masks), _cores(masks)) // MIB}m"


def test_the_health_check_of_the_api_is_its_images() -> None:
    declared = (ROOT / "Dockerfile.api").read_text()
    check = compose_files.base()["services"]["prompt-api"]["healthcheck"]
    for option in ("interval", "timeout", "retries"):
        assert f"--{option}={check[option]}" in declared


def _settings(service: dict[str, Any]) -> Settings:
    return Settings.from_env({key: str(value) for key, value in service["environment"].items()})


def _limits(service: dict[str, Any]) -> dict[str, str]:
    limits: dict[str, str] = service["deploy"]["resources"]["limits"]
    return limits


def _cores(service: dict[str, Any]) -> int:
    return int(_limits(service)["cpus"])


def _user_of_image(service: dict[str, Any]) -> str:
    """Return the last `USER` of the Dockerfile that the service is built from."""
    if "build" not in service:
        return ""
    lines = (ROOT / service["build"]["dockerfile"]).read_text().splitlines()
    return [line.split()[1] for line in lines if line.startswith("USER ")][-1]


def test_the_gateways_variables_are_those_of_the_documentation() -> None:
    head, _, rest = (ROOT / "deploy/gateway/haproxy.cfg").read_text().partition("\n.if ")
    condition, sentence = rest.splitlines()[:2]
    described = re.findall(r"^#   ([A-Z_]+)  ", head, re.MULTILINE)
    table = re.search(
        r"<!-- gateway variables -->(.*)<!-- /gateway variables -->",
        (ROOT / "docs/deployment.md").read_text(),
        re.DOTALL,
    )
    assert table
    rows = dict(re.findall(r"^\| `([A-Z_]+)` \|.*\| `([^`]+)` \|$", table[1], re.MULTILINE))
    assert sorted(rows) == sorted(described) == sorted(re.findall(r"defined\(([A-Z_]+)\)", condition))
    assert all(name in sentence for name in rows)
    used = set(re.findall(r'"\$\{([A-Z_]+)\}"', rest))
    assert used == set(rows)
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["gateway"]["environment"]
    assert {name: str(value) for name, value in compose.items()} == rows
