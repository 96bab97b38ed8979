r"""The program of the child process that runs the code of an evaluator; started by path, standard library only.

Lines as in child.py. The first question is {"id", "source", "name", "limits"}, each further one {"id", "case",
"output"}; an answer is {"id", "result"} or {"id", "error"}.

The fence, from the kernel inwards: resource limits, no new privileges and none left, a network namespace of its own
(where the kernel allows it), files by Landlock (where the kernel has it), a filter of system calls (seccomp), by which
not even root starts a process, opens a socket or changes a file, and an audit hook that refuses every event that is not
on a list. A mistake and a careless evaluator stop here. Python itself is no security boundary: the review of the file
is. What is fenced and what is not is in docs/evaluators.md.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

MAX_REASON_CHARS = 2000

REFUSED_MODULES = frozenset(
    (  # noqa: SIM905 - sixty lines else
        "_ctypes ctypes _posixsubprocess subprocess multiprocessing _multiprocessing _posixshmem concurrent socket "
        "_socket ssl _ssl select selectors asyncio http urllib.request urllib.robotparser ftplib smtplib poplib "
        "imaplib telnetlib nntplib xmlrpc socketserver wsgiref webbrowser mmap resource fcntl pty tty termios signal "
        "faulthandler _interpreters _xxsubinterpreters _xxinterpchannels _interpchannels _testcapi _testinternalcapi "
        "_testbuffer _imp imp sqlite3 _sqlite3 dbm _dbm _gdbm shelve readline curses _curses tkinter _tkinter turtle "
        "idlelib ensurepip venv pip crypt _crypt spwd grp pwd nis ossaudiodev antigravity pdb code codeop runpy site "
        "gc _remote_debugging _asyncio _curses_panel audioop _elementtree _zoneinfo _signal"
    ).split()
)
"""Modules that reach out of the process, or round the audit hook; and some that are slow to load and have a twin."""
REFUSED_CALLS = (  # noqa: SIM905 - as above
    "write writev pwrite pwritev sendfile splice copy_file_range memfd_create mkfifo mknod dup dup2 pipe pipe2 openpty "
    "chroot setuid setgid seteuid setegid setreuid setregid setresuid setresgid setgroups initgroups setsid setpgid "
    "_exit abort nice setpriority sched_setaffinity sched_setscheduler sched_setparam pidfd_open eventfd login_tty "
    "unshare setns posix_openpt"
).split()
"""Functions of `os` that raise no audit event."""
ALLOWED_EVENTS = frozenset(
    (  # noqa: SIM905 - as above
        "compile exec marshal.loads builtins.id object.__getattr__ object.__setattr__ object.__delattr__ "
        "sys._getframe sys._getframemodulename time.sleep code.__new__ function.__new__ array.__new__ "
        "sys.unraisablehook sys.excepthook cpython._PySys_ClearAuditHooks"
    ).split()
)
LOADERS = ("create_builtin", "create_dynamic", "exec_builtin", "exec_dynamic")
"""Functions of `_imp` that load modules of C: anew, with the functions named above, or round the hook."""
FRAMES = frozenset(("tb_frame", "gi_frame", "cr_frame", "ag_frame"))
"""Ways from a value to the frames of this program."""

REFUSED_SYSTEM_CALLS = """
execve 59 221; execveat 322 281; fork 57 -; vfork 58 -; clone 56 220; clone3 435 435; ptrace 101 117; kill 62 129;
tkill 200 130; tgkill 234 131; rt_sigqueueinfo 129 138; rt_tgsigqueueinfo 297 240; pidfd_send_signal 424 424;
pidfd_open 434 434; pidfd_getfd 438 438; process_vm_readv 310 270; process_vm_writev 311 271; socket 41 198;
socketpair 53 199; io_uring_setup 425 425; shmget 29 194; shmat 30 196; msgget 68 186; semget 64 190; mq_open 240 180;
memfd_create 319 279; unshare 272 97; setns 308 268; chroot 161 51; pivot_root 155 41; mount 165 40; umount2 166 39;
open_tree 428 428; move_mount 429 429; fsopen 430 430; mount_setattr 442 442; setrlimit 160 164; prlimit64 302 261;
bpf 321 280; perf_event_open 298 241; userfaultfd 323 282; keyctl 250 219; add_key 248 217; request_key 249 218;
init_module 175 105; finit_module 313 273; kexec_load 246 104; reboot 169 142; ioperm 173 -; iopl 172 -;
open_by_handle_at 304 265; openat2 437 437; creat 85 -; truncate 76 45; chmod 90 -; fchmod 91 52; fchmodat 268 53;
fchmodat2 452 452; chown 92 -; fchown 93 55; lchown 94 -; fchownat 260 54; rename 82 -; renameat 264 38;
renameat2 316 276; unlink 87 -; unlinkat 263 35; mkdir 83 -; mkdirat 258 34; rmdir 84 -; link 86 -; linkat 265 37;
symlink 88 -; symlinkat 266 36; mknod 133 -; mknodat 259 33; setxattr 188 5; lsetxattr 189 6; fsetxattr 190 7;
removexattr 197 14; lremovexattr 198 15; fremovexattr 199 16; utime 132 -; utimes 235 -; futimesat 261 -;
utimensat 280 88
"""
"""Name, number on x86_64, number everywhere else: what starts, reaches or hurts something outside. Linux, unistd.h."""
MACHINES = {"x86_64": (0xC000003E, 2, 257), "aarch64": (0xC00000B7, None, 56), "riscv64": (0xC00000F3, None, 56)}
"""AUDIT_ARCH, and the numbers of open (where there is one) and openat: by machine."""
CAPSET = {"x86_64": 126}
"""The number of capset; 91 elsewhere."""


def _set_limits(limits: Any) -> None:
    import resource  # noqa: PLC0415 - this program is a script: what it needs goes before the fence

    for name, value in limits.items():
        number = getattr(resource, name, None)
        if number is None:
            continue
        _, hard = resource.getrlimit(number)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        try:
            resource.setrlimit(number, (least, least))
        except (ValueError, OSError):
            continue  # macOS does not take every limit; the parent's deadline holds


def _shut_kernel_doors() -> list[str]:
    """Give up what the kernel lets a process give up; return what was."""
    shut: list[str] = []
    if not sys.platform.startswith("linux"):
        return shut
    try:
        import ctypes  # noqa: PLC0415 - as above
    except ImportError:
        return shut
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    if libc.prctl(38, 1, 0, 0, 0) == 0:  # PR_SET_NO_NEW_PRIVS
        shut.append("privileges")
    if libc.unshare(0x10000000 | 0x40000000 | 0x08000000) == 0 or libc.unshare(0x40000000 | 0x08000000) == 0:
        shut.append("network")  # CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWIPC
    # CAP_SYS_RESOURCE lifts limits: no capability stays, neither root's nor those of a namespace of one's own.
    libc.syscall(CAPSET.get(os.uname().machine, 91), (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
    if _landlock(libc, ctypes):
        shut.append("files")
    if _seccomp(libc, ctypes):
        shut.append("processes")
    return shut


def _seccomp(libc: Any, ctypes: Any) -> bool:
    """Have the kernel refuse system calls, root's too; those that are not on the list go on (seccomp(2))."""
    machine = os.uname().machine
    if machine not in MACHINES or sys.byteorder != "little" or sys.maxsize < 1 << 32:
        return False
    filtered = b"".join(
        code.to_bytes(2, "little") + bytes((if_so, if_not)) + k.to_bytes(4, "little")
        for code, if_so, if_not, k in _filter(machine)
    )
    held = ctypes.create_string_buffer(filtered, len(filtered))
    program = (ctypes.c_uint64 * 2)(len(filtered) // 8, ctypes.addressof(held))
    done: bool = libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program)) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER
    return done


