"""The undocumented parts of other libraries that our code depends on still exist in the pinned versions.

RQ, redis-py and waitress may change these parts in any release. If a test here fails after an update, it says what to
read again. Then update the table. The tests also find parts that we override but do not list.
"""

from __future__ import annotations

import dis
import importlib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "prompt_api", "encoder_worker")


@dataclass(frozen=True, kw_only=True)
class Library:
    """A library, and the parts that our code depends on. Names are dotted and relative to the library's package.

    Attributes:
        name: name of its package and its distribution.
        read_again: what to do after an update.
        overridden: methods that our classes replace, with exactly their parameters.
        called: functions and methods that we call, with the parameters that we pass.
        attributes: attributes of classes and objects, properties and constants.
        calls: the functions of the library that must call a method we replaced, so that our method still runs.
    """

    name: str
    read_again: str
    overridden: Mapping[str, str]
    called: Mapping[str, str]
    attributes: tuple[str, ...]
    calls: Mapping[str, str]


RQ = Library(
    name="rq",
    read_again="read BaseWorker.work, dequeue_job_and_maintain_ttl, prepare_execution, prepare_job_execution, "
    "perform_job, _finalize_*, handle_*, clean_registries, Job.restore, StartedJobRegistry.cleanup, "
    "IntermediateQueue.cleanup and Queue.enqueue_job (unique) again, beside encoder_worker/rq, shared/rq_worker and "
    "RqEncodeQueue, and run tests/integration/test_worker_*.py, test_batch_worker.py and test_books.py",
    overridden={
        # shared/rq_worker: how the process lives
        "worker.base.BaseWorker.bootstrap": "logging_level date_format log_format",
        "worker.base.BaseWorker.heartbeat": "timeout pipeline",
        "worker.base.BaseWorker.request_force_stop": "signum frame",
        "worker.base.BaseWorker.request_stop": "signum frame",
        "worker.base.BaseWorker.set_shutdown_requested_date": "",
        "worker.base.BaseWorker.subscribe": "",
        "worker.base.BaseWorker.teardown": "",
        "worker.base.BaseWorker.work": "burst logging_level date_format log_format max_jobs max_idle_time "
        "with_scheduler dequeue_strategy",
        "worker.worker_classes.SimpleWorker.get_heartbeat_ttl": "job working_time",
        # shared/rq_worker and encoder_worker/rq: how a job is taken and run
        "worker.base.BaseWorker.check_for_suspension": "burst",
        "worker.base.BaseWorker.dequeue_job_and_maintain_ttl": "timeout max_idle_time",
        "worker.worker_classes.SimpleWorker.execute_job": "job queue",
        "worker.base.BaseWorker.perform_job": "job queue execution",
        "worker.base.BaseWorker.handle_exception": "job exc_info",
        "worker.base.BaseWorker.handle_execution_ended": "job queue heartbeat_ttl",
        "worker.base.BaseWorker.handle_job_failure": "job queue started_job_registry exc_string execution",
        "job.Job.refresh": "",
        "job.Job._handle_failure": "exc_string pipeline worker_name execution_id execution_started_at "
        "execution_ended_at",
        "job.Job.retry": "queue pipeline",
        "job.Job.send_webhooks": "status exc_string",
        # shared/rq_worker: how lost jobs are found
        "queue.Queue.acquire_maintenance_lock": "",
        "worker.base.BaseWorker.clean_registries": "",
        "worker.base.BaseWorker.clean_group_registries": "",
        "registry.StartedJobRegistry.cleanup": "timestamp exception_handlers",
        "intermediate_queue.IntermediateQueue.cleanup": "worker queue",
        "intermediate_queue.IntermediateQueue.get_first_seen": "job_id",
        "intermediate_queue.IntermediateQueue.remove": "job_id",
        "intermediate_queue.IntermediateQueue.set_first_seen": "job_id",
        "intermediate_queue.IntermediateQueue.should_be_cleaned_up": "job_id",
    },
    called={
        "worker.base.BaseWorker.__init__": "queues connection worker_ttl maintenance_interval job_class queue_class "
        "serializer exception_handlers",
        "worker.base.BaseWorker._finalize_failure": "job queue execution exc_info",
        "worker.base.BaseWorker.cleanup_execution": "job pipeline execution",
        "worker.base.BaseWorker.run_maintenance_tasks": "",
        "worker.base.BaseWorker.serialize": "",
        "worker_registration.get_keys": "connection",
        "worker_registration.register": "worker pipeline",
        "job.Job._serialize_meta": "",
        "job.Job.exists": "job_id connection",
        "job.Job.fetch": "id connection serializer",
        "job_lifecycle.call_exception_handlers": "handlers job exc_info",
        "job_lifecycle.record_job_failure": "job exc_string pipeline",
        "queue.Queue.fetch_job": "job_id",
        "queue.Queue.release_maintenance_lock": "",
        "registry.FailedJobRegistry.cleanup": "",
        "registry.FinishedJobRegistry.cleanup": "",
        "registry.StartedJobRegistry.__init__": "queue job_class",
        "registry.StartedJobRegistry.parse_job_id": "entry",
        "utils.current_timestamp": "",
        "worker_registration.clean_worker_registry": "queue",
        "job.Job.get_status": "refresh",
        "job.Job.key_for": "job_id",
        "job.Job.to_dict": "",
        "queue.Queue.create_job": "func args job_id description timeout ttl result_ttl failure_ttl meta retry",
        "queue.Queue.dequeue_any": "queues timeout connection job_class serializer",
        "job.Job.__init__": "id connection serializer",
        "job.Job.restore": "raw_data",
        "executions.Execution.__init__": "id job_id connection worker_name",
        "executions.Execution.heartbeat": "started_job_registry ttl pipeline",
        "executions.ExecutionRegistry.__init__": "job_id connection",
        "executions.ExecutionRegistry.get_execution_ids": "",
        "intermediate_queue.IntermediateQueue.__init__": "queue_key connection",
        "intermediate_queue.IntermediateQueue.get_first_seen_key": "job_id",
        "intermediate_queue.IntermediateQueue.get_intermediate_queue_key": "queue_key",
        "results.Result.get_key": "job_id",
        "utils.now": "",
        "utils.str_to_date": "date_str",
        "utils.utcformat": "dt",
        "utils.utcparse": "string",
    },
    attributes=(
        "worker.base.BaseWorker._state",
        "worker.base.BaseWorker._stop_requested",
        "worker.base.BaseWorker.birth_date",
        "worker.base.BaseWorker.dequeue_timeout",
        "worker.base.BaseWorker.executions",
        "worker.base.BaseWorker.key",
        "worker.base.BaseWorker.max_connection_wait_time",
        "worker.base.BaseWorker.should_run_maintenance_tasks",
        "worker_registration.WORKERS_BY_QUEUE_KEY",
        "worker.base.BaseWorker._exc_handlers",
        "worker.base.BaseWorker.last_cleaned_at",
        "job.Job._dependency_ids",
        "job.Job._status",
        "job.Job._unreadable_meta",
        "job.Job.enqueued_at",
        "job.Job.failure_ttl",
        "job.Job.group_id",
        "job.Job.number_of_retries",
        "job.Job.rate_limit_concurrency",
        "job.Job.rate_limit_key",
        "job.Job.repeat_intervals",
        "job.Job.repeats_left",
        "job.Job.result_ttl",
        "job.Job.retry_intervals",
        "job.Job.timeout",
        "job.Job.ttl",
        "job.Job.last_heartbeat",
        "job.Job.webhooks",
        "job.Job.worker_name",
        "job.Job.failure_callback",
        "job.Job.func",
        "job.Job.func_name",
        "job.Job.instance",
        "job.Job.retries_left",
        "job.Job.should_retry",
        "job.Job.started_at",
        "job.Job.started_job_registry",
        "job.Job.stopped_callback",
        "job.Job.success_callback",
        "queue.Queue.DEFAULT_TIMEOUT",
        "queue.Queue.failed_job_registry",
        "queue.Queue.finished_job_registry",
        "queue.Queue.intermediate_queue",
        "queue.Queue.started_job_registry",
        "queue.Queue.redis_queues_keys",
        "queue.Queue.registry_cleaning_key",
        "executions.Execution.composite_key",
        "executions.Execution.id",
        "executions.Execution.key",
        "executions.Execution.worker_name",
        "executions.ExecutionRegistry.key",
        "executions.WORKER_EXECUTIONS_KEY_TEMPLATE",
        "suspension.WORKERS_SUSPENDED",
    ),
    calls={
        "worker.base.BaseWorker.work": "bootstrap check_for_suspension should_run_maintenance_tasks "
        "run_maintenance_tasks _stop_requested dequeue_timeout dequeue_job_and_maintain_ttl execute_job heartbeat "
        "teardown",
        "worker.base.BaseWorker.bootstrap": "subscribe",
        "worker.base.BaseWorker.dequeue_job_and_maintain_ttl": "heartbeat should_run_maintenance_tasks dequeue_any "
        "max_connection_wait_time",
        "worker.base.BaseWorker._install_signal_handlers": "request_stop",
        "worker.base.BaseWorker.request_stop": "request_force_stop _shutdown",
        "worker.base.BaseWorker._shutdown": "get_state set_shutdown_requested_date _stop_requested StopRequested",
        "worker.base.BaseWorker.request_force_stop": "SystemExit",
        "worker.base.BaseWorker.cleanup_execution": "cleanup_execution",
        "executions.cleanup_execution": "executions",
        "worker.base.BaseWorker._finalize_failure": "handle_execution_ended handle_exception handle_job_failure",
        "worker.base.BaseWorker.handle_job_failure": "should_retry cleanup_execution _handle_failure retry "
        "send_webhooks",
        "worker.base.BaseWorker.run_maintenance_tasks": "clean_registries clean_group_registries",
        "queue.Queue.dequeue_any": "_fetch_dequeued_job",
        "queue.Queue._fetch_dequeued_job": "fetch NoSuchJobError",
        "queue.Queue.fetch_job": "fetch NoSuchJobError",
        "job.Job.fetch": "refresh",
        "job_lifecycle.record_job_failure": "_handle_failure",
        "callbacks.execute_success_callback": "success_callback",
        "callbacks.execute_failure_callback": "failure_callback",
        "job.Job._execute": "func",
    },
)

