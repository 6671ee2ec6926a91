"""The launcher: a tiny process that starts the steps of one slot, so that they are born where they belong.

Run as `python -I -S -c …` (launching.py) with arguments `MODE [GROUP …]` and a SOCK_SEQPACKET socket as descriptor 3. It imports
nothing of relevo and little else: it must start in milliseconds and fork cheaply. One thread, one step at a time. GROUP: the
slot's folder in each hierarchy of control groups, made or not. MODE is what holds the tree:

    held        a control group that the agent puts this process into
    namespace   a PID namespace; this process goes on as its process 1, and leaves a parent outside
    guarded     nothing but being the subreaper; this process leaves a parent, the guard, who is one too: whichever of the
                two is killed, the other ends the tree

    agent ── (argv, env, cwd) as marshal + write end of the pipe ──►  posix_spawn in an own session
          ◄─ "R"              ready
          ◄─ "P" pid          of the launcher, where the agent's child is only its parent
          ◄─ "S"              started; not told of a step that has ended within TELL_S
          ◄─ "F" errno text   could not be started
          ◄─ "E" status       ended, as waitpid tells

It is the child subreaper of all that steps leave behind, so nobody leaves its tree by a double fork. When the socket
ends (the agent died, however) it kills the whole tree, leaves the slot's groups, removes them, and exits: where agent and
engine are both gone, nobody else would.
"""

from __future__ import annotations

# The C modules behind `signal` and `socket`: those import enum and selectors, half of the start-up time.
import _ctypes  # the same for `ctypes`
import _signal  # type: ignore[import-not-found]
import _socket
import marshal
import os
import select
import sys
import time

TYPE_CHECKING = False  # `typing` would cost more than all else here
if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET = 3
HELD = "held"
NAMESPACE = "namespace"
GUARDED = "guarded"
LEAVE_TRIES = (
    100  # to remove a group, a hundredth of a second apart: who was killed takes a moment to leave it
)
DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
#: So long a step runs before its start is told: of a shorter one its end tells enough, with one message instead of two.
TELL_S = 0.003
LARGEST = 65536  # of a message; a larger one comes in a memfd as second descriptor

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_REC = 0x4000
MS_SLAVE = 0x80000


def main(arguments: list[str]) -> None:
    """Serve until the socket ends."""
    mode, groups = arguments[0], arguments[1:]
    os.set_inheritable(SOCKET, False)
    os.closerange(SOCKET + 1, os.sysconf("SC_OPEN_MAX"))
    for number in range(1, _signal.NSIG):
        if _signal.getsignal(number) in (_signal.SIG_IGN, _signal.default_int_handler):
            _signal.signal(number, _signal.SIG_DFL)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    sock = _socket.socket(fileno=SOCKET)
    guard = 0
    if mode == NAMESPACE:
        enter_namespace(sock, groups)
    else:
        prctl(PR_SET_CHILD_SUBREAPER, 1)
    if mode == GUARDED:
        guard = os.getpid()
        be_guarded(sock, groups)
    wake, tell = os.pipe()
    os.set_blocking(tell, False)
    os.set_blocking(wake, False)
    _signal.signal(_signal.SIGCHLD, lambda number, frame: None)
    _signal.set_wakeup_fd(tell)
    try:
        serve(sock, wake, guard)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the agent died while it was told something
    if mode != NAMESPACE:  # else the kernel ends all that is in the namespace, as soon as this process ends
        end_tree()
        if not guard:
            leave(groups)


def serve(sock: _socket.socket, wake: int, guard: int) -> None:
    """Start what is asked for, tell how it ended, reap all. Returns when the socket has ended, or the guard is gone."""
    poll = select.poll()
    poll.register(SOCKET, select.POLLIN)
    poll.register(wake, select.POLLIN)
    running = 0
    due = 0.0  # when the start of what runs is to be told, 0 once that is needless
    sock.send(b"R", _socket.MSG_NOSIGNAL)
    while True:
        ready = poll.poll(max(0.0, due - time.monotonic()) * 1000 if due else None)
        if due and time.monotonic() >= due:
            due = 0.0
            sock.send(b"S", _socket.MSG_NOSIGNAL)
        for fd, _ in ready:
            if fd == SOCKET:
                request, pipe = receive(sock)
                if request is None:
                    return
                running = start(sock, request, pipe)
                due = time.monotonic() + TELL_S if running else 0.0
            else:
                os.read(wake, 4096)
                if guard and os.getppid() != guard:
                    return
                if running and (ended := reap(running)) is not None:
                    running = 0
                    due = 0.0
                    sock.send(b"E%d" % ended, _socket.MSG_NOSIGNAL)
                elif not running:
                    reap(0)


def receive(sock: _socket.socket) -> tuple[bytes | None, int]:
    """The next request and the write end of its pipe; None when the agent is gone."""
    data, ancillary, _, _ = sock.recvmsg(LARGEST, 32, _socket.MSG_CMSG_CLOEXEC)
    if not data:
        return None, -1
    raw = ancillary[0][2]
    fds = [int.from_bytes(raw[at : at + 4], sys.byteorder) for at in range(0, len(raw), 4)]
    if len(fds) == 2:
        with open(fds[1], "rb") as file:
            data = file.read()
    return data, fds[0]


