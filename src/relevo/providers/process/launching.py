"""The agent's end of a launcher: spawning it, asking it to start a step, hearing how the step ended."""

from __future__ import annotations

import asyncio
import marshal
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from relevo.providers.contract import WorkerUnavailable
from relevo.providers.process.launcher import HELD, LARGEST, NAMESPACE, SOCKET
from relevo.runtime import processes
from relevo.runtime.processes import ProcessIdentity

#: the launcher as a module: Python keeps those compiled, scripts not
_PROGRAM: Final = f"import sys; sys.path.append({os.path.dirname(__file__)!r}); import launcher; launcher.main(sys.argv[1:])"
#: a launcher answers in a millisecond; one that was stopped is woken before this
ANSWER_S: Final = 30.0
_RIGHTS: Final = (socket.SOL_SOCKET, socket.SCM_RIGHTS)


class Listener(Protocol):
    """Who is told what becomes of the step."""

    def step_ended(self, status: int) -> None:
        """As waitpid tells it."""

    def launcher_gone(self) -> None:
        """The launcher ended, however; its steps are nobody's children now."""


class Launcher:
    """One launcher process. It is killed, not asked to go; closing the socket makes it end its tree by itself."""

    def __init__(self, pid: int, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self.identity: ProcessIdentity = processes.identity(pid)
        self.inner = 0  #: pid of its other self, who starts the steps, where it leaves a parent behind
        self.gone = False
        self.listener: Listener | None = None
        self._sock = sock
        self._loop = loop
        self._answer: asyncio.Future[None] | None = None
        self._inside: asyncio.Future[None] | None = None
        self._reaped = False
        loop.add_reader(sock.fileno(), self._readable)

    @property
    def parent(self) -> int:
        """Pid of the process whose children the steps are."""
        return self.inner or self.identity.pid

    def lives(self) -> bool:
        """Whether its end of the socket is open. One system call, and nothing is taken from the socket."""
        if self.gone:
            return False
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except BlockingIOError:
            return True
        except OSError:
            return False

    async def until_inside(self) -> None:
        """Returns once its other self is there. Raises WorkerUnavailable when it cannot be."""
        if not self.gone and not self.inner:
            self._inside = self._loop.create_future()
            await self._inside
        if not self.inner:
            raise WorkerUnavailable("a launcher could not make its other self")

    async def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: str, pipe: int) -> None:
        """Start a step with the pipe as stdout and stderr. Returns when it runs for a moment, or has ended.

        Raises WorkerUnavailable, FileNotFoundError, PermissionError.
        """
        if self.gone:
            raise WorkerUnavailable("the launcher of this worker is gone")
        self._answer = answer = self._loop.create_future()
        patience = self._loop.call_later(
            ANSWER_S,
            self._settle,
            WorkerUnavailable(f"the launcher of this worker was silent for {ANSWER_S} s"),
        )
        try:
            self._ask(marshal.dumps((tuple(argv), dict(env), cwd)), pipe)
            await answer
        except OSError as error:
            if isinstance(error, (FileNotFoundError, PermissionError)):
                raise
            raise WorkerUnavailable(f"the launcher of this worker does not answer: {error}") from error
        finally:
            patience.cancel()
            self._answer = None

    def close(self) -> None:
        """Stop listening. If it still lives, this is its end, and that of its tree. Idempotent."""
        self.gone = True
        if self._sock.fileno() >= 0:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()

    def hear_out(self) -> None:
        """Take the last words of a launcher that has ended: the status of its step may be among them."""
        while not self.gone:
            self._readable(last=True)

    def reap(self) -> bool:
        """Whether it has ended; takes its zombie away."""
        if not self._reaped:
            try:
                pid, _ = os.waitpid(self.identity.pid, os.WNOHANG)
                self._reaped = pid != 0
            except ChildProcessError:
                self._reaped = True  # somebody else waits for all children of this process
        return self._reaped

    def _ask(self, request: bytes, pipe: int) -> None:
        fds = [pipe]
        if len(request) > LARGEST:
            fds.append(_in_memory(request))
            request = b"M"
        try:
            rights = b"".join(fd.to_bytes(4, sys.byteorder) for fd in fds)
            self._sock.sendmsg([request], [(*_RIGHTS, rights)], socket.MSG_NOSIGNAL)
        finally:
            for fd in fds[1:]:
                os.close(fd)

    def _readable(self, last: bool = False) -> None:
        try:
            message = self._sock.recv(LARGEST)
        except BlockingIOError:
            if not last:
                return
            message = b""
        except OSError:
            message = b""
        kind = message[:1]
        if kind == b"S":
            self._settle(None)
        elif kind == b"E":
            self._settle(None)  # it started: who ends at once is told of once
            if self.listener is not None:
                self.listener.step_ended(int(message[1:]))
        elif kind == b"F":
            self._settle(_failure(message[1:]))
        elif kind == b"P":
            self.inner = int(message[1:])
            self._enter()
        elif not kind:
            self.close()
            self._enter()
            self._settle(WorkerUnavailable("the launcher of this worker went away"))
            if self.listener is not None:
                self.listener.launcher_gone()

    def _enter(self) -> None:
        if self._inside is not None and not self._inside.done():
            self._inside.set_result(None)

    def _settle(self, error: Exception | None) -> None:
        if self._answer is None or self._answer.done():
            return
        if error is None:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(error)


def spawn(mode: str = HELD, groups: Sequence[str] = ()) -> tuple[int, socket.socket]:
    """Start a launcher (see there); returns its pid and the agent's end of its socket. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        ours.setblocking(False)
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-I", "-S", "-c", _PROGRAM, mode, *groups],
            {"LC_ALL": "C.UTF-8"},
            file_actions=[
                (os.POSIX_SPAWN_DUP2, theirs.fileno(), SOCKET),
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, 1, 2),
            ],
            setsid=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, ours


def try_namespace() -> str:
    """Why a launcher cannot have its own PID namespace here; "" when it can. Blocks for some milliseconds."""
    try:
        pid, sock = spawn(NAMESPACE)
    except OSError as error:
        return str(error)
    try:
        sock.settimeout(5.0)
        while (message := sock.recv(LARGEST))[:1] == b"P":
            pass
        return "" if message[:1] == b"R" else "the kernel does not let this user make PID namespaces"
    except OSError as error:
        return f"a launcher in its own PID namespace does not answer: {error}"
    finally:
        sock.close()
        os.waitpid(pid, 0)


def _in_memory(data: bytes) -> int:
    """A descriptor from which the data can be read."""
    fd = os.memfd_create("relevo-request", os.MFD_CLOEXEC)
    try:
        with open(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _failure(text: bytes) -> Exception:
    """The exception for what a launcher told. What the step itself asked for wrongly is never an infrastructure error."""
    import errno

    number, _, what = text.decode("utf-8", "surrogateescape").partition(" ")
    if int(number) == errno.ENOENT:
        return FileNotFoundError(errno.ENOENT, what)
    if int(number) in (errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EIO):
        return WorkerUnavailable(f"the step could not be started: {what}")
    return PermissionError(errno.EACCES, what)