REDIS = Library(
    name="redis",
    read_again="read AbstractConnection (connect, send_packed_command, read_response), SentinelConnectionPool and the "
    "parsers' calls of the socket again, beside Guarded, MasterConnection, MasterPool and Cluster, and run "
    "tests/unit/test_guarded.py, test_sentinel.py, test_cluster.py and tests/sentinel_cluster",
    overridden={
        "connection.AbstractConnection.connect": "",
        "connection.AbstractConnection.read_response": "disable_decoding timeout disconnect_on_error push_request",
        "connection.AbstractConnection.send_packed_command": "command check_health",
        "connection.Connection._connect": "",
        "connection.SSLConnection._connect": "",
        "connection.UnixDomainSocketConnection._connect": "",
        "connection.ConnectionPool.disconnect": "inuse_connections",
    },
    called={
        "client.Redis.client": "",
        "client.Redis.execute_command": "args",
        "client.Redis.from_pool": "connection_pool",
        "client.Redis.sentinel_master": "service_name",
        "connection.AbstractConnection.disconnect": "",
        "crc.key_slot": "key",
        "maint_notifications.MaintNotificationsConfig.__init__": "enabled",
        "sentinel.SentinelConnectionPool.__init__": "service_name sentinel_manager kwargs",
        "sentinel.SentinelConnectionPool.get_master_address": "",
    },
    attributes=(
        "connection.AbstractConnection._sock",
        "connection.Connection.host",
        "connection.Connection.port",
        "connection.Connection.socket_connect_timeout",
        "connection.ConnectionPool.connection_kwargs",
        "exceptions.AskError.host",
        "exceptions.AskError.port",
        "sentinel.SentinelConnectionPool.sentinel_manager",
        "utils.SENTINEL",
    ),
    calls={
        "connection.AbstractConnection.connect": "connect_check_health",
        "connection.AbstractConnection.connect_check_health": "_sock _connect",
        "connection.SSLConnection._connect": "_connect",
        "connection.Connection._connect": "host port socket_connect_timeout",
        "connection.AbstractConnection.send_packed_command": "_sock connect_check_health sendall",
        "_parsers.socket.SocketBuffer._read_from_socket": "settimeout recv",
        "sentinel.SentinelConnectionPoolProxy.get_master_address": "sentinel_manager discover_master",
        "connection.ConnectionPool.get_connection": "can_read maint_notifications_enabled disconnect",
    },
)

