"""The workflow syntax as data: which keys stand where, what they hold, and which contexts expressions in them may use.

Source: GitHub's workflow syntax reference and its schema (actions/languageservices, workflow-v1.0).
"""

from __future__ import annotations

from typing import Final

from relevo.workflow import names
from relevo.workflow.grammar import (
    Anything,
    Condition,
    Fields,
    Flag,
    Items,
    Nothing,
    Number,
    OneOf,
    Shape,
    Text,
)
from relevo.workflow.language_events import ON

# --- which contexts are available where ---------------------------------------------------------------------

RUN: Final = ("github", "inputs", "vars")
NEEDS: Final = (*RUN, "needs")
LEG: Final = (*NEEDS, "strategy", "matrix")
RUNNER: Final = (*LEG, "secrets", "steps", "job", "runner", "env")
STEP: Final = (*RUNNER, "hashfiles")
STATUS: Final = ("always", "failure", "cancelled", "success")
STEP_IF: Final = (*LEG, "steps", "job", "runner", "env", *STATUS, "hashfiles")

# --- relevo's own keys, all under `relevo:` -------------------------------------------------------------------

_RESOURCES: Final = Fields(
    "resources",
    {
        "cpu": Text(says="a number of processors"),
        "memory": Text(says="an amount of memory"),
        "disk": Text(says="an amount of disk"),
        "gpu": Text(says="a number"),
    },
    others=Text(says="a number"),
    key_rule=names.identifier,
)
_RETRY: Final = Fields(
    "retry",
    {
        "max": Number(least=0, whole=True),
        "on": Items(Text(says="`infra` or an exit code"), single=True),
        "backoff": Text(says="a time"),
    },
)
_LABELS: Final = Text(filled=True, says="an expression over labels")
_KEY: Final = Text(filled=True, rule=names.placement_key, says="a key")
_PLACEMENT: Final[dict[str, Shape]] = {
    "where": _LABELS,
    "prefers": _LABELS,
    "tolerates": Items(Text(filled=True, rule=names.label, says="a taint"), single=True),
    "near": _KEY,
    "apart": OneOf(
        (
            Fields(
                "apart",
                {"key": _KEY, "over": Text(choices=("node", "pool", "zone"), says="a place")},
                required=("key",),
            ),
            _KEY,
        )
    ),
}
_JOB_OWN: Final = Fields(
    "`relevo`",
    {
        "resources": _RESOURCES,
        "priority": Number(whole=True),
        "retry": _RETRY,
        "preemptible": Flag(),
        "deadline": Text(says="a time"),
        **_PLACEMENT,
    },
)
STEP_OWN: Final = Fields("`relevo` of a step", {"idempotent": Flag()})

# --- parts that several places share --------------------------------------------------------------------------

_FILLED: Final = Text(filled=True)
_GROUP: Final = Text(filled=True, rule=names.concurrency_group)
_IMAGE: Final = Text(rule=names.container)
_LEVELS: Final = Text(choices=("read", "write", "none"), says="a permission")
_CACHE_MODE: Final = Text(choices=("read", "write", "write-only", "none"), says="a cache mode")
_READ_OR_NONE: Final = Text(choices=("read", "none"), says="a permission")
_WRITE_OR_NONE: Final = Text(choices=("write", "none"), says="a permission")
PERMISSION_SCOPES: Final[dict[str, Shape]] = {
    **dict.fromkeys(
        (
            *(
                "actions",
                "artifact-metadata",
                "attestations",
                "checks",
                "contents",
                "deployments",
                "discussions",
            ),
            *(
                "issues",
                "packages",
                "pages",
                "pull-requests",
                "repository-projects",
                "security-events",
                "statuses",
            ),
        ),
        _LEVELS,
    ),
    "models": _READ_OR_NONE,
    "vulnerability-alerts": _READ_OR_NONE,
    "id-token": _WRITE_OR_NONE,
    "copilot-requests": _WRITE_OR_NONE,
}
_PERMISSIONS: Final = OneOf(
    (
        Fields("permissions", PERMISSION_SCOPES),
        Text(choices=("read-all", "write-all"), says="a set of permissions"),
    )
)


