"""Which JDKs a host has. Each says in its file `release` what it is: none is started. Blocking."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from relevo.agent.actions import tools
from relevo.agent.actions.version_specs import Spec, SpecInvalid, Version, parse

PLACES: Final = (
    "PATH",
    "RUNNER_TOOL_CACHE",
    "/usr/lib/jvm",
    "/opt",
    "~/.sdkman",
    "~/.jdks",
    "asdf",
    "mise",
)
#: A word of IMPLEMENTOR in lower case → the distribution, as actions/setup-java calls it.
_IMPLEMENTORS: Final = {
    "adoptium": "temurin",
    "adoptopenjdk": "adopt",
    "azul": "zulu",
    "amazon": "corretto",
    "microsoft": "microsoft",
    "bellsoft": "liberica",
    "sap": "sapmachine",
    "alibaba": "dragonwell",
    "tencent": "kona",
    "ibm": "semeru",
    "international": "semeru",
    "jetbrains": "jetbrains",
    "graalvm": "graalvm",
    "oracle": "oracle",
}
#: Distributions that build the same OpenJDK: one may stand in for another.
ALIKE: Final = frozenset(
    {
        *("temurin", "adopt", "adopt-hotspot", "zulu", "corretto", "microsoft", "liberica"),
        *("sapmachine", "dragonwell", "kona", "oracle", "openjdk"),
    }
)
DISTRIBUTIONS: Final = ALIKE | {"semeru", "adopt-openj9", "jetbrains", "graalvm", "graalvm-community"}


class Java(Struct, frozen=True):
    """A JDK, or a JRE."""

    version: Version
    text: str  #: the version with its build: 17.0.15+6
    distribution: str
    home: str
    compiles: bool  #: it is a JDK

    @property
    def told(self) -> str:
        kind = "" if self.compiles else ", without a compiler"
        return f"{self.text} ({self.distribution}{kind}) at {self.home}"


class JavaSpec(Struct, frozen=True):
    """What is asked for."""

    versions: Spec
    build: str = ""  #: a version with its build, or of four numbers: nothing else will do

    def admits(self, java: Java) -> bool:
        """Whether it is one of those."""
        if (
            self.build
            and java.text != self.build
            and not java.text.startswith((f"{self.build}+", f"{self.build}."))
        ):
            return False
        return self.versions.admits(java.version)


def parse_spec(text: str) -> JavaSpec:
    """A spec as actions/setup-java takes it: `17`, `1.8`, `17.0.15`, `17.0.15+6`, `11.0.4.1`, `>=17 <21`, `22-ea`, `latest`.

    Raises SpecInvalid.
    """
    asked = text.strip()
    wanted = asked.lower()
    if wanted == "latest":
        return JavaSpec(parse("*"))
    wanted = re.sub(r"^1\.(\d)", r"\1", wanted)  # Java 8 once called itself 1.8
    early = bool(re.search(r"-ea\b", wanted))
    wanted = re.sub(r"-ea(\.\d+)?\b", "", wanted)
    build = ""
    if re.fullmatch(r"\d+(\.\d+)*(\+\d+(\.\d+)*)?", wanted) and ("+" in wanted or wanted.count(".") > 2):
        build = wanted.partition("+")[0] + (f"+{wanted.partition('+')[2]}" if "+" in wanted else "")
        wanted = ".".join(wanted.partition("+")[0].split(".")[:3])
    spec = parse(wanted, prereleases=early)
    return JavaSpec(msgspec.structs.replace(spec, text=asked), build)


def candidates(env: Mapping[str, str], tool_cache: str) -> list[Java]:
    """All there are, the one on PATH first."""
    home = env.get("HOME") or os.path.expanduser("~")
    data = env.get("XDG_DATA_HOME") or f"{home}/.local/share"
    sdkman = env.get("SDKMAN_DIR") or f"{home}/.sdkman"
    roots = dict.fromkeys([tool_cache, "/opt/hostedtoolcache"])
    folders = [
        *(os.path.dirname(os.path.dirname(os.path.realpath(path))) for path in tools.on_path(env, "java")),
        *(path for root in roots for path in tools.below(root, "Java_*/*/*")),
        *tools.below("/usr/lib/jvm", "*"),
        *tools.below("/opt", "*j[dr][ke]*"),
        *tools.below("/opt/java", "*"),
        *tools.below(sdkman, "candidates/java/*"),
        *tools.below(f"{home}/.jdks", "*"),
        *tools.below(env.get("ASDF_DATA_DIR") or f"{home}/.asdf", "installs/java/*"),
        *tools.below(f"{data}/mise", "installs/java/*"),
    ]
    found = (read(folder) for folder in tools.unique(folders))
    return [java for java in found if java is not None]


def read(home: str) -> Java | None:
    """What a folder holds; None when that is no Java."""
    if os.path.basename(home) == "jre" and os.path.isfile(os.path.join(home, "..", "release")):
        home = os.path.dirname(home)  # Java 8 has a JRE within the JDK, and its `java` on PATH
    try:
        with open(os.path.join(home, "release"), encoding="utf-8", errors="replace") as file:
            told = dict(re.findall(r'^(\w+)="?([^"\n]*)"?$', file.read(65_536), re.MULTILINE))
    except OSError:
        return None
    if not os.access(os.path.join(home, "bin", "java"), os.X_OK):
        return None
    try:
        version, text = _version(told)
    except SpecInvalid:
        return None
    compiles = os.access(os.path.join(home, "bin", "javac"), os.X_OK)
    return Java(version, text, _distribution(told), home, compiles)


def _version(told: Mapping[str, str]) -> tuple[Version, str]:
    runtime = told.get("JAVA_RUNTIME_VERSION") or told.get("JAVA_VERSION", "")
    # 1.8.0_392-b08
    old = re.match(r"1\.(\d+)\.\d+(?:_(\d+))?(?:-b(\d+))?", runtime)
    if old:
        major, update, build = int(old[1]), int(old[2] or 0), int(old[3] or 0)
        return Version(major, 0, update), f"{major}.0.{update}+{build}"
    # 17.0.15+6-Debian-1deb12u1, 11.0.4.1+1, 26-ea+12
    match = re.match(r"(\d+)((?:\.\d+)*)(-ea)?(?:\+(\d+))?", runtime)
    if match is None:
        raise SpecInvalid(f"{runtime!r} is no version of Java")
    numbers = [int(match[1]), *map(int, match[2].split(".")[1:]), 0, 0][:3]
    major, minor, micro = numbers
    whole = match[1] + match[2] if match[2].count(".") > 1 else f"{major}.{minor}.{micro}"
    text = whole + (match[3] or "") + (f"+{match[4]}" if match[4] else "")
    if match[3]:
        return Version(major, minor, micro, (0, int(match[4] or 0))), text
    return Version(major, minor, micro), text


def _distribution(told: Mapping[str, str]) -> str:
    if "GRAALVM_VERSION" in told:
        return "graalvm" if "oracle" in told.get("IMPLEMENTOR", "").lower() else "graalvm-community"
    words = re.findall(r"[a-z]+", told.get("IMPLEMENTOR", "").lower())
    # A distribution of Linux builds what it calls openjdk.
    return next((_IMPLEMENTORS[word] for word in words if word in _IMPLEMENTORS), "openjdk")