def _filter(machine: str) -> list[tuple[int, int, int, int]]:
    """Return the program of the filter: code, jump if true, jump if false, operand (linux/filter.h)."""
    load, equal, any_bit, at_least, end = 0x20, 0x15, 0x45, 0x35, 0x06
    allow, refuse, kill = (end, 0, 0, 0x7FFF0000), (end, 0, 0, 0x00050001), (end, 0, 0, 0x80000000)  # EPERM
    arch, open_number, openat_number = MACHINES[machine]
    program = [(load, 0, 0, 4), (equal, 1, 0, arch), kill, (load, 0, 0, 0)]
    if machine == "x86_64":
        program += [(at_least, 0, 1, 0x40000000), refuse]  # the same calls once more, as x32
    for row in REFUSED_SYSTEM_CALLS.split(";"):
        number = row.split()[1 if machine == "x86_64" else 2]
        if number != "-":
            program += [(equal, 0, 1, int(number)), refuse]
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
    for opening, flags in ((open_number, 1), (openat_number, 2)):
        if opening is not None:
            program += [(equal, 0, 4, opening), (load, 0, 0, 16 + 8 * flags), (any_bit, 0, 1, writing), refuse, allow]
    return [*program, allow]


def _landlock(libc: Any, ctypes: Any) -> bool:
    """Allow reading below the standard library and nothing else of files (landlock(7), syscalls 444 to 446)."""
    machine = os.uname().machine
    if machine not in ("x86_64", "aarch64", "riscv64"):
        return False
    handled = ctypes.c_uint64((1 << 13) - 1)  # the rights of the first version
    ruleset = libc.syscall(444, ctypes.byref(handled), ctypes.c_size_t(8), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    shared = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache")
    for path in (*_library(), os.path.join(sys.base_prefix, "lib"), *filter(os.path.exists, shared)):  # noqa: PTH118
        handle = os.open(path, os.O_PATH)
        read = 1 << 2 | (1 << 3 if os.path.isdir(path) else 0)  # noqa: PTH112 - READ_FILE, READ_DIR
        beneath = read.to_bytes(8, sys.byteorder) + handle.to_bytes(4, sys.byteorder)
        libc.syscall(445, ctypes.c_int(ruleset), ctypes.c_int(1), beneath, ctypes.c_uint32(0))
        os.close(handle)
    done: bool = libc.syscall(446, ctypes.c_int(ruleset), ctypes.c_uint32(0)) == 0
    os.close(ruleset)
    return done


def _library() -> tuple[str, ...]:
    """Return the folders of the standard library; site-packages is not on the path (-S)."""
    return tuple(os.path.realpath(p) for p in sys.path if os.path.isdir(p))  # noqa: PTH112 - pathlib costs 5 ms


def _fence() -> Any:
    """Return the audit hook; everything it uses is bound before any code of the evaluator runs."""
    folders = tuple(f + os.sep for f in _library())
    real, standard = os.path.realpath, sys.stdlib_module_names
    refused, allowed, frames = REFUSED_MODULES, ALLOWED_EVENTS, FRAMES
    text, is_a, starts = str, isinstance, str.startswith
    denied, not_found = PermissionError, ImportError
    reading = os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_LARGEFILE", 0)

    def inside(path: Any) -> bool:
        return is_a(path, text) and starts(real(path) + "/", folders) and "site-packages" not in real(path)

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "object.__getattr__" and arguments[1] in frames:
            raise denied("the code of an evaluator may not look at frames")
        if event in allowed:
            return
        if event == "import":
            name = arguments[0]
            top = name.partition(".")[0]
            if arguments[1] is not None:  # the file of a module of C: `name` may be any. They have all been loaded
                raise not_found(f"the code of an evaluator may not load {arguments[1]!r}")
            if name in refused or top in refused or top not in standard:
                raise not_found(f"the code of an evaluator may not import {name!r}")
        elif event == "open":
            path, mode, flags = arguments
            writes = (is_a(mode, text) and any(c in mode for c in "wax+")) or (flags or 0) & ~reading
            if writes or not inside(path):
                raise denied(f"the code of an evaluator may not open {path!r}")
        elif event in ("os.listdir", "os.scandir"):
            if not inside(arguments[0]):
                raise denied(f"the code of an evaluator may not list {arguments[0]!r}")
        else:
            raise denied(f"the code of an evaluator may not do this ({event})")

    return hook


def _load_c() -> None:
    """Load what the library has in C and may be used, and take away what loads more."""
    found, loaders = set(sys.builtin_module_names), sys.modules["_imp"]
    for folder in _library():
        found |= {f.partition(".")[0] for f in os.listdir(folder) if f.endswith(".so")}  # noqa: PTH208 - as above
    for name in sorted(found & sys.stdlib_module_names - REFUSED_MODULES):
        try:
            __import__(name)
        except ImportError:
            continue  # it lacks a library of the system, as it would for the evaluator
    for name in REFUSED_MODULES - {"_imp"}:  # importlib imports it, and inspect and dataclasses import importlib
        sys.modules.pop(name, None)

    def refuse(*_: Any) -> None:
        raise ImportError("the code of an evaluator may not load modules of C")

    for loader in LOADERS:
        setattr(loaders, loader, refuse)


def _load(source: str, name: str) -> Any:
    module = type(sys)("evaluator")
    module.__file__ = name
    sys.modules["evaluator"] = module
    exec(compile(source, name, "exec"), module.__dict__)  # noqa: S102 - this is what this process is for
    function = module.__dict__.get("evaluate")
    if not callable(function):
        raise TypeError(f"{name} has no function evaluate(case, output)")
    return function


def _told(error: BaseException, name: str, own_frames: int) -> str:
    """Describe what was raised, and the line of the evaluator's file it came through."""
    try:
        trace = error.__traceback__
        for _ in range(own_frames):
            trace = trace.tb_next if trace is not None else None
        line = "" if trace is None else f" ({name} line {trace.tb_lineno})"
        return f"{type(error).__name__}: {error}"[:MAX_REASON_CHARS] + line
    except BaseException:  # noqa: BLE001 - its str() may raise anything
        return type(error).__name__


def main() -> None:
    """Answer until nobody asks."""
    questions, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)  # what the code prints is no answer
    os.close(nowhere)
    load, dump, send = json.loads, json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode, answers.write

    def say(value: Any) -> None:
        send(dump(value).encode("ascii") + b"\n")

    say({"ready": True})
    first = load(questions.readline())
    name = first["name"]
    _set_limits(first["limits"])
    shut = _shut_kernel_doors()
    _load_c()
    for function in REFUSED_CALLS:
        for module in ("os", "posix"):
            sys.modules[module].__dict__.pop(function, None)
    sys.addaudithook(_fence())
    evaluate, failure = None, ""
    try:
        evaluate = _load(first["source"], name)
    except BaseException as e:  # noqa: BLE001 - SystemExit too: it is told, not done
        failure = _told(e, name, 2)
    say({"id": first["id"], **({"error": failure} if evaluate is None else {"shut": shut})})
    for line in questions:
        asked = load(line)
        try:
            answer = dump({"id": asked["id"], "result": evaluate(asked["case"], asked["output"])})  # type: ignore[misc]  # the parent asks after a good load
        except BaseException as e:  # noqa: BLE001 - as above
            answer = dump({"id": asked["id"], "error": _told(e, name, 1)})
        send(answer.encode("ascii") + b"\n")


if __name__ == "__main__":
    main()
