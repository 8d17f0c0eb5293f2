"""Kill a program when the process that started it ends, even by kill -9.

On Linux the kernel does that.  `with_parent` puts this file in front of a program's arguments.
This file then asks the kernel for a SIGKILL when its parent ends, and executes the program, which
keeps the request and the process id.  So nothing has to run between fork and exec of a process with
threads.

The kernel takes the *thread* that started the program for the parent.  Start programs from a thread
that lives as long as the process, such as the main thread.  On other systems the arguments stay as
they are and the program outlives its parent; `clockwork.processes.identity` finds it again.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def with_parent(argv: Sequence[str]) -> list[str]:
    """Return the arguments that run *argv* for as long as this process lives.

    The first of *argv* is a full path.

    To be called by the process that starts the program.
    """
    if sys.platform != "linux":
        return list(argv)
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *argv]


def _become(parent: int, argv: list[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(signal.SIGKILL), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    if os.getppid() != parent:
        sys.exit("the process that started this one has ended")
    # Python ignores these two from its start, and an ignored signal would stay so over the exec.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - the arguments are the caller's, no shell
    except OSError as error:
        sys.exit(f"{argv[0]} can't be run: {error.strerror}")


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
