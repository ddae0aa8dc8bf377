"""Starts the program with listening sockets at file descriptors 3 and 4, as a socket unit does.

Usage: as_systemd_does.py FD FD ARGUMENTS...
"""

import fcntl
import os
import sys

FIRST_FD = 3
given = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]]  # clear of 3 and 4 themselves
for place, fd in enumerate(given, FIRST_FD):
    os.dup2(fd, place, inheritable=True)
    os.close(fd)
handed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(given))}
os.execve(sys.executable, [sys.executable, "-m", "tracker", *sys.argv[3:]], {**os.environ, **handed})
