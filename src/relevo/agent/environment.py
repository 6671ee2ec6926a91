"""The environment of steps: complete, and clean of whatever the agent itself was started with."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from relevo.workflow.expressions import Value, to_text

_KEPT: Final = frozenset(
    {
        "PATH",
        "HOME",
        "LANG",
        "LANGUAGE",
        "http_proxy",
        "https_proxy",
        "ftp_proxy",
        "all_proxy",
        "no_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "FTP_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "CURL_CA_BUNDLE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
        "REQUESTS_CA_BUNDLE",
    }
)
_DEFAULT_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

#: Members of the `github` context that are GITHUB_ variables too, the same for all steps of a run.
_GITHUB: Final = (
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "event_name",
    "graphql_url",
    "head_ref",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
)
_GITHUB_VARIABLES: Final = tuple((name, f"GITHUB_{name.upper()}") for name in _GITHUB)
_MACHINES: Final = {
    "x86_64": "X64",
    "amd64": "X64",
    "aarch64": "ARM64",
    "arm64": "ARM64",
    "i686": "X86",
    "armv7l": "ARM",
}
_ARCH: Final = _MACHINES.get(os.uname().machine, os.uname().machine.upper())


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """What steps get of the agent's own environment: PATH, HOME, locale, proxies and certificates."""
    found = {name: value for name, value in environment.items() if name in _KEPT or name.startswith("LC_")}
    if not found.get("PATH"):
        found["PATH"] = _DEFAULT_PATH
    return found


_last: tuple[Mapping[str, Value], dict[str, str]] = ({}, {})


def github_variables(github: Mapping[str, Value]) -> dict[str, str]:
    """GITHUB_ variables of a run, from its `github` context. Not to be changed: the jobs of a run share it."""
    global _last
    if github != _last[0]:
        found: dict[str, str] = {}
        for name, variable in _GITHUB_VARIABLES:
            value = github.get(name)
            if value is not None:
                found[variable] = to_text(value)
        _last = (github, found)
    return _last[1]


def runner_context(*, name: str, temp: str, tool_cache: str) -> dict[str, Value]:
    """The `runner` context."""
    return {
        "name": name,
        "os": "Linux",
        "arch": _ARCH,
        "temp": temp,
        "tool_cache": tool_cache,
        "environment": "self-hosted",
        "debug": "",
    }


def runner_variables(*, name: str, temp: str, tool_cache: str, workspace: str) -> dict[str, str]:
    """RUNNER_ variables. `workspace`: the folder that the attempt's workspace is in."""
    return {
        "RUNNER_NAME": name,
        "RUNNER_OS": "Linux",
        "RUNNER_ARCH": _ARCH,
        "RUNNER_TEMP": temp,
        "RUNNER_TOOL_CACHE": tool_cache,
        "RUNNER_WORKSPACE": workspace,
        "RUNNER_ENVIRONMENT": "self-hosted",
    }


def put_in_front(path: str, folders: list[str]) -> str:
    """A PATH with folders before it; the one that was added last comes first."""
    return ":".join([*reversed(folders), path]) if folders else path
