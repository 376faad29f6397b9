"""A script that leads a process group and kills the whole group when the process that started it is gone.

Every child of the stack joins this group. The starting process holds the only write end of the script's standard
input. End of file means that this process closed it or died, even by `kill -9`. The terminal's Ctrl-C reaches only the
foreground group, so the stack can stop its children in its own order.
"""

import os
import signal


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 64):
        pass
    # Use the own id, not 0: if somebody runs this by hand and it leads no group, it must not kill the caller's group.
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
