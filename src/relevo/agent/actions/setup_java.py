"""actions/setup-java: `java` of the later steps is of the version asked for, from what the host has. Nothing is downloaded."""

from __future__ import annotations

import os
import re
from typing import Final

from relevo.agent.actions import caching, javas, package_caches, tools
from relevo.agent.actions.contract import ActionContext, ActionFailed
from relevo.agent.actions.inputs import choice, inside, refuse, warn_unknown
from relevo.agent.actions.javas import Java
from relevo.agent.actions.version_specs import SpecInvalid

_SETTINGS: Final = "the host's own ~/.m2 is not written to; write a settings file in a `run:` step, and name it with `mvn -s`"
_REFUSED: Final = {
    "jdkfile": "a JDK from a file is not installed; unpack it in a `run:` step and set JAVA_HOME",
    **dict.fromkeys(("server-id", "server-username", "server-password"), _SETTINGS),
    **dict.fromkeys(
        ("gpg-private-key", "gpg-passphrase"), "keys are not imported; call `gpg --import` in a `run:` step"
    ),
}
_KNOWN: Final = frozenset(
    {
        *_REFUSED,
        "architecture",
        "cache",
        "cache-dependency-path",
        "check-latest",
        "distribution",
        "java-package",
        "java-version",
        "java-version-file",
        "job-status",
        "mvn-toolchain-id",
        "mvn-toolchain-vendor",
        "overwrite-settings",
        "settings-path",
        "token",
    }
)
#: The suffixes of SDKMAN's versions.
_SDKMAN: Final = {
    "tem": "temurin",
    "zulu": "zulu",
    "amzn": "corretto",
    "ms": "microsoft",
    "librca": "liberica",
    "sapmchn": "sapmachine",
    "oracle": "oracle",
    "open": "openjdk",
    "sem": "semeru",
    "jbr": "jetbrains",
    "graal": "graalvm",
    "graalce": "graalvm-community",
    "albba": "dragonwell",
    "kona": "kona",
}
#: Build tool → what is kept, and the files that tell what it fetches. Source: setup-java, src/cache.ts.
_TOOLS: Final = {
    "maven": (("~/.m2/repository",), ("**/pom.xml",)),
    "gradle": (
        ("~/.gradle/caches", "~/.gradle/wrapper"),
        (
            "**/*.gradle*",
            "**/gradle-wrapper.properties",
            "buildSrc/**/Versions.kt",
            "buildSrc/**/Dependencies.kt",
            "gradle/*.versions.toml",
            "**/versions.properties",
        ),
    ),
    "sbt": (
        ("~/.ivy2/cache", "~/.sbt", "~/.cache/coursier", "!~/.sbt/*.lock", "!~/**/ivydata-*.properties"),
        ("**/*.sbt", "**/project/build.properties", "**/project/**.scala", "**/project/**.sbt"),
    ),
}


async def main(ctx: ActionContext) -> None:
    """Set Java up; of several versions the last one is the default. Outputs: `distribution`, `version`, `path`, `cache-hit`."""
    warn_unknown(ctx, _KNOWN)
    refuse(ctx, _REFUSED)
    tools.check_architecture(ctx)
    manager = ctx.input("cache")
    if manager:
        choice(manager, "cache", _TOOLS)
    versions, distribution = await _asked_for(ctx)
    if not distribution:
        raise ActionFailed("distribution: is required; temurin is what most workflows name")
    choice(distribution, "distribution", javas.DISTRIBUTIONS)
    package = ctx.input("java-package", "jdk").lower()
    if package not in ("jdk", "jre"):
        raise ActionFailed(f"java-package: {package} is not told apart here; ask for jdk or jre")
    found: list[Java] = await ctx.blocking(javas.candidates, ctx.env, ctx.tool_cache)
    for version in versions:
        _activate(ctx, _choose(ctx, version, distribution, package, found))
    if manager:
        paths, files = _TOOLS[manager]
        stem = f"setup-java-{package_caches.platform()}-{manager}"
        await package_caches.restore(ctx, stem, paths, files)


post: Final = caching.save_at_end


async def _asked_for(ctx: ActionContext) -> tuple[list[str], str]:
    """The versions in their order, and the distribution."""
    versions = [line.strip() for line in ctx.input("java-version").splitlines() if line.strip()]
    file, distribution = ctx.input("java-version-file"), ctx.input("distribution").lower()
    if versions:
        if file:
            ctx.warn(
                "Both java-version and java-version-file inputs are specified, only java-version will be used"
            )
        return versions, distribution
    if not file:
        raise ActionFailed("java-version: is required, or java-version-file")
    path = inside(ctx.workspace, file, "java-version-file")
    try:
        version, named = await ctx.blocking(read_version_file, path)
    except FileNotFoundError:
        raise ActionFailed(f"java-version-file: there is no {file} in the workspace") from None
    if not version:
        raise ActionFailed(f"java-version-file: {file} tells no version of Java")
    ctx.log(f"{file} asks for Java {version}")
    return [version], distribution or named


def read_version_file(path: str) -> tuple[str, str]:
    """Version and distribution in a `.java-version`, `.tool-versions` or `.sdkmanrc`; "" for what it does not tell. Blocking.

    Raises FileNotFoundError.
    """
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    name = os.path.basename(path)
    if name == ".sdkmanrc":
        match = re.search(r"^java\s*=\s*(\d[\d.]*\d|\d)(?:[.\-](?:\w+-)?([a-z]+))?\s*$", text, re.MULTILINE)
        return (match[1], _SDKMAN.get(match[2] or "", "")) if match else ("", "")
    before = r"^java\s+" if name == ".tool-versions" else r"^\s*"
    match = re.search(
        before + r"(?:([a-z]+)[a-z0-9\-]*?-)?v?(\d[\d.]*(?:\+\d+)?(?:-ea)?)", text, re.MULTILINE
    )
    if match is None:
        return "", ""
    return match[2], match[1] if match[1] in javas.DISTRIBUTIONS else ""


def _choose(ctx: ActionContext, version: str, distribution: str, package: str, found: list[Java]) -> Java:
    """The latest that fits; a build of the same sources by somebody else is better than none, and is told."""
    try:
        spec = javas.parse_spec(version)
    except SpecInvalid as error:
        raise ActionFailed(f"java-version: {error}") from error
    fitting = [java for java in found if spec.admits(java) and (java.compiles or package == "jre")]
    exact = [java for java in fitting if java.distribution == distribution]
    alike = [java for java in fitting if distribution in javas.ALIKE and java.distribution in javas.ALIKE]
    if not exact and not alike:
        major = version.partition(".")[0]
        install = f"apt-get install openjdk-{major if major.isdigit() else '21'}-jdk, or sdk install java"
        there = [java.told for java in found]
        raise tools.missing("java-version", f"Java {version} of {distribution}", there, javas.PLACES, install)
    java = max(exact or alike, key=lambda java: java.version)
    if not exact:
        ctx.warn(f"No {distribution} of Java {version} is on this host: {java.told} stands in for it")
    return java


def _activate(ctx: ActionContext, java: Java) -> None:
    ctx.set_env("JAVA_HOME", java.home)
    ctx.set_env(f"JAVA_HOME_{java.version.major}_{tools.architecture().upper()}", java.home)
    ctx.add_path(os.path.join(java.home, "bin"))
    ctx.log(f"Java {java.told}")
    ctx.set_output("distribution", java.distribution)
    ctx.set_output("version", java.text)
    ctx.set_output("path", java.home)
