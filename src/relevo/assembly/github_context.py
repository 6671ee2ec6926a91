"""The `github` context of a run, in GitHub's shape, from what the working tree says of itself.

There is no GitHub behind it: `token` is empty, ids are derived from names, URLs point to where the remote lies. What
only the agent knows (workspace, job, action, the paths of command files) it adds itself.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from relevo.protocol.snapshot import CONTEXT_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping

    from relevo.assembly.git_facts import Commit, GitFacts
    from relevo.assembly.snapshot import Snapshot
    from relevo.orchestrator.api import Submission

_NO_COMMIT: Final = "0" * 40
_PULL_REQUESTS: Final = frozenset({"pull_request", "pull_request_target"})


def build(
    submission: Submission,
    facts: GitFacts,
    snapshot: Snapshot | None,
    *,
    run_id: str,
    run_number: str,
    run_attempt: int = 1,
    workflow_name: str | None = None,
    inputs: Mapping[str, Any] | None = None,
    activity: str = "",
) -> dict[str, Any]:
    """The context. `run_id` is `number_of` relevo's id of the run (of the first one, when it is a retry: GitHub keeps `run_id`, too),
    `inputs` what the workflow's `on:` made of the submission's, `activity` the event's activity type. Without a snapshot `sha` is HEAD's, or zeros.
    """
    repository = f"{facts.owner}/{facts.name}"
    sha = snapshot.commit if snapshot else (facts.head.sha if facts.head else _NO_COMMIT)
    server = _server_url(facts.remote_url)
    pull_request = submission.event in _PULL_REQUESTS
    context: dict[str, Any] = {
        "actor": facts.actor,
        "actor_id": _known_number(facts.actor),
        "api_url": "https://api.github.com" if server == "https://github.com" else f"{server}/api/v3",
        "base_ref": facts.default_branch if pull_request else "",
        "event": _event(
            submission, facts, sha, server, dict(inputs if inputs is not None else submission.inputs)
        ),
        "event_name": submission.event,
        "graphql_url": "https://api.github.com/graphql"
        if server == "https://github.com"
        else f"{server}/api/graphql",
        "head_ref": facts.ref_name if pull_request else "",
        "ref": facts.ref,
        "ref_name": facts.ref_name,
        "ref_protected": False,
        "ref_type": facts.ref_type,
        "repository": repository,
        "repository_id": _known_number(repository),
        "repository_owner": facts.owner,
        "repository_owner_id": _known_number(facts.owner),
        "repositoryUrl": facts.remote_url,
        "retention_days": "0",
        "run_attempt": str(run_attempt),
        "run_id": run_id,
        "run_number": run_number,
        "secret_source": "None",
        "server_url": server,
        "sha": sha,
        "token": "",
        "triggering_actor": facts.actor,
        "workflow": workflow_name or submission.workflow_path,
        "workflow_ref": f"{repository}/{submission.workflow_path}@{facts.ref}",
        "workflow_sha": sha,
    }
    if activity:
        context["event"]["action"] = activity
    if snapshot:
        context[CONTEXT_KEY] = snapshot.digest
    return context


def _event(
    submission: Submission, facts: GitFacts, sha: str, server: str, inputs: dict[str, Any]
) -> dict[str, Any]:
    """The payload of the event, as far as a working tree can tell it."""
    event: dict[str, Any] = {
        "repository": _repository(facts, server),
        "sender": {"login": facts.actor, "type": "User"},
    }
    kind = submission.event
    if kind == "push":
        event |= _push(facts, sha)
    elif kind in _PULL_REQUESTS:
        event |= _pull_request(facts, sha)
    elif kind == "workflow_dispatch":
        event |= {"inputs": inputs, "ref": facts.ref, "workflow": submission.workflow_path}
    elif kind == "schedule":
        event["schedule"] = ""
    elif kind == "release":
        tag = facts.tags[0] if facts.tags else ""
        release = {"tag_name": tag, "name": tag, "draft": False, "prerelease": False}
        event |= {"action": "published", "release": release}
    return event


def _repository(facts: GitFacts, server: str) -> dict[str, Any]:
    full_name = f"{facts.owner}/{facts.name}"
    return {
        "id": int(_known_number(full_name)),
        "name": facts.name,
        "full_name": full_name,
        "owner": {"login": facts.owner, "name": facts.owner},
        "html_url": f"{server}/{full_name}",
        "clone_url": facts.remote_url,
        "default_branch": facts.default_branch,
        "fork": False,
    }


def _push(facts: GitFacts, sha: str) -> dict[str, Any]:
    head = facts.head
    dirty = head is None or head.sha != sha
    before = (head.sha if dirty else next(iter(head.parents), _NO_COMMIT)) if head else _NO_COMMIT
    commit = _commit(head, sha) if head else None
    return {
        "ref": facts.ref,
        "before": before,
        "after": sha,
        "created": before == _NO_COMMIT,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": "",
        "commits": [commit] if commit else [],
        "head_commit": commit,
        "pusher": {"name": facts.actor, "email": facts.config.get("user.email", "")},
    }


def _commit(head: Commit, sha: str) -> dict[str, Any]:
    """HEAD, under the id that is checked out: its message is what people steer their workflows by."""
    return {
        "id": sha,
        "tree_id": head.tree,
        "message": head.message,
        "timestamp": head.timestamp,
        "author": {"name": head.author_name, "email": head.author_email},
        "committer": {"name": head.committer_name, "email": head.committer_email},
    }


def _pull_request(facts: GitFacts, sha: str) -> dict[str, Any]:
    title = facts.head.message.partition("\n")[0] if facts.head else ""
    full_name = f"{facts.owner}/{facts.name}"
    return {
        "action": "synchronize",
        "number": 0,
        "pull_request": {
            "number": 0,
            "title": title,
            "body": "",
            "draft": False,
            "merged": False,
            "labels": [],
            "user": {"login": facts.actor},
            "head": {"ref": facts.ref_name, "sha": sha, "repo": {"full_name": full_name, "fork": False}},
            "base": {"ref": facts.default_branch, "repo": {"full_name": full_name, "fork": False}},
        },
    }


def _server_url(remote_url: str) -> str:
    scheme, separator, rest = remote_url.partition("://")
    if separator and scheme != "file":
        host = rest.partition("/")[0].rpartition("@")[2]
        if not scheme.startswith("http"):
            return f"https://{host.partition(':')[0]}"  # the port of ssh is not the server's
        return f"{scheme}://{host}"
    if not separator and ":" in remote_url and "/" not in remote_url.partition(":")[0]:
        return f"https://{remote_url.partition(':')[0].rpartition('@')[2]}"
    return "https://localhost"


def number_of(name: str) -> str:
    """A number (decimal digits) that stands for a name: GitHub's ids are numbers, and steps rely on that."""
    import hashlib

    return str(int.from_bytes(hashlib.blake2b(name.encode("utf-8", "replace"), digest_size=6).digest()))


#: As `number_of`, for names that come again and again.
_known_number: Final = lru_cache(maxsize=256)(number_of)