def _env(*allowed: str) -> Shape:
    return Fields("env", others=Text(), names=allowed, key_expressions=True)


def _concurrency(*allowed: str) -> Shape:
    return OneOf(
        (
            Fields(
                "concurrency",
                {
                    "group": _GROUP,
                    "cancel-in-progress": Flag(),
                    "queue": Text(choices=("single", "max"), says="a queue mode"),
                },
                required=("group",),
            ),
            _GROUP,
        ),
        allowed,
    )


def _defaults(*allowed: str) -> Shape:
    return Fields(
        "defaults",
        {"run": Fields("defaults.run", {"shell": _FILLED, "working-directory": _FILLED}, names=allowed)},
    )


_CREDENTIALS: Final = Fields(
    "credentials", {"username": _FILLED, "password": _FILLED}, names=(*RUN, "secrets", "env")
)
_CONTAINER_FIELDS: Final[dict[str, Shape]] = {
    "image": _IMAGE,
    "options": Text(),
    "env": _env(*RUNNER),
    "ports": Items(_FILLED),
    "volumes": Items(_FILLED),
    "credentials": _CREDENTIALS,
}
_CONTAINER: Final = OneOf((Fields("container", _CONTAINER_FIELDS, required=("image",)), _IMAGE), LEG)
_SERVICE: Final = OneOf(
    (
        Fields(
            "a service",
            {**_CONTAINER_FIELDS, "entrypoint": Text(), "command": Text()},
            required=("image",),
        ),
        _IMAGE,
    ),
    LEG,
)

# --- steps ----------------------------------------------------------------------------------------------------

_STEP_COMMON: Final[dict[str, Shape]] = {
    "name": Text(names=STEP),
    "id": Text(filled=True, rule=names.step_id, says="an id"),
    "continue-on-error": Flag(names=STEP),
    "relevo": STEP_OWN,
}
_STEP_RUNS: Final[dict[str, Shape]] = {
    **_STEP_COMMON,
    "if": Condition(names=STEP_IF),
    "timeout-minutes": Number(names=STEP),
    "env": _env(*STEP),
    "background": Flag(),
}
_RUN_STEP: Final = Fields(
    "a step with `run`",
    {
        "run": Text(names=STEP, says="a script"),
        **_STEP_RUNS,
        "working-directory": Text(names=STEP),
        "shell": _FILLED,
    },
    required=("run",),
)
_USES_STEP: Final = Fields(
    "a step with `uses`",
    {
        "uses": Text(filled=True, rule=names.action, says="an action"),
        **_STEP_RUNS,
        "with": Fields("with", others=Text(), names=STEP, key_expressions=True),
    },
    required=("uses",),
)
_TARGET: Final = Text(filled=True, says="the id of a step")
_WAIT_STEP: Final = Fields(
    "a step with `wait`", {"wait": Items(_TARGET, single=True), **_STEP_COMMON}, required=("wait",)
)
_WAIT_ALL_STEP: Final = Fields(
    "a step with `wait-all`",
    {"wait-all": OneOf((Nothing(), Flag())), **_STEP_COMMON},
    required=("wait-all",),
)
_CANCEL_STEP: Final = Fields(
    "a step with `cancel`", {"cancel": _TARGET, **_STEP_COMMON}, required=("cancel",)
)
_PARALLEL_STEP: Final = Fields(
    "a step with `parallel`",
    {"parallel": Items(OneOf((_USES_STEP, _RUN_STEP))), **_STEP_COMMON},
    required=("parallel",),
)
STEP_SHAPE: Final = OneOf((_USES_STEP, _RUN_STEP, _WAIT_STEP, _WAIT_ALL_STEP, _CANCEL_STEP, _PARALLEL_STEP))