WAITRESS = Library(
    name="waitress",
    read_again="read HTTPChannel, HTTPRequestParser, BaseWSGIServer and the tasks again, beside PoliteChannel, "
    "BoundedParser, ApiServer, TimedTask and ProblemTask, and run tests/unit/api/test_channel.py, "
    "tests/integration/test_http_server.py, test_serving_limits.py and test_hostile_requests.py",
    overridden={
        "channel.HTTPChannel._flush_outbufs_below_high_watermark": "",
        "channel.HTTPChannel.handle_close": "",
        "channel.HTTPChannel.handle_read": "",
        "channel.HTTPChannel.handle_write": "",
        "channel.HTTPChannel.readable": "",
        "channel.HTTPChannel.received": "data",
        "channel.HTTPChannel.writable": "",
        "channel.HTTPChannel.write_soon": "data",
        "parser.HTTPRequestParser.close": "",
        "parser.HTTPRequestParser.parse_header": "header_plus",
        "parser.HTTPRequestParser.received": "data",
        "server.BaseWSGIServer.add_task": "task",
        "server.BaseWSGIServer.handle_accept": "",
        "server.BaseWSGIServer.pull_trigger": "",
        "server.BaseWSGIServer.readable": "",
        "server.BaseWSGIServer.run": "",
        "task.ErrorTask.execute": "",
        "task.Task.service": "",
        "task.Task.write": "data",
        "task.WSGITask.execute": "",
        "task.WSGITask.get_environment": "",
        "wasyncore.dispatcher.send": "data do_close",
    },
    called={
        "buffers.OverflowableBuffer.__init__": "overflow",
        "channel.HTTPChannel._flush_exception": "flush",
        "channel.HTTPChannel._flush_some": "",
        "channel.HTTPChannel.recv": "buffer_size",
        "channel.HTTPChannel.service": "",
        "parser.HTTPRequestParser.__init__": "adj",
        "server.BaseWSGIServer.__init__": "application map _sock dispatcher adj sockinfo bind_socket",
        "server.BaseWSGIServer.fix_addr": "addr",
        "server.BaseWSGIServer.set_socket_options": "conn",
        "task.Task.set_close_on_finish": "",
        "task.ThreadedTaskDispatcher.add_task": "task",
        "task.ThreadedTaskDispatcher.set_thread_count": "count",
        "task.ThreadedTaskDispatcher.shutdown": "timeout",
        "wasyncore.dispatcher.accept": "",
        "wasyncore.loop": "timeout use_poll map count",
        "utilities.Error.__init__": "body",
    },
    attributes=(
        "channel.HTTPChannel.adj",
        "channel.HTTPChannel.close_when_flushed",
        "channel.HTTPChannel.connected",
        "channel.HTTPChannel.current_outbuf_count",
        "channel.HTTPChannel.error_task_class",
        "channel.HTTPChannel.last_activity",
        "channel.HTTPChannel.outbuf_lock",
        "channel.HTTPChannel.outbufs",
        "channel.HTTPChannel.parser_class",
        "channel.HTTPChannel.request",
        "channel.HTTPChannel.requests",
        "channel.HTTPChannel.requests_lock",
        "channel.HTTPChannel.sendbuf_len",
        "channel.HTTPChannel.task_class",
        "channel.HTTPChannel.total_outbufs_len",
        "channel.HTTPChannel.will_close",
        "parser.HTTPRequestParser.body_bytes_received",
        "parser.HTTPRequestParser.body_rcv",
        "parser.HTTPRequestParser.chunked",
        "parser.HTTPRequestParser.completed",
        "parser.HTTPRequestParser.content_length",
        "parser.HTTPRequestParser.error",
        "parser.HTTPRequestParser.expect_continue",
        "parser.HTTPRequestParser.headers",
        "parser.HTTPRequestParser.headers_finished",
        "parser.HTTPRequestParser.path",
        "parser.ParsingError",
        "server.BaseWSGIServer.active_channels",
        "server.BaseWSGIServer.asyncore",
        "server.BaseWSGIServer.channel_class",
        "server.BaseWSGIServer.task_dispatcher",
        "task.Task.close_on_finish",
        "task.Task.complete",
        "task.Task.content_length",
        "task.Task.response_headers",
        "task.Task.status",
        "task.Task.wrote_header",
        "utilities.BadRequest.code",
        "wasyncore.dispatcher._map",
    ),
    calls={
        "channel.HTTPChannel.handle_write": "_flush_some close_when_flushed will_close handle_close",
        "channel.HTTPChannel._flush_some": "send sendbuf_len outbufs total_outbufs_len",
        "channel.HTTPChannel.handle_read": "received last_activity",
        "channel.HTTPChannel.received": "parser_class received completed requests requests_lock add_task",
        "channel.HTTPChannel.write_soon": "_flush_outbufs_below_high_watermark outbuf_lock append current_outbuf_count",
        "channel.HTTPChannel.service": "error_task_class task_class service close_when_flushed add_task "
        "_flush_outbufs_below_high_watermark requests_lock",
        "task.Task.service": "execute",
        "task.WSGITask.execute": "get_environment write",
        "task.Task.write": "write_soon",
        "parser.HTTPRequestParser.received": "parse_header ParsingError",
        "server.BaseWSGIServer.__init__": "accept_connections",
        "wasyncore.poll2": "readable writable readwrite",
    },
)

