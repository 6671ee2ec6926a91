from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relevo.agent.actions import javas, setup_java, tools
from relevo.agent.actions.contract import ActionFailed
from relevo.agent.actions.javas import Java
from relevo.agent.actions.version_specs import SpecInvalid, Version

needs_java = pytest.mark.skipif(shutil.which("java") is None, reason="there is no java on PATH")


@pytest.fixture
def java(tmp_path: Path) -> Callable[..., Path]:
    """Makes homes of Java that say what they are, and cannot run."""

    def make(
        path: str, runtime: str, implementor: str = "Eclipse Adoptium", more: str = "", compiler: bool = True
    ) -> Path:
        home = tmp_path / path
        (home / "bin").mkdir(parents=True)
        for name in ["java", *(["javac"] if compiler else [])]:
            (home / "bin" / name).write_text("")
            (home / "bin" / name).chmod(0o755)
        (home / "release").write_text(
            f'IMPLEMENTOR="{implementor}"\nJAVA_RUNTIME_VERSION="{runtime}"\nJAVA_VERSION="0"\n{more}'
        )
        return home

    return make


@pytest.mark.parametrize(
    ("runtime", "implementor", "more", "version", "text", "distribution"),
    [
        ("17.0.15+6", "Eclipse Adoptium", "", Version(17, 0, 15), "17.0.15+6", "temurin"),
        ("17.0.15+6-Debian-1deb12u1", "Debian", "", Version(17, 0, 15), "17.0.15+6", "openjdk"),
        ("21+35-LTS", "Azul Systems, Inc.", "", Version(21, 0, 0), "21.0.0+35", "zulu"),
        ("11.0.4.1+1", "Amazon.com Inc.", "", Version(11, 0, 4), "11.0.4.1+1", "corretto"),
        ("1.8.0_392-b08", "Temurin", "", Version(8, 0, 392), "8.0.392+8", "openjdk"),
        ("26-ea+12-999", "Oracle Corporation", "", Version(26, 0, 0, (0, 12)), "26.0.0-ea+12", "oracle"),
        (
            "21.0.1+12",
            "GraalVM Community",
            'GRAALVM_VERSION="1"\n',
            Version(21, 0, 1),
            "21.0.1+12",
            "graalvm-community",
        ),
        (
            "21.0.1+12",
            "Oracle Corporation",
            'GRAALVM_VERSION="1"\n',
            Version(21, 0, 1),
            "21.0.1+12",
            "graalvm",
        ),
        ("17.0.9+9", "IBM Corporation", "", Version(17, 0, 9), "17.0.9+9", "semeru"),
    ],
)
def test_what_a_home_says(
    java: Any, runtime: str, implementor: str, more: str, version: Version, text: str, distribution: str
) -> None:
    found = javas.read(str(java("j", runtime, implementor, more)))
    assert found is not None
    assert (found.version, found.text, found.distribution) == (version, text, distribution)


def test_what_is_no_home_of_java(java: Any, tmp_path: Path) -> None:
    assert javas.read(str(tmp_path)) is None
    assert javas.read(str(java("odd", "strange"))) is None
    home = java("j", "17.0.1+1")
    (home / "bin/java").chmod(0o644)
    assert javas.read(str(home)) is None


def test_all_the_places(java: Any, tmp_path: Path) -> None:
    places = [
        "on-path",
        "tools/Java_Temurin-Hotspot_jdk/17.0.1-1/x64",
        ".sdkman/candidates/java/17.0.2-tem",
        ".jdks/temurin-17",
        ".asdf/installs/java/temurin-17.0.4",
        ".local/share/mise/installs/java/17.0.5",
    ]
    for number, place in enumerate(places):
        java(place, f"17.0.{number}+1")
    (tmp_path / ".sdkman/candidates/java/current").symlink_to("17.0.2-tem")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/java").symlink_to(tmp_path / "on-path/bin/java")
    found = javas.candidates({"HOME": str(tmp_path), "PATH": f"{tmp_path}/bin"}, str(tmp_path / "tools"))
    mine = [one.text for one in found if one.home.startswith(str(tmp_path))]
    assert mine == [f"17.0.{number}+1" for number in range(6)]


