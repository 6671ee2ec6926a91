"""Rules for names and references: each says what is wrong with a text, or None."""

from __future__ import annotations

import re
from typing import Final

_LONGEST: Final = 99
#: As regular expressions that Python and ECMAScript read alike; they are part of the JSON Schema.
IDENTIFIER: Final = rf"^[A-Za-z_][A-Za-z0-9_-]{{0,{_LONGEST - 1}}}$"
ACTION: Final = r"^(docker://|\./|\.\\)|^[^@/\\]+[/\\][^@/\\][^@]*@[^@]+$"
LOCAL_WORKFLOW: Final = r"^\./[^\0]+\.ya?ml$"
REMOTE_WORKFLOW: Final = r"^[^/@\s]+/[^/@\s]+/[^@\s]+\.ya?ml@[^\s]+$"
#: `runs.using` of actions.
COMPOSITE: Final = "composite"
USING: Final = r"^(?:[Cc][Oo][Mm][Pp][Oo][Ss][Ii][Tt][Ee]|[Dd][Oo][Cc][Kk][Ee][Rr]|[Nn][Oo][Dd][Ee][0-9]+)$"
_LONGEST_GROUP: Final = 400
#: A label, taint, pool or zone: what expressions over labels can name.
_LABEL: Final = re.compile(r"[^\s&|!(),]{1,100}\Z")
_LONGEST_KEY: Final = 200
_IMAGE_VERSION: Final = re.compile(r"(?:[0-9]+\.\*|\*)\Z")
_IDENTIFIER: Final = re.compile(f"{IDENTIFIER[:-1]}\\Z")
_USING: Final = re.compile(f"{USING[:-1]}\\Z")
_ACTION: Final = re.compile(ACTION, re.DOTALL)
_LOCAL_WORKFLOW: Final = re.compile(f"{LOCAL_WORKFLOW[:-1]}\\Z")
_REMOTE_WORKFLOW: Final = re.compile(f"{REMOTE_WORKFLOW[:-1]}\\Z")


def identifier(text: str) -> str | None:
    """Ids of jobs, steps, inputs, outputs."""
    if _IDENTIFIER.match(text):
        return None
    return (
        f"'{text}' is no valid id: it must begin with a letter or _, hold only letters, digits, - and _, "
        f"and be shorter than {_LONGEST + 1} characters"
    )


def label(text: str) -> str | None:
    """Labels, taints, pools and zones."""
    if _LABEL.match(text):
        return None
    return f"'{text[:100]}' is no name of a label, taint, pool or zone: at most 100 characters, without spaces and & | ! ( ) ,"


def placement_key(text: str) -> str | None:
    """Keys of jobs that are placed near each other, or apart."""
    return None if len(text) <= _LONGEST_KEY else f"a key may have {_LONGEST_KEY} characters"


def step_id(text: str) -> str | None:
    """Ids of steps; those that begin with two underscores are the engine's own."""
    if text.startswith("__"):
        return f"'{text}' is no valid id: ids that begin with __ are reserved"
    return identifier(text)


def action(text: str) -> str | None:
    """`uses:` of a step."""
    if _ACTION.match(text):
        return None
    return f"'{text}' is no action: write owner/repository@ref, ./path or docker://image"


def is_local(uses: str | None) -> bool:
    """Whether a step's `uses:` names a folder of the tree, not an action of elsewhere."""
    return uses is not None and uses.startswith("./")


def runs_using(text: str) -> str | None:
    """`runs.using` of an action, whether it can run here or not."""
    if _USING.match(text):
        return None
    return f"'{text}' is nothing that an action is made of: write composite (or node20, docker)"


def reusable_workflow(text: str) -> str | None:
    """`uses:` of a job."""
    if _LOCAL_WORKFLOW.match(text) or _REMOTE_WORKFLOW.match(text):
        return None
    return (
        f"'{text}' is no reusable workflow: write ./.github/workflows/name.yml "
        "or owner/repository/.github/workflows/name.yml@ref"
    )


def container(text: str) -> str | None:
    """An image, as `container:` or `image:` names it."""
    if text.removeprefix("docker://").strip() or not text:
        return None
    return "a container needs an image: write docker://image or just image"


def image_version(text: str) -> str | None:
    """`version:` of a snapshot: a major version and a wildcard."""
    return None if _IMAGE_VERSION.match(text) else f"'{text}' is no version of an image: write 2.* or *"


def concurrency_group(text: str) -> str | None:
    """`group:` of `concurrency:`."""
    if len(text) <= _LONGEST_GROUP:
        return None
    return f"the name of a concurrency group may have {_LONGEST_GROUP} characters, this one has {len(text)}"
