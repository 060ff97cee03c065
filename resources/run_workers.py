"""Who computes a run, and whether that process still lives: Dagster's own launcher does not ask after a host crash.

Every run worker writes on its run which process it is (``WORKER_TAG``). The daemon's run monitoring asks the launcher
about every started run; one whose worker is gone fails at once, its pool slots are freed, its retry redoes the rest.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import dagster as dg
from dagster._config.config_schema import UserConfigSchema
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.events import DagsterEvent
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.active import ActiveExecution
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.plan.step import ExecutionStep
from dagster._core.execution.retries import RetryMode
from dagster._core.executor import multiprocess
from dagster._core.executor.multiprocess import MultiprocessExecutor
from dagster._core.launcher.base import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData, deserialize_value

from resources.machine import is_gone, is_here, this_process
from splat_pipeline.domain.intake import OWNER_TAG

WORKER_TAG = "splat/worker"
"""Of a run: the process that computes it, as ``machine.this_process`` names it; empty until that is known."""

ACCOUNT = "ActiveExecution"
"""Under which name Dagster's executor finds its account of the steps."""
REST_S = 0.1
"""Between two looks whether a step may start."""


class WatchedRunLauncher(DefaultRunLauncher):
    """Dagster's launcher of run workers beside their code server, with worker health."""

    def __init__(self, inst_data: ConfigurableClassData | None = None, *, patience_s: float = 30.0) -> None:
        """``patience_s``: of a code server elsewhere that is out of reach, until its runs count as gone."""
        super().__init__(inst_data)
        self._patience_s = patience_s
        self._out_of_reach_since_s: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        """Return what dagster.yaml may say."""
        return {"patience_s": dg.Field(float, is_required=False, default_value=30.0)}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Make the launcher that dagster.yaml asks for."""
        return cls(inst_data, patience_s=config_value["patience_s"])

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Tell run monitoring to ask."""
        return True

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start a run worker. A retry inherits its parent's tags: the parent's process is not its own."""
        self._instance.add_run_tags(context.dagster_run.run_id, {WORKER_TAG: ""})
        super().launch_run(context)

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Tell whether the worker of a started run lives; the pool slots of one that does not are freed."""
        owner = run.tags.get(WORKER_TAG) or run.tags.get(OWNER_TAG, "")  # a command's run has the latter
        why = self._gone_here(owner) if owner and is_here(owner) else self._gone_there(run)
        if why is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        self._instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        return CheckRunHealthResult(WorkerStatus.FAILED, why)

    @staticmethod
    def _gone_here(owner: str) -> str | None:
        return f"its process {owner} was killed" if is_gone(owner) else None

    def _gone_there(self, run: dg.DagsterRun) -> str | None:
        """Ask the code server that started the worker: that knows its children, and they do not outlive it."""
        if GRPC_INFO_TAG not in run.tags:
            return "no code server is known to have started it"
        try:
            knows = _is_running(_client(run), run.run_id)
        except DagsterUserCodeUnreachableError:
            since_s = self._out_of_reach_since_s.setdefault(run.run_id, time.monotonic())
            waited_s = time.monotonic() - since_s
            return f"its code server is out of reach for {waited_s:.0f} s" if waited_s > self._patience_s else None
        self._out_of_reach_since_s.pop(run.run_id, None)
        return None if knows else "its code server does not know of it"


def _client(run: dg.DagsterRun) -> DagsterGrpcClient:
    at = json.loads(run.tags[GRPC_INFO_TAG])
    return DagsterGrpcClient(
        port=at.get("port"), socket=at.get("socket"), host=at["host"], use_ssl=bool(at.get("use_ssl", False))
    )


def _is_running(client: DagsterGrpcClient, run_id: str) -> bool:
    answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run_id), timeout=10)
    return deserialize_value(answer, CanCancelExecutionResult).can_cancel


class Steps(ActiveExecution):
    """Dagster's account of the steps of a run, which neither wears out its core nor sits on slots that nobody uses."""

    def get_steps_to_execute(self, limit: int | None = None) -> list[ExecutionStep]:
        """Return what may start now. Where all wait, for a slot or for their next try, rest before Dagster asks again.

        Dagster asks again at once: a run that waits for the slot of another would take a core away from it.
        """
        steps = list(super().get_steps_to_execute(limit))
        if not (steps or self.has_in_flight_steps or self.is_complete):
            time.sleep(REST_S)
        return steps

    def mark_unknown_state(self, step_key: str) -> None:
        """Take note of a step whose process ended and could not say how, and give its slot back.

        Dagster keeps the slot until the run ends, which the run's next step of that pool then never lets happen.
        """
        super().mark_unknown_state(step_key)
        if self._instance_concurrency_context is not None:
            self._instance_concurrency_context.free_step(step_key)


@contextmanager
def accounted_for() -> Iterator[None]:
    """Have Dagster's executor of this process use ``Steps``; it offers no other way to."""
    setattr(multiprocess, ACCOUNT, Steps)
    try:
        yield
    finally:
        setattr(multiprocess, ACCOUNT, ActiveExecution)


class OwnedSteps(MultiprocessExecutor):
    """Runs each step in a process of its own, once the run says whose it is."""

    def execute(self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan) -> Iterator[DagsterEvent]:
        """Say whose the run is, then execute it."""
        plan_context.instance.add_run_tags(plan_context.run_id, {WORKER_TAG: this_process()})
        with accounted_for():
            yield from super().execute(plan_context, execution_plan)


def steps_in_processes(preload: list[str]) -> dg.ExecutorDefinition:
    """Return the executor: one step at a time, forked from a server that imported ``preload`` once."""

    @dg.executor(
        name="steps_in_processes",
        requirements=[
            dg.ExecutorRequirement.RECONSTRUCTABLE_JOB,
            dg.ExecutorRequirement.NON_EPHEMERAL_INSTANCE,
            dg.ExecutorRequirement.PERSISTENT_OUTPUTS,
        ],
    )
    def made(_: dg.InitExecutorContext) -> dg.Executor:
        return OwnedSteps(
            RetryMode.ENABLED, max_concurrent=1, start_method="forkserver", explicit_forkserver_preload=preload
        )

    return made
