"""A distributed Map: reads its items, puts them into batches, runs child executions and writes their results.

Replaces moto's, which has neither batches nor results, reads CSV and JSON only, and never fails for failed children.
https://docs.aws.amazon.com/step-functions/latest/dg/state-map-distributed.html
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError
from moto.stepfunctions.parser.api import HistoryEventType, MapRunStatus
from moto.stepfunctions.parser.asl.component.common.error_name.failure_event import FailureEventException
from moto.stepfunctions.parser.asl.component.program.program import Program
from moto.stepfunctions.parser.asl.component.state.exec.state_map.iteration.distributed_iteration_component import (
    DistributedIterationComponent,
)
from moto.stepfunctions.parser.asl.component.state.exec.state_map.max_concurrency import DEFAULT_MAX_CONCURRENCY_VALUE
from moto.stepfunctions.parser.asl.component.state.exec.state_parallel.state_parallel import StateParallel
from moto.stepfunctions.parser.asl.component.state.exec.state_task.credentials import StateCredentials
from moto.stepfunctions.parser.asl.eval.environment import Environment

from stepbridge_local.fault_injection.execution_time import Pace
from stepbridge_local.services.moto.replacement import replace
from stepbridge_local.services.stepfunctions.map_items import (
    ItemsError,
    batched,
    inventory_files,
    read_inventory,
    read_items,
)
from stepbridge_local.services.stepfunctions.map_results import output_of, result_files
from stepbridge_local.services.stepfunctions.map_settings import MapSettings, is_distributed, settings_of
from stepbridge_local.services.stepfunctions.moto.child_executions import CHILDREN, ChildExecution
from stepbridge_local.services.stepfunctions.moto.environment import EvaluationEndedError, add_event, on_end
from stepbridge_local.services.stepfunctions.moto.errors import task_failure
from stepbridge_local.services.stepfunctions.moto.redrive import runs_to_continue
from stepbridge_local.services.stepfunctions.moto.templates import Template, template_of

__all__ = ["attach_settings", "install"]

MAXIMUM_WORKERS: Final = 1_000  # AWS runs at most 10,000 children at once
_SETTINGS: Final = "stepbridge_map_settings"
_CLIENT_ERRORS: Final = (BotoCoreError, ClientError)


@dataclass(frozen=True)
class _Templates:
    settings: MapSettings
    reader_config: Template
    batcher: Template | None
    writer: Template | None
    writer_config: Template


def attach_settings(program: Program, definition: Mapping[str, Any], query_language: str = "JSONPath") -> None:
    """Give the distributed Maps of a program the settings that the definition has for them."""
    language = definition.get("QueryLanguage", query_language)
    for name, state in definition["States"].items():
        component: Any = program.states.states[name]
        if isinstance(component, StateParallel):
            for branch, inner in zip(component.branches.programs, state["Branches"], strict=True):
                attach_settings(branch, inner, language)
        if state["Type"] != "Map":
            continue
        iteration = component.iteration_component
        attach_settings(iteration._get_iteration_program(), state.get("ItemProcessor", state.get("Iterator")), language)
        if is_distributed(state):
            vars(iteration)[_SETTINGS] = _templates(settings_of(state, language))


def _templates(settings: MapSettings) -> _Templates:
    def template(field: str, value: Any) -> Template:
        return template_of(field, value, settings.is_jsonata)

    writer = settings.writer or {}
    place = writer.get("Arguments", writer.get("Parameters"))
    return _Templates(
        settings,
        template("ReaderConfig", settings.reader_config),
        template("ItemBatcher", settings.batcher) if settings.batcher else None,
        template("ResultWriter", place) if place is not None else None,
        template("WriterConfig", writer.get("WriterConfig", {})),
    )


class _MapRun:
    """One Map run: the child executions of one attempt of a state."""

    def __init__(self, component: Any, env: Environment, clients: Any, pace: Pace) -> None:
        self._inputs = env.stack.pop()
        self._templates: _Templates = vars(component)[_SETTINGS]
        self._program = component._get_iteration_program()
        self._env = env
        self._pace = pace
        self._record = self._inputs.map_run_record
        is_jsonata = self._templates.settings.is_jsonata
        self._state_input = env.states.get_input() if is_jsonata or not env.stack else env.stack[-1]
        region, role_arn = env.aws_execution_details.region, env.aws_execution_details.role_arn
        self._s3: Callable[[], Any] = lambda: clients.client_for(region, "s3", StateCredentials(role_arn=role_arn))
        self._lock = threading.Lock()
        self._exceeded = False
        self._failed_items = 0

    def run(self) -> Any:
        """The output of the Map state. Raises what the state fails with."""
        children = self._children()
        vars(self._record)[CHILDREN] = children
        self._run_children(children)
        if not self._env.is_running():
            raise EvaluationEndedError
        if self._exceeded:
            raise task_failure(
                self._env,
                "States.ExceedToleratedFailureThreshold",
                "The specified tolerated failure threshold was exceeded",
            )
        return self._written(children)

    # --- items --------------------------------------------------------------------------------------------------------
    def _children(self) -> list[ChildExecution]:
        try:
            items = self._selected(self._read())
            batcher = self._templates.batcher
            batches = batched(items, batcher.evaluate(self._env, self._state_input)) if batcher else None
        except (ItemsError, *_CLIENT_ERRORS) as error:
            raise task_failure(self._env, "States.ItemReaderFailed", _text_of(error)) from error
        inputs = items if batches is None else batches
        counts = [1 if batches is None else len(one["Items"]) for one in inputs]
        self._total_items = sum(counts)
        self._record.item_counter.total.count(self._total_items)
        self._record.item_counter.pending.count(self._total_items)
        self._record.execution_counter.total.count(len(inputs))
        self._record.execution_counter.pending.count(len(inputs))
        express = self._templates.settings.execution_type == "EXPRESS"
        return [
            ChildExecution(self._env, self._record, run, place, value, count, express, self._pace)
            for place, (run, value, count) in enumerate(
                zip(runs_to_continue(self._env, len(inputs)), inputs, counts, strict=True)
            )
        ]

    def _read(self) -> list[Any]:
        reader = self._inputs.item_reader
        if reader is None:
            found: list[Any] = self._inputs.input_items
            return found
        config = self._templates.reader_config.evaluate(self._env, self._state_input)
        parameters: dict[str, Any] = {}
        if reader.parargs:
            reader.parargs.eval(env=self._env)
            parameters = self._env.stack.pop()
        if reader.resource.api_action.lower() == "listobjectsv2":
            return self._list_objects(parameters, config)
        data = self._s3().get_object(**parameters)["Body"].read()
        if config.get("InputType") != "MANIFEST":
            return read_items(data, config)
        bucket, keys, columns = inventory_files(data)
        files = (self._s3().get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys)
        return read_inventory(files, columns, config)

    def _list_objects(self, parameters: Mapping[str, Any], config: Mapping[str, Any]) -> list[Any]:
        """The objects below a prefix, or with Transformation LOAD_AND_FLATTEN the items in them."""
        client = self._s3()
        pages = client.get_paginator("list_objects_v2").paginate(**parameters)
        listed = [one for page in pages for one in page.get("Contents", [])]
        maximum = config.get("MaxItems") or None
        if config.get("Transformation") == "LOAD_AND_FLATTEN":
            unlimited = {key: value for key, value in config.items() if key != "MaxItems"}
            items: list[Any] = []
            for one in listed:
                data = client.get_object(Bucket=parameters["Bucket"], Key=one["Key"])["Body"].read()
                items += read_items(data, unlimited)
            return items[:maximum]
        return [
            {
                "Etag": one["ETag"],
                "Key": one["Key"],
                "LastModified": int(one["LastModified"].timestamp()),
                "Size": one["Size"],
                "StorageClass": one["StorageClass"],
            }
            for one in listed[:maximum]
        ]

    def _selected(self, items: list[Any]) -> list[Any]:
        """What ItemSelector makes of each item."""
        selector = self._inputs.item_selector or self._inputs.parameters
        if selector is None:
            return items
        selected: list[Any] = []
        for index, item in enumerate(items):
            frame = self._env.open_frame()
            context: dict[str, Any] = frame.states.context_object.context_object_data  # type: ignore[assignment]
            context["Map"] = {"Item": {"Index": index, "Value": item}}
            frame.states.reset(self._state_input)
            frame.stack = [self._state_input]
            try:
                selector.eval(frame)
                selected.append(frame.stack.pop())
            finally:
                self._env.delete_frame(frame)
        return selected

    # --- children -----------------------------------------------------------------------------------------------------
    def _run_children(self, children: list[ChildExecution]) -> None:
        """Run them, at most MaxConcurrency at a time, until all have ended or too many have failed."""
        waiting = iter([child for child in children if not child.take_over_finished()])
        limit = self._record.max_concurrency
        unlimited = limit == DEFAULT_MAX_CONCURRENCY_VALUE
        workers = min(len(children), MAXIMUM_WORKERS if unlimited else min(limit, MAXIMUM_WORKERS))
        ended = threading.Event()
        threads = [threading.Thread(target=self._work, args=(waiting,), daemon=True) for _ in range(workers)]
        remove_listener = on_end(self._env, ended.set)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()  # frames below an environment that ends, end too
        remove_listener()

    def _work(self, waiting: Any) -> None:
        while self._env.is_running() and not self._exceeded:
            with self._lock:
                child = next(waiting, None)
            if child is None:
                return
            status = child.run(self._program)
            if status not in ("SUCCEEDED", "ABORTED"):
                self._count_failure(child)

    def _count_failure(self, child: ChildExecution) -> None:
        settings = self._templates.settings
        with self._lock:
            self._failed_items += child.items
            failed = self._failed_items
            percentage = 100 * failed / max(1, self._total_items)
            beyond_count = settings.has_count and failed > self._inputs.tolerated_failure_count
            beyond_percentage = settings.has_percentage and percentage > self._inputs.tolerated_failure_percentage
            if beyond_count or beyond_percentage or not (settings.has_count or settings.has_percentage):
                self._exceeded = True
        if self._exceeded:
            for other in vars(self._record)[CHILDREN]:
                other.stop()

    # --- results ------------------------------------------------------------------------------------------------------
    def _written(self, children: list[ChildExecution]) -> Any:
        results = [child.result() for child in children]
        config = self._templates.writer_config.evaluate(self._env, self._state_input)
        for counter in (self._record.item_counter, self._record.execution_counter):
            counter.results_written.count(counter.succeeded.get())
        if self._templates.writer is None:
            return output_of(results, config)
        place = self._templates.writer.evaluate(self._env, self._state_input)
        prefix = str(place.get("Prefix") or "").rstrip("/")
        map_run_arn = self._record.map_run_arn
        folder = f"{prefix}/{map_run_arn.rsplit(':', 1)[-1]}".lstrip("/")
        try:
            for key, body in result_files(results, config, place["Bucket"], folder, map_run_arn).items():
                self._s3().put_object(Bucket=place["Bucket"], Key=key, Body=body)
        except (KeyError, *_CLIENT_ERRORS) as error:
            raise task_failure(self._env, "States.ResultWriterFailed", _text_of(error)) from error
        details = {"Bucket": place["Bucket"], "Key": f"{folder}/manifest.json"}
        return {"MapRunArn": map_run_arn, "ResultWriterDetails": details}


def _text_of(error: Exception) -> str:
    if isinstance(error, ClientError):
        response: Any = error.response
        return (
            f"{response['Error'].get('Message')} (Service: S3, Status Code: "
            f"{response['ResponseMetadata']['HTTPStatusCode']}, Error Code: {response['Error'].get('Code')})"
        )
    return str(error)


def _evaluate_map(self: DistributedIterationComponent, env: Environment, clients: Any, pace: Pace) -> None:
    run = _MapRun(self, env, clients, pace)
    record = run._record
    add_event(env, HistoryEventType.MapRunStarted, mapRunStartedEventDetails={"mapRunArn": record.map_run_arn})
    try:
        output = run.run()
    except FailureEventException as failure:
        record.set_stop(status=MapRunStatus.FAILED)
        error, cause = failure.extract_error_cause_pair() or (None, None)
        details = {"error": error, "cause": cause}
        told = {name: value for name, value in details.items() if value}
        add_event(env, HistoryEventType.MapRunFailed, mapRunFailedEventDetails=told)
        raise
    except EvaluationEndedError:
        record.set_stop(status=MapRunStatus.ABORTED)
        raise
    except Exception:
        record.set_stop(status=MapRunStatus.FAILED)
        add_event(env, HistoryEventType.MapRunFailed, mapRunFailedEventDetails={})
        raise
    add_event(env, HistoryEventType.MapRunSucceeded)
    record.set_stop(status=MapRunStatus.SUCCEEDED)
    env.stack.append(output)


def install(clients: Any, pace: Pace) -> None:
    """Run distributed Maps as AWS does, with clients of the state's role. ``pace`` is how fast children wait."""

    def evaluate_map(self: DistributedIterationComponent, env: Environment) -> None:
        _evaluate_map(self, env, clients, pace)

    replace(DistributedIterationComponent, "_eval_body", evaluate_map)
