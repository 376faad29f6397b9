"""Checks what both Dockerfiles declare. `make images-check` builds and runs the images."""

from __future__ import annotations

import pytest

from deploy.local.process import ROOT
from deploy.local.stack import SERVICE_ENVIRON


@pytest.mark.parametrize("name", ["Dockerfile.api", "Dockerfile.encoder"])
def test_services_run_in_images_as_they_do_here(name: str) -> None:
    declared = (ROOT / name).read_text()
    for variable, value in SERVICE_ENVIRON.items():
        assert f"{variable}={value}" in declared


def test_no_service_reports_to_the_maker_of_its_runtime() -> None:
    assert SERVICE_ENVIRON["ORT_DISABLE_TELEMETRY"] == "1"