def start(sock: _socket.socket, request: bytes, pipe: int) -> int:
    """Start a process. Returns its pid, 0 when it could not be started, which is told."""
    argv, env, cwd = marshal.loads(request)  # noqa: S302  written by the agent, this program's parent
    where = cwd
    try:
        os.chdir(cwd)
        where = argv[0]
        pid = os.posix_spawn(
            find(where, env),
            argv,
            env,
            file_actions=((os.POSIX_SPAWN_DUP2, pipe, 1), (os.POSIX_SPAWN_DUP2, pipe, 2)),
            setsid=True,
        )
    except (OSError, ValueError) as error:
        number = error.errno if isinstance(error, OSError) and error.errno else 0
        text = f"{number} {where}: {error.strerror if isinstance(error, OSError) else error}"
        sock.send(b"F" + text.encode("utf-8", "surrogateescape")[: LARGEST - 1], _socket.MSG_NOSIGNAL)
        return 0
    finally:
        os.close(pipe)
    return pid


def find(program: str, env: dict[str, str]) -> str:
    """The file of a program, by the PATH of the step's own environment."""
    if "/" in program:
        return program
    paths = [f"{folder or '.'}/{program}" for folder in env.get("PATH", DEFAULT_PATH).split(":")]
    for path in paths:
        if os.access(path, os.X_OK) and not os.path.isdir(path):
            return path
    for path in paths:
        if os.path.isfile(path):
            return path  # exec tells what is wrong with it
    return program


def reap(running: int) -> int | None:
    """Take the status of all that ended; returns that of `running` if it is among them."""
    ended = None
    try:
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == running:
                ended = status
    except ChildProcessError:
        pass
    return ended


def end_tree() -> None:
    """Kill everything that descends from this process."""
    me = os.getpid()
    while True:
        for pid in descendants(me):
            try:
                os.kill(pid, _signal.SIGKILL)
            except OSError:
                pass  # ended meanwhile
        try:
            os.waitpid(-1, 0)
            reap(0)
        except ChildProcessError:
            break


def leave(groups: list[str]) -> None:
    """Leave the slot's groups, kill who is still in them, remove them. What does not go the next agent clears away."""
    for group in groups:
        if not os.path.isdir(group):
            continue
        above = os.path.dirname(group)
        for path, text in (
            (f"{os.path.dirname(above)}/cgroup.procs", "0"),  # where the agent stands
            (
                f"{group}/cgroup.kill",
                "1",
            ),  # version 2; it ends this process too if the line above was refused
        ):
            try:
                with open(path, "w") as file:
                    file.write(text)
            except OSError:
                pass
        for _ in range(LEAVE_TRIES):
            try:
                os.rmdir(group)
                os.rmdir(above)  # the agent's, once it holds no other slot
            except FileNotFoundError:
                break
            except OSError:
                if not os.path.isdir(group):
                    break
                time.sleep(0.01)


def descendants(root: int) -> list[int]:
    """All that descend from `root`, nearest first."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
            except OSError:
                continue
            children.setdefault(int(fields[1]), []).append(int(name))
    found = list(children.get(root, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def enter_namespace(sock: _socket.socket, groups: list[str]) -> None:
    """Go on as process 1 of an own PID namespace, whose end is the end of everything in it.

    This process stays outside as its parent, ends with it, and takes it along when killed.
    """
    uid, gid = os.geteuid(), os.getegid()
    if c_call("unshare", CLONE_NEWPID | CLONE_NEWNS) != 0:
        if c_call("unshare", CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS) != 0:
            sock.send(b"F1 own PID namespace: not permitted", _socket.MSG_NOSIGNAL)
            os._exit(1)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{uid} {uid} 1"),
            ("gid_map", f"{gid} {gid} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    if (inner := fork_self(sock, _signal.SIGKILL)) != 0:
        os.waitpid(inner, 0)
        leave(groups)
        os._exit(0)
    c_call("mount", b"none", b"/", None, MS_REC | MS_SLAVE, None)
    c_call("mount", b"proc", b"/proc", b"proc", 0, None)


def be_guarded(sock: _socket.socket, groups: list[str]) -> None:
    """Go on as the child of this process, which stays as its guard: it inherits the tree when the child is killed.

    When the guard is killed the child is told by a signal, and ends the tree itself.
    """
    inner = fork_self(sock, _signal.SIGTERM, lambda number, frame: None)
    if inner:
        os.waitpid(inner, 0)
        end_tree()
        leave(groups)
        os._exit(0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)


def fork_self(sock: _socket.socket, signal: int, handler: Callable[[int, object], None] | None = None) -> int:
    """Fork, and tell the agent which of the two is the launcher now. The child gets the signal when this process ends.

    Returns the child's pid in this process, which has no socket any more; 0 in the child.
    """
    alive, hold = os.pipe()
    inner = os.fork()
    if inner:
        os.close(alive)
        sock.send(b"P%d" % inner, _socket.MSG_NOSIGNAL)
        sock.close()
        return inner
    os.close(hold)
    if handler is not None:
        _signal.signal(signal, handler)
    prctl(PR_SET_PDEATHSIG, signal)
    if select.select([alive], [], [], 0)[0]:
        os._exit(1)  # the parent was killed before the line above
    os.close(alive)
    return 0


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process."""
    if c_call("prctl", option, value, 0, 0, 0) != 0:
        raise OSError(f"prctl {option} was refused")


def c_call(name: str, *arguments: int | bytes | None) -> int:
    """Call a function of the C library, for what `os` lacks."""
    address = _ctypes.dlsym(_ctypes.dlopen(None, 0), name)  # type: ignore[arg-type]  # None: this program
    result: int = _ctypes.call_function(address, arguments)
    return result
