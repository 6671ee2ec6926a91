"""An environment of its own for each job: what its steps install reaches neither the host's interpreter nor other jobs.

Many jobs share one host, where hosted runners throw the machine away; hence `python` and `pip` of the later steps are those
of a fresh virtual environment. It is made without ensurepip, which takes seconds: pip is copied (~60 ms). Blocking.
"""

from __future__ import annotations

import os

from relevo.agent.actions.contract import ActionFailed
from relevo.agent.actions.pythons import Python

_TIMEOUT_S = 120.0


def make(python: Python, folder: str) -> bool:
    """Make the environment in a folder that does not exist; returns whether it has pip. Raises ActionFailed, OSError."""
    import subprocess

    env = {name: os.environ[name] for name in ("PATH", "HOME", "LD_LIBRARY_PATH") if name in os.environ}
    try:
        done = subprocess.run(
            [python.executable, "-I", "-m", "venv", "--without-pip", folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_TIMEOUT_S,
            env=env,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ActionFailed(f"{python.executable} did not make an environment in {_TIMEOUT_S:.0f} s") from None
    if done.returncode:
        said = done.stdout.decode("utf-8", "replace").strip()
        raise ActionFailed(
            f"{python.executable} cannot make a virtual environment: {said or done.returncode}"
        )
    return _install_pip(python, folder)


def _install_pip(python: Python, folder: str) -> bool:
    minor = f"{python.version.major}.{python.version.minor}"
    free = "t" if python.freethreaded else ""
    packages = os.path.join(folder, "lib", f"python{minor}{free}", "site-packages")
    if not (
        _copy_installed(python.purelib, packages) or _unpack_bundled(python.prefix, minor + free, packages)
    ):
        return False
    if python.version.minor < 12:
        # As ensurepip does: setup.py files of that time expect setuptools to be there.
        _unpack_bundled(python.prefix, minor + free, packages, project="setuptools")
    script = _script(os.path.join(folder, "bin", "python"))
    for name in ("pip", "pip3", f"pip{minor}"):
        path = os.path.join(folder, "bin", name)
        with open(path, "w") as file:
            file.write(script)
        os.chmod(path, 0o755)  # noqa: S103 a program
    return True


def _copy_installed(source: str, packages: str) -> bool:
    """Copy the interpreter's own pip, with its compiled code. It is a copy because an upgrade in the environment removes it."""
    import glob
    import shutil

    infos = glob.glob(os.path.join(glob.escape(source), "pip-*.dist-info"))
    if len(infos) != 1 or not os.path.isdir(os.path.join(source, "pip")):
        return False
    for path in (os.path.join(source, "pip"), infos[0]):
        shutil.copytree(path, os.path.join(packages, os.path.basename(path)), symlinks=True)
    return True


def _unpack_bundled(prefix: str, minor: str, packages: str, *, project: str = "pip") -> bool:
    """Install a wheel that came with the interpreter: a pure wheel only needs to be unpacked."""
    import glob
    import zipfile

    for place in (
        os.path.join(prefix, "lib", f"python{minor}", "ensurepip", "_bundled"),
        "/usr/share/python-wheels",
    ):
        for wheel in sorted(glob.glob(os.path.join(glob.escape(place), f"{project}-*.whl")), reverse=True):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(packages)
            return True
    return False


def _script(python: str) -> str:
    body = "import re\nimport sys\nfrom pip._internal.cli.main import main\nif __name__ == '__main__':\n"
    body += "    sys.argv[0] = re.sub(r'(-script\\.pyw|\\.exe)?$', '', sys.argv[0])\n    sys.exit(main())\n"
    # A `#!` line ends at 127 bytes and at blanks: longer ones go through the shell, as distlib writes them.
    if len(python) > 120 or " " in python:
        quoted = python.replace("'", "'\"'\"'")
        return f"#!/bin/sh\n'''exec' '{quoted}' \"$0\" \"$@\"\n' '''\n{body}"
    return f"#!{python}\n{body}"
