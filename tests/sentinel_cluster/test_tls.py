"""Redis over TLS as one server, with sentinels and as a cluster: everything works, but only with trusted servers."""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.process import ProcessGroup
from shared.contract.settings import Settings
from tests.sentinel_cluster.nodes import MASTERS, Nodes
from tests.sentinel_cluster.scene import Scene, api, photo, ready_image, worker
from tests.sentinel_cluster.sentinels import Replicated
from tests.sentinel_cluster.tls import Member, Tls
from tests.sentinel_cluster.until import until
from tests.support.servers import QUEUE_OPTIONS

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
"""If a server dies between accepting a connection and the handshake, Python 3.11's `SSLSocket._create` raises the
reset without closing its socket. The socket is then collected together with the exception."""


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect such sockets here, so that they are not found in the tests of another module."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    """Make certificates for servers named localhost at this machine's address."""
    try:
        return Tls.made(tmp_path_factory.mktemp("tls"), "localhost", "127.0.0.1")
    except FileNotFoundError as error:
        if os.environ.get("CI") or os.environ.get("EXPECT_TLS"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def trusted(tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let API and worker trust the authority that signed the certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls.authority))


@pytest.fixture(scope="module")
def group() -> Iterator[ProcessGroup]:
    group = ProcessGroup()
    yield group
    group.close()


@pytest.fixture(scope="module")
def port(tls: Tls, group: ProcessGroup, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Start one server that can be the queue, and return its port."""
    server = Member("queue", tmp_path_factory.mktemp("queue"), QUEUE_OPTIONS, group=group, tls=tls)
    yield server.announced
    server.stop()


@pytest.fixture
def replicated(tls: Tls, group: ProcessGroup, tmp_path: Path) -> Iterator[Replicated]:
    queue = Replicated(tmp_path, group, tls)
    queue.wait_until_whole()
    yield queue
    queue.stop()


@pytest.fixture
def nodes(tls: Tls, group: ProcessGroup, tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path, group, tls)
    nodes.assemble()
    yield nodes
    nodes.stop()


def goes_the_whole_way(scene: Scene, data: bytes) -> bool:
    image_id = ready_image(scene, data)
    return scene.prompt(image_id).status == 200 and scene.delete(image_id).status == 204


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.usefixtures("trusted")
def test_one_server(port: int, host: str) -> None:
    url = f"rediss://{host}:{port}/0"
    settings = Settings(model="fake", cache_url=url, queue_url=url)
    with worker(settings), api(settings) as scene:
        assert scene.ready().status == 200
        assert goes_the_whole_way(scene, photo())


def test_a_server_whose_certificate_nobody_known_signed_is_not_talked_to(port: int) -> None:
    assert_refused(f"rediss://localhost:{port}/0")


def test_a_server_with_another_ones_certificate_is_not_talked_to(port: int, trusted: None) -> None:
    assert_refused(f"rediss://127.0.0.2:{port}/0")


def assert_refused(url: str) -> None:
    with api(Settings(model="fake", cache_url=url, queue_url=url)) as scene:
        assert scene.ready().status == 503
        answer = scene.upload()
        assert answer.refused


@pytest.mark.usefixtures("trusted")
def test_a_queue_behind_sentinels_whose_master_is_killed(replicated: Replicated, port: int) -> None:
    settings = Settings(model="fake", cache_url=f"rediss://localhost:{port}/1", queue_url=replicated.url)
    with worker(settings), api(settings) as scene:
        assert scene.ready().status == 200
        assert goes_the_whole_way(scene, photo())
        dead = replicated.master
        dead.kill()
        until(lambda: scene.upload(wait=30).status == 200, "the next master has the jobs, and the worker found it")
        assert replicated.master is not dead


@pytest.mark.usefixtures("trusted")
def test_a_cache_on_a_cluster_one_of_whose_nodes_is_killed(nodes: Nodes, port: int) -> None:
    settings = Settings(model="fake", cache_url=nodes.url, queue_url=f"rediss://localhost:{port}/2")
    with worker(settings), api(settings) as scene:
        assert scene.ready().status == 200
        for number in range(MASTERS):
            assert goes_the_whole_way(scene, nodes.photo_on(number))
        nodes.masters[0].kill()
        taken_over = nodes.photo_on(0)
        until(lambda: scene.upload(taken_over).status in (200, 202), "the replica took over")
        assert goes_the_whole_way(scene, taken_over)
