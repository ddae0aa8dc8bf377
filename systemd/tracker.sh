#!/bin/sh
# For /usr/local/bin/tracker: runs a verb as the service's user, with its settings, secrets and database.
set -eu
program=/opt/tracker/bin/tracker
config=/etc/tracker/tracker.toml

case ${1-} in units) exec "$program" "$@" ;; esac # this one writes where the service's user may not

fail() {
    echo "error: $1" >&2
    exit 2
}
[ "$(id -u)" -eq 0 ] || fail "tracker's database belongs to the service: run this as root, sudo tracker ..."
unit=$(systemctl cat tracker.service 2>/dev/null || systemctl cat tracker@.service 2>/dev/null) || fail "there is no tracker.service yet: $program units"

# systemd-run takes $ for the beginning of a variable, and $$ for a $.
for word; do
    shift
    case $word in *\$*) word=$(printf '%s.' "$word" | sed 's/\$/$$/g') word=${word%.} ;; esac
    set -- "$@" "$word"
done

# On a terminal a terminal of its own, so that Ctrl-C reaches it; else what the caller reads and writes.
if [ -t 0 ] && [ -t 1 ] && [ -t 2 ]; then through=--pty; else through=--pipe; fi

# Of the unit and its drop-ins: who it is, its folder, its secrets, and what it may write. With another user systemd would
# take the folder away from the daemon.
set -f
same=$(printf '%s\n' "$unit" | sed -En '/^(User=|Group=|DynamicUser=|StateDirectory|LoadCredential|ReadWritePaths=|SupplementaryGroups=|UMask=|ProtectSystem=|ProtectHome=|PrivateTmp=|NoNewPrivileges=|RestrictSUIDSGID=)/s/^/--property=/p')
status=0
verb=tracker-verb-$$.service
trap 'systemctl stop "$verb" 2>/dev/null || true' HUP INT TERM # without a terminal the verb would go on
IFS='
'
# shellcheck disable=SC2086 # one word a line
systemd-run --quiet --collect --wait "$through" \
    --unit="$verb" --description="tracker ${1-}" \
    --property=WorkingDirectory=/var/lib/tracker \
    $same \
    --setenv=PYTHONDONTWRITEBYTECODE=1 \
    -- "$program" --config "$config" "$@" || status=$?
[ "$status" -ne 243 ] || fail "a credential cannot be loaded: is there a folder /etc/tracker/credentials?"
exit "$status"