MADE_BY_PYTHON = {"_abc_impl", "_is_protocol"}
"""Members that Python's class statement creates."""

LIBRARIES = (RQ, REDIS, WAITRESS)
each_library = pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)


@each_library
def test_the_installed_version_is_the_pinned_one(library: Library) -> None:
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    installed = version(library.name)
    assert installed == pins[library.name], (
        f"{library.name} {installed} is installed and {pins[library.name]} pinned. {library.read_again}"
    )


@each_library
def test_what_we_override_has_the_parameters_we_give_it(library: Library) -> None:
    for name, parameters in library.overridden.items():
        assert parameters_of(library, name) == parameters.split(), f"{library.name}.{name}: {library.read_again}"


@each_library
def test_what_we_call_takes_what_we_give(library: Library) -> None:
    for name, parameters in library.called.items():
        assert set(parameters.split()) <= set(parameters_of(library, name)), (
            f"{library.name}.{name}: {library.read_again}"
        )


@each_library
def test_what_we_look_at_is_there(library: Library) -> None:
    for name in library.attributes:
        owner, member = name.rpartition(".")[::2]
        assert has(found(library, owner)[1], member), f"{library.name}.{name} is gone: {library.read_again}"


@each_library
def test_what_we_override_is_called_where_we_expect_it(library: Library) -> None:
    for name, callees in library.calls.items():
        used = set(names_in(function(found(library, name)[1]).__code__))
        assert set(callees.split()) <= used, (
            f"{library.name}.{name} no longer uses {set(callees.split()) - used}: {library.read_again}"
        )


