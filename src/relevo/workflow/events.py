"""Does an event start a workflow, and with which inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from relevo.domain.errors import UserError
from relevo.workflow.diagnostics import did_you_mean
from relevo.workflow.expressions import to_number, to_text
from relevo.workflow.globs import selects
from relevo.workflow.model import Value, Workflow

DISPATCH: Final = "workflow_dispatch"
_BRANCH: Final = "refs/heads/"
_TAG: Final = "refs/tags/"
_DEFAULT_ACTIVITIES: Final = ("opened", "synchronize", "reopened")
_PULL_REQUESTS: Final = frozenset({"pull_request", "pull_request_target"})
#: Activity types that are meant when none is named: the first of these that the workflow takes.
_USUAL: Final[dict[str, tuple[str, ...]]] = {
    "pull_request": ("synchronize", "opened"),
    "pull_request_target": ("synchronize", "opened"),
    "issues": ("opened",),
    "release": ("published", "released"),
    "workflow_run": ("completed",),
}
#: In a commit's message they keep `push` and `pull_request` from starting anything. Source: GitHub, Skipping workflow runs.
_SKIPS: Final = ("[skip ci]", "[ci skip]", "[no ci]", "[skip actions]", "[actions skip]")
_SKIP_TRAILERS: Final = ("skip-checks:true", "skip-checks: true")


class GitFacts(Struct, frozen=True):
    """What filters look at."""

    ref: str = ""  #: refs/heads/… or refs/tags/…; '' when there is none (no repository, detached)
    base_branch: str = ""  #: of a pull request: what it is to be merged into
    changed_paths: tuple[str, ...] | None = None  #: None: not known, path filters let everything through
    activity: str = ""  #: the activity type; '' for the event's usual one
    message: str = ""  #: of the head commit


def decide_event(
    workflow: Workflow, event: str, inputs: Mapping[str, str], facts: GitFacts
) -> dict[str, Value]:
    """The `inputs` context of a run that this event starts: typed, with defaults.

    Raises UserError when the event does not start the workflow, saying which filter said no, and for inputs that are
    unknown, missing or of a wrong type.
    """
    if event not in workflow.on:
        hint = f"it starts on: {', '.join(workflow.on)}; name one with --event"
        raise UserError(f"{workflow.path} does not start on '{event}'", hint=hint)
    if event == "workflow_call":
        raise UserError(f"{workflow.path}: 'workflow_call' cannot be started by itself")
    configuration = workflow.on[event]
    if event == DISPATCH:
        return dispatch_inputs(workflow, inputs)
    if inputs:
        raise UserError(
            f"inputs are given, but only {DISPATCH} takes them, not '{event}'", hint=f"use --event {DISPATCH}"
        )
    _filter(workflow, event, configuration if isinstance(configuration, dict) else {}, facts)
    return {}


def split_event(text: str) -> tuple[str, str]:
    """`pull_request:closed` as event and activity type; '' where none is named. Raises UserError for a type that the event
    does not have."""
    from relevo.workflow.language_events import ACTIVITIES

    event, _, activity = text.partition(":")
    known = ACTIVITIES.get(event)
    if activity and known is not None and activity not in known:
        hint = did_you_mean(activity, known) if known else "leave it out"
        raise UserError(f"the event {event} has no activity type '{activity}'", hint=hint)
    return event, activity


def usual_activity(workflow: Workflow, event: str) -> str:
    """The activity type that is meant when an event is named without one; '' for events that have none."""
    from relevo.workflow.language_events import ACTIVITIES

    configuration = workflow.on.get(event)
    types = _texts(configuration.get("types")) if isinstance(configuration, dict) else []
    usual = _USUAL.get(event, ())
    if types:
        return next((one for one in usual if one in types), types[0])
    return next(iter((*usual, *ACTIVITIES.get(event, ()))), "")


def usual_event(workflow: Workflow, inputs: Mapping[str, str]) -> str:
    """The event that somebody means who starts a workflow by hand and names none.

    workflow_dispatch where the workflow has it (or inputs are given), else push, else pull_request, else its first. Raises
    UserError when it cannot be started by itself.
    """
    if inputs:
        return DISPATCH
    for event in (DISPATCH, "push", "pull_request", *workflow.on):
        if event in workflow.on and event != "workflow_call":
            return event
    raise UserError(
        f"{workflow.path} is only called by other workflows", hint=f"add `{DISPATCH}:` to its `on:`"
    )


def _filter(workflow: Workflow, event: str, configuration: dict[str, Any], facts: GitFacts) -> None:
    def refused(why: str) -> UserError:
        return UserError(f"{workflow.path} does not start: {why}", hint=f"see `on: {event}:` in the file")

    types = _texts(configuration.get("types"))
    if event in _PULL_REQUESTS:
        types = types or list(_DEFAULT_ACTIVITIES)
    if types and facts.activity and facts.activity not in types:
        raise refused(f"'{facts.activity}' is not among the types {', '.join(types)}")
    if event in ("push", "pull_request") and (word := _skips(facts.message)):
        raise refused(f"the message of the commit says {word}")
    if event == "push":
        on_tag = facts.ref.startswith(_TAG)
        filters = [name for name in configuration if name.partition("-")[0] in ("branches", "tags")]
        if not facts.ref and filters:
            raise refused(f"HEAD is at no branch and no tag, and it is filtered by {', '.join(filters)}")
        if on_tag:
            _filter_ref(configuration, "tags", "branches", facts.ref.removeprefix(_TAG), refused)
        else:
            _filter_ref(configuration, "branches", "tags", facts.ref.removeprefix(_BRANCH), refused)
        if on_tag:
            return  # paths are not looked at for tags
    elif event in _PULL_REQUESTS or event == "merge_group":
        _filter_ref(configuration, "branches", "", facts.base_branch, refused)
    elif event == "workflow_run":
        _filter_ref(configuration, "branches", "", facts.ref.removeprefix(_BRANCH), refused)
    _filter_paths(configuration, facts.changed_paths, refused)


def _skips(message: str) -> str:
    # what in a message says that nothing is to start; "" when nothing does
    found = next((word for word in _SKIPS if word in message), "")
    trailer = message.rstrip().rpartition("\n")[2].strip()
    return found or (trailer if trailer in _SKIP_TRAILERS else "")


def _filter_ref(configuration: dict[str, Any], kind: str, other: str, name: str, refused: Any) -> None:
    wanted = _texts(configuration.get(kind))
    ignored = _texts(configuration.get(f"{kind}-ignore"))
    if wanted and ignored:
        raise refused(f"`{kind}` and `{kind}-ignore` cannot stand together")
    what = {"branches": "branch", "tags": "tag"}[kind]
    if not wanted and not ignored:
        if other and (configuration.get(other) or configuration.get(f"{other}-ignore")):
            raise refused(f"it is filtered by {other} only, and '{name}' is a {what}")
        return
    if wanted and not selects(wanted, name):
        raise refused(f"the {what} '{name}' is none of {', '.join(wanted)}")
    if ignored and selects(ignored, name):
        raise refused(f"the {what} '{name}' is ignored by {', '.join(ignored)}")


def _filter_paths(configuration: dict[str, Any], changed: tuple[str, ...] | None, refused: Any) -> None:
    wanted = _texts(configuration.get("paths"))
    ignored = _texts(configuration.get("paths-ignore"))
    if wanted and ignored:
        raise refused("`paths` and `paths-ignore` cannot stand together")
    if changed is None:
        return
    if wanted and not any(selects(wanted, path) for path in changed):
        raise refused(f"no changed file is one of {', '.join(wanted)}" if changed else "no file is changed")
    if ignored and not changed:
        raise refused("no file is changed")
    if ignored and all(selects(ignored, path) for path in changed):
        raise refused(f"all changed files are ignored by {', '.join(ignored)}")


def _texts(value: Value) -> list[str]:
    if value is None:
        return []
    return [to_text(item) for item in value] if isinstance(value, list) else [to_text(value)]


def dispatch_inputs(workflow: Workflow, given: Mapping[str, str]) -> dict[str, Value]:
    """The inputs of workflow_dispatch: those given, typed, and the defaults of the others. Raises UserError."""
    configuration = workflow.on.get(DISPATCH)
    declared = (configuration or {}).get("inputs") or {} if isinstance(configuration, dict) else {}
    names = {name.lower(): name for name in declared}
    for name in given:
        if name.lower() not in names:
            hint = did_you_mean(name, declared) if declared else "it takes no inputs"
            raise UserError(f"{workflow.path} has no input '{name}'", hint=hint)
    texts = {names[name.lower()]: text for name, text in given.items()}
    values: dict[str, Value] = {}
    for name, definition in declared.items():
        definition = definition or {}
        if name in texts:
            values[name] = _typed(name, definition, texts[name])
        elif definition.get("required") and definition.get("default") is None:
            what = definition.get("description")
            raise UserError(
                f"{workflow.path} needs the input '{name}'" + (f" ({to_text(what)})" if what else ""),
                hint=f"give it with --input {name}=…",
            )
        else:
            values[name] = _default(definition)
    return values


def _typed(name: str, definition: dict[str, Any], text: str) -> Value:
    kind = definition.get("type") or "string"
    if kind == "boolean":
        if text.lower() not in ("true", "false"):
            raise UserError(f"the input '{name}' must be true or false, not '{text}'")
        return text.lower() == "true"
    if kind == "number":
        number = to_number(text) if text.strip() else math.nan
        if not math.isfinite(number):
            raise UserError(f"the input '{name}' must be a number, not '{text}'")
        return int(number) if number == int(number) else number
    if kind == "choice":
        options = _texts(definition.get("options"))
        if text not in options:
            raise UserError(f"the input '{name}' cannot be '{text}'", hint=f"one of: {', '.join(options)}")
    return text


def _default(definition: dict[str, Any]) -> Value:
    kind = definition.get("type") or "string"
    default = definition.get("default")
    if kind == "boolean":
        return default is True
    if kind == "number":
        return 0 if default is None else default
    if kind == "choice" and default is None:
        return _texts(definition.get("options"))[0]
    return to_text(default)
