"""What a call hands over and what it gives back: inputs and secrets on the way in, outputs on the way out.

Inputs are evaluated in the caller, typed as the called workflow declares them, and laid over its defaults. Outputs are
evaluated in the called workflow, once all its jobs have ended. Secrets are handed on one call after another: a job sees
those that every call on the way to it passes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from relevo.workflow import templates
from relevo.workflow.expressions import ExpressionError, Scope, Value, to_text
from relevo.workflow.model import JobNode, Workflow

CALL: Final = "workflow_call"
INHERIT: Final = "inherit"
#: The secret that every called workflow has, passed or not.
TOKEN: Final = "GITHUB_TOKEN"  # noqa: S105  # its name
_ABSENT: Final[dict[str, Value]] = {"boolean": False, "number": 0, "string": ""}


class NotHandedOver(Exception):
    """A value that cannot be handed over. `key`: below the calling job, where it stands; '' for a default."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def inputs_of(node: JobNode, called: Workflow, scope: Scope) -> dict[str, Value]:
    """The `inputs` that a call starts with. `scope` is that of the calling job's leg. Raises NotHandedOver."""
    given = {name.lower(): (name, value) for name, value in node.with_.items()}
    own = {name: scope.contexts.get(name) for name in ("github", "vars")}
    inputs: dict[str, Value] = {}
    for name, definition in _declared(called, "inputs").items():
        kind = definition["type"]
        if name.lower() in given:
            written, value = given[name.lower()]
            key, said = f"with.{written}", f"the input '{name}' of {node.uses}"
            seen = scope
        else:
            value = definition.get("default")
            key, said = "", f"the default of the input '{name}' of {called.path}"
            seen = Scope({**own, "inputs": inputs})
            if value is None:
                value = _ABSENT[kind]
        try:
            inputs[name] = _typed(said, kind, templates.evaluate(value, seen))
        except (ExpressionError, TypeError) as error:
            raise NotHandedOver(key, str(error)) from None
    return inputs


def _typed(said: str, kind: str, value: Value) -> Value:
    if kind == "boolean":
        if not isinstance(value, bool):
            raise TypeError(
                f"{said} must be true or false, not {_shown(value)}; fromJSON() makes a boolean of a text"
            )
    elif kind == "number":
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(
                f"{said} must be a number, not {_shown(value)}; fromJSON() makes a number of a text"
            )
    elif isinstance(value, (dict, list)):
        raise TypeError(f"{said} must be a text, not {_shown(value)}; toJSON() makes a text of it")
    else:
        return to_text(value)
    return value


def _shown(value: Value) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"'{to_text(value)[:60]}'" if value not in (None, "") else "an empty value"


def outputs_of(called: Workflow, contexts: dict[str, Value]) -> dict[str, str]:
    """What a call gives back. `contexts`: github, inputs and vars of the call, and `jobs`: {job: {result, outputs}}.

    Raises ExpressionError.
    """
    scope = Scope(contexts)
    outputs: dict[str, str] = {}
    for name, definition in _declared(called, "outputs").items():
        try:
            outputs[name] = templates.evaluate_text(definition.get("value"), scope)
        except ExpressionError as error:
            said = f"{called.path}: on.{CALL}.outputs.{name}: {error}"
            raise ExpressionError(said, stage=error.stage, source=error.source) from None
    return outputs


def secrets_of(node: JobNode, secrets: Mapping[str, str], contexts: dict[str, Value]) -> dict[str, str]:
    """The secrets that a call passes on, of those that the calling workflow has. `contexts` are those of the calling
    job's leg. Raises NotHandedOver, which tells no value."""
    if node.secrets == INHERIT:
        return dict(secrets)
    kept = {name: value for name, value in secrets.items() if name.upper() == TOKEN}
    scope = Scope({**contexts, "secrets": dict(secrets)})
    for name, value in (node.secrets or {}).items():
        try:
            kept[name] = templates.evaluate_text(value, scope)
        except ExpressionError:
            raise NotHandedOver(f"secrets.{name}", "its expression cannot be evaluated") from None
    return kept


def _declared(called: Workflow, what: str) -> dict[str, Any]:
    configuration = called.on.get(CALL)
    return (configuration.get(what) or {}) if isinstance(configuration, dict) else {}