# --- jobs -----------------------------------------------------------------------------------------------------

_COMBINATIONS: Final = Items(Fields("a matrix combination", others=Anything()))
_STRATEGY: Final = Fields(
    "strategy",
    {
        "fail-fast": Flag(),
        "max-parallel": Number(least=1),
        "matrix": Fields(
            "matrix",
            {"include": _COMBINATIONS, "exclude": _COMBINATIONS},
            others=Items(Anything()),
        ),
    },
    names=NEEDS,
)
_RUNS_ON: Final = OneOf(
    (
        Items(_FILLED),
        Fields("runs-on", {"group": _FILLED, "labels": Items(_FILLED, single=True)}),
        _FILLED,
    ),
    LEG,
)
_ENVIRONMENT: Final = OneOf(
    (
        Fields(
            "environment",
            {
                "name": Text(),
                "url": Text(names=tuple(name for name in RUNNER if name != "secrets")),
                "deployment": Flag(),
            },
            required=("name",),
        ),
        Text(),
    ),
    LEG,
)
_SNAPSHOT: Final = OneOf(
    (
        Fields(
            "snapshot",
            {
                "image-name": _FILLED,
                "version": Text(filled=True, rule=names.image_version),
                "if": Condition(names=LEG),
            },
            required=("image-name",),
        ),
        _FILLED,
    )
)
_JOB_COMMON: Final[dict[str, Shape]] = {
    "name": Text(names=LEG),
    "needs": Items(_FILLED, single=True),
    "if": Condition(names=(*NEEDS, *STATUS)),
    "permissions": _PERMISSIONS,
    "concurrency": _concurrency(*LEG),
    "strategy": _STRATEGY,
    "cache-mode": _CACHE_MODE,
    "relevo": _JOB_OWN,
}
_JOB: Final = Fields(
    "a job",
    {
        "runs-on": _RUNS_ON,
        **_JOB_COMMON,
        "timeout-minutes": Number(names=LEG),
        "cancel-timeout-minutes": Number(names=LEG),
        "continue-on-error": Flag(names=LEG),
        "container": _CONTAINER,
        "services": Fields("services", others=_SERVICE, names=LEG),
        "env": _env(*LEG, "secrets"),
        "environment": _ENVIRONMENT,
        "outputs": Fields("outputs", others=Text(names=RUNNER)),
        "defaults": _defaults(*LEG, "env"),
        "steps": Items(STEP_SHAPE),
        "snapshot": _SNAPSHOT,
    },
    required=("runs-on",),
)
_SCALAR: Final = Text(names=LEG)
_CALLING_JOB: Final = Fields(
    "a job with `uses`",
    {
        "uses": Text(filled=True, rule=names.reusable_workflow, names=LEG, says="a workflow"),
        **_JOB_COMMON,
        "with": Fields("with", others=_SCALAR),
        "secrets": OneOf(
            (
                Fields("secrets", others=Text(names=(*LEG, "secrets"))),
                Text(choices=("inherit",), says="a way to hand secrets over"),
            )
        ),
    },
    required=("uses",),
)
JOBS: Final = Fields("jobs", others=OneOf((_CALLING_JOB, _JOB)), key_rule=names.identifier, filled=True)

# --- the file -------------------------------------------------------------------------------------------------

WORKFLOW: Final = Fields(
    "a workflow",
    {
        "on": ON,
        "name": Text(),
        "description": Text(),
        "run-name": Text(names=RUN),
        "defaults": _defaults(),
        "env": _env(*RUN, "secrets"),
        "permissions": _PERMISSIONS,
        "cache-mode": _CACHE_MODE,
        "concurrency": _concurrency(*RUN),
        "jobs": JOBS,
        "relevo": _JOB_OWN,
    },
    required=("on", "jobs"),
)