HERE = [
    Java(Version(8, 0, 392), "8.0.392+8", "temurin", "/8", True),
    Java(Version(11, 0, 4), "11.0.4.1+1", "corretto", "/11", True),
    Java(Version(17, 0, 9), "17.0.9+9", "temurin", "/17.0.9", True),
    Java(Version(17, 0, 15), "17.0.15+6", "openjdk", "/17.0.15", True),
    Java(Version(21, 0, 2), "21.0.2+13", "temurin", "/21jre", False),
    Java(Version(26, 0, 0, (0, 12)), "26.0.0-ea+12", "openjdk", "/26", True),
    Java(Version(21, 0, 1), "21.0.1+12", "graalvm", "/graal", True),
]


def chosen(context: Any, version: str, distribution: str, package: str = "jdk") -> str:
    ctx = context()
    home = setup_java._choose(ctx, version, distribution, package, HERE).home
    return home + (" told" if ctx.warnings else "")


@pytest.mark.parametrize(
    ("version", "distribution", "package", "home"),
    [
        ("17", "temurin", "jdk", "/17.0.9"),
        ("17", "openjdk", "jdk", "/17.0.15"),
        ("17", "zulu", "jdk", "/17.0.15 told"),
        ("17.0.9", "zulu", "jdk", "/17.0.9 told"),
        ("17.0.9+9", "temurin", "jdk", "/17.0.9"),
        ("11.0.4.1", "corretto", "jdk", "/11"),
        ("11.0.4.1+1", "corretto", "jdk", "/11"),
        ("8", "temurin", "jdk", "/8"),
        ("1.8", "temurin", "jdk", "/8"),
        (">=11 <17.0.10", "temurin", "jdk", "/17.0.9"),
        ("21", "temurin", "jre", "/21jre"),
        ("21", "graalvm", "jdk", "/graal"),
        ("26-ea", "oracle", "jdk", "/26 told"),
        ("latest", "temurin", "jdk", "/17.0.9"),
    ],
)
def test_versions(context: Any, version: str, distribution: str, package: str, home: str) -> None:
    assert chosen(context, version, distribution, package) == home


@pytest.mark.parametrize(
    ("version", "distribution", "part"),
    [
        ("21", "temurin", "21.0.2+13 (temurin, without a compiler) at /21jre"),
        ("17", "graalvm", "no Java 17 of graalvm"),
        ("17.0.9+8", "temurin", "apt-get install openjdk-17-jdk"),
        ("26", "temurin", "looked in PATH"),
        ("seventeen", "temurin", "is not understood"),
    ],
)
def test_what_is_not_there_is_told(context: Any, version: str, distribution: str, part: str) -> None:
    with pytest.raises(ActionFailed) as told:
        chosen(context, version, distribution)
    assert part in str(told.value)


@given(st.text("0123456789.x*<>=~^|- +ealtsu_b", max_size=16))
def test_any_text_is_a_spec_or_refused(text: str) -> None:
    try:
        javas.parse_spec(text)
    except SpecInvalid:
        pass


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (".java-version", "17.0.9\n", ("17.0.9", "")),
        (".java-version", "temurin-17.0.9+9\n", ("17.0.9+9", "temurin")),
        (".java-version", "1.8\n", ("1.8", "")),
        (".tool-versions", "nodejs 20\njava temurin-17.0.9+9\n", ("17.0.9+9", "temurin")),
        (".tool-versions", "java openjdk64-11\n", ("11", "openjdk")),
        (".sdkmanrc", "# ours\njava=17.0.9-tem\n", ("17.0.9", "temurin")),
        (".sdkmanrc", "java=21.0.2.fx-zulu\n", ("21.0.2", "zulu")),
        (".sdkmanrc", "maven=3.9\n", ("", "")),
        (".java-version", "none\n", ("", "")),
    ],
)
def test_version_files(tmp_path: Path, name: str, text: str, expected: tuple[str, str]) -> None:
    (tmp_path / name).write_text(text)
    assert setup_java.read_version_file(str(tmp_path / name)) == expected


