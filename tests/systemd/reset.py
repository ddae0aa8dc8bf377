"""A box that tests share becomes, between them, what it was after its set-up."""

from .box import Box

SNAPSHOT = "/run/set-up.tar"
UNITS = "/etc/systemd/system"
STATE = "/var/lib/tracker /var/lib/private/tracker"
RESTORED = f"{UNITS} /etc/tracker /usr/local/bin/tracker"  # and below: the users and the host names
SAVE = f"tar --create --file={SNAPSHOT} {RESTORED} /etc/passwd /etc/shadow /etc/group /etc/gshadow /etc/hosts"
# SIGKILL first: nothing waits for an orderly stop, or for a daemon that a test has made hang.
RESET = f"""
systemctl kill --signal=KILL 'tracker*.service' 2>/dev/null || true
systemctl isolate sysbox.target
strangers() {{ # sets pids: the programs that came from outside, which systemd has not started
    pids=()
    for process in /proc/[0-9]*; do
        mapfile -t lines < $process/cgroup && [[ ${{lines[*]}} == *0::/..* ]] && pids+=(${{process#/proc/}})
    done 2>/dev/null
    pids=(${{pids[*]/%$$/}}) # but for this shell
    [ ${{#pids[*]}} -gt 0 ]
}}
while strangers; do kill -KILL ${{pids[*]}} 2>/dev/null || true; sleep .01; done
umount --quiet {STATE} || true
find {UNITS} /tmp /home /root -mindepth 1 -delete
find /srv -mindepth 1 -maxdepth 1 -not -name packages -not -name tracker -exec rm -r {{}} +
find /opt/tracker -newer {SNAPSHOT} -type f -delete
rm -rf {RESTORED.removeprefix(UNITS)} {STATE}
tar --extract --file={SNAPSHOT} --directory=/
systemctl daemon-reload
systemctl reset-failed
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
