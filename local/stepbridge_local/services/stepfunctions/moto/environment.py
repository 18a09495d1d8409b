"""The evaluation environment: threads notice at once if their execution, branch or task has ended.

moto's environments form a tree (execution, branch, task). If one ends, those below it end too. Code that waits in an
environment registers a listener for its end, so nothing sleeps through StopExecution, a timeout or a failing sibling.
Waits use the clock of the execution (``fault_injection.execution_time``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from moto.stepfunctions.parser.api import HistoryEventType
from moto.stepfunctions.parser.asl.eval.environment import Environment
from moto.stepfunctions.parser.asl.eval.event.event_manager import EventHistoryContext, EventManager

from stepbridge_local.fault_injection.execution_time import ExecutionTime, Pace
from stepbridge_local.services.moto.replacement import replace

__all__ = [
    "EvaluationEndedError",
    "LocalEventManager",
    "add_event",
    "event_details",
    "install",
    "on_end",
    "time_of",
    "wait_while_running",
]

_LISTENERS: Final = "stepbridge_end_listeners"
# What is evaluated before a state has done anything fails, in AWS's histories, after what came before the state.
_ENTERED: Final = "stepbridge_entered"


class EvaluationEndedError(Exception):
    """Raised in a thread whose environment has ended, to unwind it; never seen by a user."""


def on_end(env: Environment, listener: Callable[[], None]) -> Callable[[], None]:
    """Call ``listener`` when ``env`` ends, or now if it has ended. Returns a function that removes the listener.

    The listener runs in the thread that ends the environment and must not block.
    """
    with env._state_mutex:
        if env.is_running():
            listeners = vars(env).setdefault(_LISTENERS, [])
            listeners.append(listener)
            return lambda: listeners.remove(listener) if listener in listeners else None
    listener()
    return lambda: None


def time_of(env: Environment) -> ExecutionTime:
    """The clock of the run to which ``env`` belongs. All its environments share one history, and so one clock."""
    history = env.event_manager
    assert isinstance(history, LocalEventManager)
    return history.time


def wait_while_running(env: Environment, seconds: float) -> bool:
    """Wait ``seconds``, or until ``env`` ends. True if ``env`` is still running."""
    with time_of(env).asleep(max(0.0, seconds)) as ended:
        remove_listener = on_end(env, ended.set)
        ended.wait()
        remove_listener()
    return env.is_running()


def _notify(env: Environment) -> None:
    if env.is_running():
        return
    for listener in vars(env).pop(_LISTENERS, []):
        listener()


def _ending_once(original: Callable[..., None]) -> Callable[..., None]:
    """Only the first end counts. An error that results from it does not make a stopped execution a failed one."""

    def method(self: Environment, *args: Any, **kwargs: Any) -> None:
        with self._state_mutex:
            if self._program_state is not None and not self.is_running():
                return
            original(self, *args, **kwargs)
            _notify(self)

    return method


def _property_while_running(name: str) -> property:
    """A property of moto. Its setter does nothing in an environment that has just ended, instead of raising."""
    original: property = vars(Environment)[name]

    def set_while_running(self: Environment, value: str) -> None:
        with self._state_mutex:
            if original.fset is not None and (self._program_state is None or self.is_running()):
                original.fset(self, value)

    return property(original.fget, set_while_running)


_ENDINGS: Final = {
    name: _ending_once(getattr(Environment, name)) for name in ("set_ended", "set_error", "set_timed_out", "set_stop")
}
_moto_inner_frame: Final = vars(Environment)["as_inner_frame_of"].__func__


def _inner_frame(cls: type[Environment], env: Environment, *args: Any, **kwargs: Any) -> Environment:
    """Keeps the context object's Map, which moto's frames lose, so that tasks in an iteration have its item."""
    frame: Environment = _moto_inner_frame(cls, env, *args, **kwargs)
    outer = env.states.context_object.context_object_data
    if "Map" in outer:
        frame.states.context_object.context_object_data["Map"] = outer["Map"]
    return frame


_POSITIONS: Final = {name: _property_while_running(name) for name in ("next_state_name", "next_field_name")}


def event_details(**details: Any) -> Any:
    """The details of one history event. moto's TypedDict would have the details of all types at once."""
    return details


def add_event(env: Environment, event_type: HistoryEventType, **details: Any) -> None:
    """Append an event of the state that ``env`` is in."""
    env.event_manager.add_event(
        context=env.event_history_context, event_type=event_type, event_details=event_details(**details) or None
    )


class LocalEventManager(EventManager):
    """The history of an execution. A redrive continues it. After a run has ended, nothing can be added by that run.

    ``previous`` is the manager of the run before. A thread of that run that is still unwinding cannot write into the
    history of the next, because each run has its own manager over the same events. ``earlier`` are the events of an
    execution that ran before a restart. ``keep`` is given each new event, in their order. ``pace`` is how fast the run
    waits.
    """

    def __init__(
        self,
        pace: Pace,
        cloud_watch_logging_session: Any = None,
        previous: LocalEventManager | None = None,
        earlier: Sequence[Mapping[str, Any]] = (),
        keep: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        super().__init__(cloud_watch_logging_session=cloud_watch_logging_session)
        self.time = ExecutionTime(pace)
        self._closed = False
        self._keep = keep
        self._history_event_list.extend(cast("Any", earlier))
        self._event_id_gen._next_id = len(earlier) + 1
        if previous is not None:
            # moto's own constructor sets these; the class declares them Final
            vars(self).update(
                _mutex=previous._mutex,
                _event_id_gen=previous._event_id_gen,
                _history_event_list=previous._history_event_list,
            )

    def close(self) -> None:
        """Refuse further events, because the run is over."""
        with self._mutex:
            self._closed = True

    def add_event(self, context: EventHistoryContext, event_type: HistoryEventType, *args: Any, **kwargs: Any) -> int:
        """Append an event and return its id; 0, and no event, from a thread that outlived the run."""
        if self._closed:
            return 0
        source = context.source_event_id
        entered, before = vars(context).get(_ENTERED, (None, 0))
        if event_type == HistoryEventType.EvaluationFailed and source == entered:
            context.source_event_id = before
        event_id = int(super().add_event(context, event_type, *args, **kwargs))
        if event_type.value.endswith("StateEntered"):
            vars(context)[_ENTERED] = (event_id, source)
        return event_id

    def _publish_history_event(self, *args: Any, **kwargs: Any) -> None:
        super()._publish_history_event(*args, **kwargs)
        if self._keep is not None:
            self._keep(cast("Mapping[str, Any]", self._history_event_list[-1]))

    @property
    def last_event_id(self) -> int:
        with self._mutex:
            return len(self._history_event_list)


def install() -> None:
    """Make an environment end only once, and call its listeners however it ends."""
    for name, method in {**_ENDINGS, **_POSITIONS}.items():
        replace(Environment, name, method)
    replace(Environment, "as_inner_frame_of", classmethod(_inner_frame))
