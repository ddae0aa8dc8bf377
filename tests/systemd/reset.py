"""A box that tests share becomes, between them, what it was after its set-up."""

from .box import Box

SNAPSHOT = "/run/set-up.tar"
STATE = "/var/lib/tracker /var/lib/private/tracker"
MOUNTS = "/etc/systemd/system /home /root /tmp"  # folders that can only be emptied
FILES = "/etc/tracker /usr/local/bin/tracker"
NAMES = "/etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/hosts"
SAVE = f"tar --create --file={SNAPSHOT} {MOUNTS} {FILES} {NAMES}"
# SIGKILL first: nothing waits for an orderly stop, or for a daemon that a test has made hang.
RESET = f"""
systemctl kill --signal=KILL 'tracker*.service' 2>/dev/null || true
strangers() {{ # sets pids: the programs that came from outside as this one has; systemd has not started them
    pids=()
    for process in /proc/[0-9]*; do
        [ $process != /proc/$$ ] && mapfile -t lines < $process/cgroup || continue
        [[ ${{lines[*]}} != *0::/..* ]] || pids+=(${{process#/proc/}})
    done 2>/dev/null
    [ ${{#pids[*]}} -gt 0 ]
}}
while strangers; do kill -KILL ${{pids[*]}} 2>/dev/null || true; sleep .01; done
find {MOUNTS} -mindepth 1 -delete
rm -rf {FILES}
tar --extract --file={SNAPSHOT} --directory=/
systemctl daemon-reload
systemctl isolate sysbox.target # by the restored units: a test may have enabled others
systemctl reset-failed
umount --quiet {STATE} || true
rm -rf {STATE}
find /srv -mindepth 1 -maxdepth 1 -not -name packages -not -name tracker -exec rm -r {{}} +
find /opt/tracker -newer {SNAPSHOT} -type f -delete
# Until journald has read its last words.
while grep --quiet --no-messages '^UNIT=tracker' /run/systemd/journal/streams/*; do sleep .01; done
journalctl --quiet --sync --rotate --vacuum-size=1
"""


def remember(box: Box) -> None:
    """What `reset` restores."""
    box.shell(SAVE)


def reset(box: Box) -> None:
    """Stop what runs, and drop what was written and logged since `remember`."""
    box.shell(RESET, timeout=60)
    box.reap()
