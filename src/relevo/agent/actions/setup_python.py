"""actions/setup-python: `python` and `pip` of the later steps are of the version asked for, from what the host has.

Nothing is downloaded: see `pythons.py` for where interpreters are looked for, and `python_environment.py` for why the
steps get an environment of their own.
"""

from __future__ import annotations

import os
from typing import Final

from relevo.agent.actions import caching, python_caches, python_environment, pythons, tools
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import choice, inside, warn_unknown
from relevo.agent.actions.pythons import Candidate, Python, PythonSpec
from relevo.agent.actions.version_specs import SpecInvalid

_KNOWN: Final = frozenset(
    {
        "python-version",
        "python-version-file",
        "cache",
        "architecture",
        "check-latest",
        "token",
        "cache-dependency-path",
        "update-environment",
        "allow-prereleases",
        "freethreaded",
        "pip-version",
        "pip-install",
    }
)


async def main(ctx: ActionContext) -> None:
    """Set the interpreter up. Outputs: `python-version`, `python-path`, `cache-hit`."""
    warn_unknown(ctx, _KNOWN)
    tools.check_architecture(ctx)
    manager = ctx.input("cache")
    if manager:
        choice(manager, "cache", python_caches.MANAGERS)
    found = await ctx.blocking(pythons.candidates, ctx.env, ctx.tool_cache)
    specs = await _asked_for(ctx)
    update = ctx.flag("update-environment", True)
    for spec in specs:
        python = await _choose(ctx, spec, found)
        executable = python.executable
        if update:
            executable = await _activate(ctx, python)
        ctx.log(f"Python {python.version} ({python.executable})")
        ctx.set_output("python-version", str(python.version))
        ctx.set_output("python-path", executable)
    ctx.set_output("cache-hit", "false")
    if manager:
        await python_caches.restore(ctx, manager, python, executable)


post: Final = caching.save_at_end


async def _asked_for(ctx: ActionContext) -> list[PythonSpec]:
    """The specs, in order; the last one is what `python` will be."""
    text, file = ctx.input("python-version"), ctx.input("python-version-file")
    if text and file:
        ctx.warn(
            "Both python-version and python-version-file inputs are specified, only python-version will be used."
        )
    if not text:
        name = file or ".python-version"
        path = inside(ctx.workspace, name, "python-version-file")
        try:
            text = await ctx.blocking(read_version_file, path)
        except FileNotFoundError:
            if file:
                raise ActionFailed(f"python-version-file: there is no {file} in the workspace") from None
            ctx.warn("Neither python-version nor python-version-file is given: the latest Python is taken")
            text = "3.x"
    prereleases = ctx.flag("allow-prereleases", False)
    free = ctx.flag("freethreaded", False)
    try:
        return [
            pythons.parse_spec(line, prereleases=prereleases, freethreaded=free)
            for line in text.splitlines()
            if line.strip()
        ]
    except SpecInvalid as error:
        raise ActionFailed(f"python-version: {error}") from error


def read_version_file(path: str) -> str:
    """The spec in a `.python-version`, `.tool-versions`, `pyproject.toml` or `Pipfile`. Blocking.

    Raises FileNotFoundError, and ActionFailed when the file tells none.
    """
    import re

    with open(path, encoding="utf-8") as file:
        text = file.read()
    name = os.path.basename(path)
    if name.endswith(".toml") or name == "Pipfile":
        spec = _from_toml(text, name)
    elif name == ".tool-versions":
        match = re.search(r"^\s*python\s+v?(\S+)", text, re.MULTILINE)
        spec = match[1] if match else ""
    else:
        lines = [line.partition("#")[0].strip() for line in text.splitlines()]
        spec = "\n".join(line for line in lines if line)
    if not spec:
        raise ActionFailed(f"python-version-file: {name} tells no version of Python")
    return spec


def _from_toml(text: str, name: str) -> str:
    import tomllib

    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ActionFailed(f"python-version-file: {name} is no TOML: {error}") from error
    project = data.get("project", {}).get("requires-python")
    poetry = data.get("tool", {}).get("poetry", {}).get("dependencies", {}).get("python")
    requires = data.get("requires", {})
    pipenv = requires.get("python_full_version") or requires.get("python_version")
    return _as_range(str(project or "")) or str(poetry or pipenv or "")


def _as_range(specifiers: str) -> str:
    """Python's own version specifiers as a range. Single versions that are left out (`!=3.9.7`) do not matter here."""
    parts = []
    for part in (item.strip().replace(" ", "") for item in specifiers.split(",")):
        if part.startswith("~="):
            base = part[2:]
            major = base.split(".")[0]
            parts.append(f"~{base}" if base.count(".") > 1 else f">={base} <{int(major) + 1}")
        elif part and not part.startswith("!="):
            parts.append(part.lstrip("=") if part.startswith("==") else part)
    return " ".join(parts)


async def _choose(ctx: ActionContext, spec: PythonSpec, found: list[Candidate]) -> Python:
    matching: list[Python] = await ctx.blocking(pythons.matching, spec, found)
    if matching:
        return matching[0]
    there: list[Python] = await ctx.blocking(pythons.known, found)
    listed = ", ".join(f"{python.version}{'t' if python.freethreaded else ''}" for python in there)
    hint = ""
    if spec.text in ("3.1", "3.2"):
        hint = f"; if you mean 3.{spec.text[2]}0, write it in quotes: '{spec.text}0'"
    raise ActionFailed(
        f"python-version: no Python {spec.text} on this host, it has {listed or 'none'}{hint}. Nothing is downloaded:"
        " install it (pyenv, uv, the distribution), or ask for one that is there"
    )


async def _activate(ctx: ActionContext, python: Python) -> str:
    """Make `python` and `pip` resolve to it in the steps that follow; returns the path of `python`."""
    location = os.path.join(ctx.temp, f"python-{python.version}-{os.urandom(4).hex()}")
    try:
        has_pip = await ctx.blocking(python_environment.make, python, location)
    except OSError as error:
        raise ActionFailed(
            f"the environment for Python {python.version} could not be made: {error}"
        ) from error
    executable = os.path.join(location, "bin", "python")
    await _install(ctx, executable, location, has_pip)
    for name in ("pythonLocation", "Python_ROOT_DIR", "Python2_ROOT_DIR", "Python3_ROOT_DIR"):
        ctx.set_env(name, location)
    ctx.set_env("PKG_CONFIG_PATH", os.path.join(python.prefix, "lib", "pkgconfig"))
    ctx.add_path(os.path.join(location, "bin"))
    return executable


async def _install(ctx: ActionContext, executable: str, location: str, has_pip: bool) -> None:
    version, packages = ctx.input("pip-version"), ctx.input("pip-install")
    if not has_pip:
        if version or packages:
            raise ActionFailed("pip-install: this Python has no pip, and brings no wheel of it")
        ctx.warn("This Python has no pip, and brings no wheel of it: steps will have none")
        return
    import shlex

    env = {**ctx.env, "PATH": f"{location}/bin:{ctx.env.get('PATH', os.defpath)}"}
    wanted = [["--upgrade", f"pip=={version}"]] if version else []
    wanted += [shlex.split(packages)] if packages else []
    for arguments in wanted:
        code = await ctx.run([executable, "-m", "pip", "install", *arguments], env=env)
        if code:
            raise ActionFailed(f"pip install {' '.join(arguments)} ended with {code}")