@pytest.mark.parametrize(
    ("inputs", "problem"),
    [
        ({"distribution": "temurin"}, "java-version: is required"),
        ({"java_version": "17"}, "distribution: is required"),
        ({"java_version": "17", "distribution": "mine"}, "'mine' is none of"),
        ({"java_version": "17", "distribution": "jdkfile", "jdkfile": "x.tgz"}, "unpack it in a `run:` step"),
        ({"java_version": "17", "distribution": "temurin", "server_id": "central"}, "mvn -s"),
        ({"java_version": "17", "distribution": "temurin", "java_package": "jdk+fx"}, "not told apart"),
        ({"java_version": "17", "distribution": "temurin", "cache": "ant"}, "none of gradle, maven, sbt"),
        ({"java_version_file": ".java-version", "distribution": "temurin"}, "there is no .java-version"),
    ],
)
async def test_inputs_that_cannot_be_served(context: Any, inputs: dict[str, str], problem: str) -> None:
    with pytest.raises(ActionFailed) as told:
        await setup_java.main(context(**inputs))
    assert problem in str(told.value)


async def test_several_versions_the_last_is_the_default(context: Any, java: Any) -> None:
    ctx = context(java_version="97\n98", distribution="temurin", colour="red")
    homes = [java(f"one/.jdks/{major}", f"{major}.0.1+1") for major in (97, 98)]
    await setup_java.main(ctx)
    arch = tools.architecture().upper()
    assert ctx.exported == {
        f"JAVA_HOME_97_{arch}": str(homes[0]),
        f"JAVA_HOME_98_{arch}": str(homes[1]),
        "JAVA_HOME": str(homes[1]),
    }
    assert ctx.paths[0] == f"{homes[1]}/bin"
    assert ctx.outputs == {"distribution": "temurin", "version": "98.0.1+1", "path": str(homes[1])}
    assert "'colour'" in ctx.warnings[0]


@pytest.mark.parametrize(
    ("manager", "file", "kept"),
    [
        ("maven", "app/pom.xml", ".m2/repository/a.jar"),
        ("gradle", "build.gradle.kts", ".gradle/caches/a.jar"),
        ("sbt", "build.sbt", ".cache/coursier/a.jar"),
    ],
)
async def test_what_build_tools_fetch_is_cached(
    working: Any, java: Any, manager: str, file: str, kept: str
) -> None:
    contexts = []
    for place in ("one", "two"):
        java(f"{place}/.jdks/97", "97.0.1+1")
        ctx = working(place, java_version="97", distribution="temurin", cache=manager)
        path = Path(ctx.workspace) / file
        path.parent.mkdir(exist_ok=True)
        path.write_text("dependencies")
        contexts.append(ctx)
    first, second = contexts
    await setup_java.main(first)
    jar = Path(first.env["HOME"]) / kept
    jar.parent.mkdir(parents=True)
    jar.write_text("jar")
    await setup_java.post(first)
    await setup_java.main(second)
    assert second.outputs["cache-hit"] == "true"
    assert (Path(second.env["HOME"]) / kept).read_text() == "jar"


async def test_a_cache_wants_files_that_tell_the_dependencies(working: Any, java: Any) -> None:
    java("one/.jdks/97", "97.0.1+1")
    ctx = working(java_version="97", distribution="temurin", cache="maven")
    with pytest.raises(ActionFailed, match=r"no file in .* matches \*\*/pom\.xml"):
        await setup_java.main(ctx)


@needs_java
async def test_the_real_one(working: Any) -> None:
    ctx = working(java_version=">=8", distribution="temurin", java_package="jre")
    ctx.env = dict(os.environ)
    await setup_java.main(ctx)
    env = {**os.environ, **ctx.exported, "PATH": f"{ctx.paths[0]}:{os.environ['PATH']}"}
    said: list[bytes] = []
    assert await ctx.run(["java", "-version"], env=env, on_output=said.append) == 0
    assert ctx.outputs["version"] in b"".join(said).decode()