@each_library
def test_nothing_is_overridden_or_used_in_private_that_is_not_listed(library: Library) -> None:
    listed = {*library.overridden, *library.called, *library.attributes}
    classes = list(our_classes(library))
    assert classes, f"no class of ours builds on {library.name}: is it looked for in the right files?"
    for ours in classes:
        for name, owners in leans_on(library, ours).items():
            assert listed & owners, f"{ours.__qualname__} leans on {name} of {library.name}: list one of {owners}"


def found(library: Library, name: str) -> tuple[Any, Any]:
    """Return the owner of `name` (a module or a class) and the unbound object itself.

    Raises:
        AssertionError: the library no longer has it.
    """
    parts = [library.name, *name.split(".")]
    for count in range(len(parts), 0, -1):
        try:
            owner = thing = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            assert hasattr(thing, part), f"{library.name}.{name} is gone: {library.read_again}"
            owner, thing = thing, inspect.getattr_static(thing, part)
        return owner, thing
    raise AssertionError(f"there is no {parts[0]}")


def parameters_of(library: Library, name: str) -> list[str]:
    """Return the parameters, without the first one of a method."""
    owner, thing = found(library, name)
    parameters = list(inspect.signature(function(thing)).parameters)
    return parameters[1:] if inspect.isclass(owner) and not isinstance(thing, staticmethod) else parameters


