"""The events of `on:`, their filters and activity types."""

from __future__ import annotations

from typing import Final

from relevo.workflow import cron
from relevo.workflow.grammar import Fields, Flag, Items, Nothing, OneOf, Shape, Text
from relevo.workflow.names import identifier

_CREATED: Final = ("created", "edited", "deleted")
_PULL_REQUEST: Final = (
    *(
        "assigned",
        "unassigned",
        "labeled",
        "unlabeled",
        "opened",
        "edited",
        "closed",
        "reopened",
        "synchronize",
    ),
    *("converted_to_draft", "locked", "unlocked", "enqueued", "dequeued", "milestoned", "demilestoned"),
    *("ready_for_review", "review_requested", "review_request_removed", "auto_merge_enabled"),
    *("auto_merge_disabled", "stacked"),
)
_ISSUES: Final = (
    *("opened", "edited", "deleted", "transferred", "pinned", "unpinned", "closed", "reopened", "assigned"),
    *(
        "unassigned",
        "labeled",
        "unlabeled",
        "locked",
        "unlocked",
        "milestoned",
        "demilestoned",
        "typed",
        "untyped",
    ),
    *("field_added", "field_removed"),
)
_DISCUSSION: Final = (
    *("created", "edited", "deleted", "transferred", "pinned", "unpinned", "labeled", "unlabeled", "locked"),
    *("unlocked", "category_changed", "answered", "unanswered"),
)
_RELEASE: Final = ("published", "unpublished", "created", "edited", "deleted", "prereleased", "released")

#: Activity types by event. The defaults of pull_request and pull_request_target are opened, synchronize, reopened.
ACTIVITIES: Final[dict[str, tuple[str, ...]]] = {
    "branch_protection_rule": _CREATED,
    "check_run": ("completed", "created", "rerequested", "requested_action"),
    "check_suite": ("completed", "requested", "rerequested"),
    "create": (),
    "delete": (),
    "deployment": (),
    "deployment_status": (),
    "discussion": _DISCUSSION,
    "discussion_comment": _CREATED,
    "fork": (),
    "gollum": (),
    "image_version": ("created", "ready", "deleted"),
    "issue_comment": _CREATED,
    "issues": _ISSUES,
    "label": _CREATED,
    "merge_group": ("checks_requested", "destroyed"),
    "milestone": ("created", "closed", "opened", "edited", "deleted"),
    "page_build": (),
    "project": ("created", "closed", "reopened", "edited", "deleted"),
    "project_card": ("created", "moved", "converted", "edited", "deleted"),
    "project_column": ("created", "updated", "moved", "deleted"),
    "public": (),
    "pull_request": _PULL_REQUEST,
    "pull_request_comment": _CREATED,
    "pull_request_review": ("submitted", "edited", "dismissed"),
    "pull_request_review_comment": _CREATED,
    "pull_request_target": _PULL_REQUEST,
    "push": (),
    "registry_package": ("published", "updated"),
    "release": _RELEASE,
    "status": (),
    "watch": ("started",),
    "workflow_run": ("requested", "completed", "in_progress"),
}

_PATTERNS: Final = Items(Text(filled=True, says="a pattern"), single=True)
_BRANCHES: Final = {"branches": _PATTERNS, "branches-ignore": _PATTERNS}
_TAGS: Final = {"tags": _PATTERNS, "tags-ignore": _PATTERNS}
_PATHS: Final = {"paths": _PATTERNS, "paths-ignore": _PATTERNS}
_FILTERS: Final[dict[str, dict[str, Shape]]] = {
    "push": {**_BRANCHES, **_TAGS, **_PATHS},
    "pull_request": {**_BRANCHES, **_PATHS},
    "pull_request_target": {**_BRANCHES, **_PATHS},
    "merge_group": dict(_BRANCHES),
    "workflow_run": {**_BRANCHES, "workflows": _PATTERNS},
    "image_version": {"names": _PATTERNS, "versions": _PATTERNS},
}


def _event(name: str, activities: tuple[str, ...]) -> Shape:
    fields = dict(_FILTERS.get(name, {}))
    if activities:
        fields["types"] = Items(Text(choices=activities, says="an activity type"), single=True)
    return OneOf((Nothing(), Fields(f"the event {name}", fields))) if fields else Nothing()


_WORKFLOW_INPUT_NAMES: Final = ("github", "inputs", "vars")
DISPATCH_INPUT: Final = Fields(
    "an input",
    {
        "description": Text(),
        "deprecationMessage": Text(),
        "type": Text(choices=("string", "boolean", "number", "choice", "environment"), says="a type"),
        "required": Flag(),
        "default": Text(),
        "options": Items(Text()),
    },
)
CALL_INPUT: Final = Fields(
    "an input",
    {
        "type": Text(choices=("string", "boolean", "number"), says="a type"),
        "description": Text(),
        "deprecationMessage": Text(),
        "required": Flag(),
        "default": Text(names=_WORKFLOW_INPUT_NAMES),
    },
    required=("type",),
)
_CALL_SECRET: Final = Fields("a secret", {"description": Text(), "required": Flag()})
_CALL_OUTPUT: Final = Fields(
    "an output",
    {"description": Text(), "value": Text(names=("github", "inputs", "vars", "jobs"))},
    required=("value",),
)


def _named(what: str, shape: Shape) -> Shape:
    return OneOf((Nothing(), Fields(what, others=shape, key_rule=identifier)))


_SPECIAL: Final[dict[str, Shape]] = {
    "repository_dispatch": OneOf(
        (
            Nothing(),
            Fields("the event repository_dispatch", {"types": Items(Text(filled=True), single=True)}),
        )
    ),
    "schedule": Items(
        Fields(
            "a schedule",
            {
                "cron": Text(filled=True, rule=cron.problem, says="a cron expression"),
                "timezone": Text(filled=True),
            },
            required=("cron",),
        )
    ),
    "workflow_call": OneOf(
        (
            Nothing(),
            Fields(
                "the event workflow_call",
                {
                    "inputs": _named("inputs", CALL_INPUT),
                    "secrets": _named("secrets", OneOf((Nothing(), _CALL_SECRET))),
                    "outputs": _named("outputs", _CALL_OUTPUT),
                },
            ),
        )
    ),
    "workflow_dispatch": OneOf(
        (
            Nothing(),
            Fields(
                "the event workflow_dispatch",
                {"inputs": _named("inputs", OneOf((Nothing(), DISPATCH_INPUT)))},
            ),
        )
    ),
}

EVENTS: Final[dict[str, Shape]] = {
    **{name: _event(name, activities) for name, activities in ACTIVITIES.items()},
    **_SPECIAL,
}
_NAME: Final = Text(choices=tuple(EVENTS), says="an event")
ON: Final[Shape] = OneOf((Items(_NAME, single=True), Fields("`on`", EVENTS, filled=True)))
