"""The syntax of an action's file (`action.yml`) as data, in the shapes that `language.py` uses for workflows.

Source: GitHub's metadata syntax reference and its schema (actions/languageservices, action-v1.0).
"""

from __future__ import annotations

from typing import Final

from relevo.workflow import names
from relevo.workflow.grammar import Anything, Condition, Fields, Flag, Items, OneOf, Shape, Text
from relevo.workflow.language import STATUS, STEP_OWN

OUTPUT: Final = ("github", "strategy", "matrix", "steps", "inputs", "job", "runner", "env")
INNER_STEP: Final = (*OUTPUT, "hashfiles")
INNER_IF: Final = (*INNER_STEP, *STATUS)
DEFAULT: Final = ("github", "strategy", "matrix", "job", "runner", "hashfiles")

_FILLED: Final = Text(filled=True)
_INPUT: Final = Fields(
    "an input",
    {
        "description": Text(),
        "required": Flag(),
        "default": Text(names=DEFAULT),
        "deprecationMessage": Text(),
    },
    others=Anything(),
)
_OUTPUT: Final = Fields("an output", {"description": Text(), "value": Text(names=OUTPUT)})

# --- inner steps ----------------------------------------------------------------------------------------------

_COMMON: Final[dict[str, Shape]] = {
    "name": Text(names=INNER_STEP),
    "id": Text(filled=True, rule=names.step_id, says="an id"),
    "if": Condition(names=INNER_IF),
    "env": Fields("env", others=Text(), names=INNER_STEP, key_expressions=True),
    "continue-on-error": Flag(names=INNER_STEP),
    "relevo": STEP_OWN,
}
_RUN_STEP: Final = Fields(
    "a step with `run`",
    {
        "run": Text(names=INNER_STEP, says="a script"),
        "shell": Text(filled=True, names=INNER_STEP, says="a shell"),
        "working-directory": Text(names=INNER_STEP),
        **_COMMON,
    },
    required=("run", "shell"),
)
_USES_STEP: Final = Fields(
    "a step with `uses`",
    {
        "uses": Text(filled=True, rule=names.action, says="an action"),
        "with": Fields("with", others=Text(), names=INNER_STEP, key_expressions=True),
        **_COMMON,
    },
    required=("uses",),
)

# --- the file -------------------------------------------------------------------------------------------------

_USING: Final = Text(filled=True, rule=names.runs_using, says="what the action is made of")
_RUNS: Final = OneOf(
    (
        Fields(
            "`runs`",
            {"using": _USING, "steps": Items(OneOf((_USES_STEP, _RUN_STEP)))},
            required=("steps", "using"),
        ),
        Fields(
            "`runs` of a JavaScript action",
            {
                "using": _USING,
                **dict.fromkeys(("main", "pre", "pre-if", "post", "post-if"), _FILLED),
            },
            required=("main", "using"),
        ),
        Fields(
            "`runs` of a container action",
            {
                "using": _USING,
                **dict.fromkeys(
                    ("image", "entrypoint", "pre-entrypoint", "pre-if", "post-entrypoint", "post-if"),
                    _FILLED,
                ),
                "args": Items(Text(names=("inputs",))),
                "env": Fields("env", others=Text(), names=("inputs",)),
            },
            required=("image", "using"),
        ),
    )
)
#: Other keys (`author`, `branding` …) are for GitHub's marketplace.
ACTION: Final = Fields(
    "an action",
    {
        "name": Text(),
        "description": Text(),
        "inputs": Fields("inputs", others=_INPUT),
        "outputs": Fields("outputs", others=_OUTPUT),
        "runs": _RUNS,
    },
    required=("runs",),
    others=Anything(),
)
