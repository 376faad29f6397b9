"""A script that leads a process group and kills all of it once whoever started the script is gone.

Every child of the stack joins this group. The starter holds the only write end of the script's standard
input: end of file means that it let go or died, by `kill -9` too. The terminal's Ctrl-C reaches only the
foreground group, so the stack stops its children in its own order.
"""

import os
import signal


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 64):
        pass
    # Its own id, not 0: run by hand, where it leads no group, this fails instead of killing the caller's.
    os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