def function(thing: Any) -> Any:
    """Return the plain function of a method or of a property."""
    if isinstance(thing, property):
        thing = thing.fget
    return inspect.unwrap(getattr(thing, "__func__", thing))


def has(thing: Any, member: str) -> bool:
    """Return whether a module or a class has that member, or the class assigns it to its objects."""
    return hasattr(thing, member) or (inspect.isclass(thing) and any(member in given(base) for base in thing.__mro__))


def given(owner: type) -> set[str]:
    """Return the attributes that the class's own methods assign."""
    return {
        str(step.argval)
        for member in vars(owner).values()
        if inspect.isfunction(member)
        for step in dis.get_instructions(member)
        if step.opname == "STORE_ATTR"
    }


def names_in(code: CodeType) -> Iterator[str]:
    """Yield every name that the code uses, including those in nested functions and comprehensions."""
    yield from code.co_names
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in(constant)


def our_classes(library: Library) -> Iterator[type]:
    """Yield all our classes that inherit from a class of the library."""
    importlib.import_module("prompt_api.__main__")
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not re.search(rf"^(from|import) {library.name}\b", path.read_text(encoding="utf-8"), re.MULTILINE):
                continue
            module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            for thing in vars(module).values():
                if inspect.isclass(thing) and thing.__module__ == module.__name__ and bases(library, thing):
                    yield thing


def bases(library: Library, ours: type) -> list[type]:
    return [base for base in ours.__mro__ if base.__module__.partition(".")[0] == library.name]


def leans_on(library: Library, ours: type) -> dict[str, set[str]]:
    """Return the members of the library that the class overrides, and the private ones that it uses.

    Returns:
        For each plain name, the dotted names under which the library has it.
    """
    own = [base for base in ours.__mro__ if base.__module__.partition(".")[0] in PACKAGES]
    members = {name: member for base in own for name, member in vars(base).items() if not name.startswith("__")}
    used = {
        name
        for member in members.values()
        if inspect.isfunction(function(member))
        for name in names_in(function(member).__code__)
        if name.startswith("_") and not name.startswith("__")
    }
    owners: dict[str, set[str]] = {}
    for base in bases(library, ours):
        module = base.__module__.partition(".")[2]
        for name in {*members, *used} - MADE_BY_PYTHON:
            if name in vars(base) or (name.startswith("_") and name in given(base)):
                owners.setdefault(name, set()).add(f"{module}.{base.__qualname__}.{name}")
    return owners
