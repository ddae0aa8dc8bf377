"""The verb `units`: what systemd needs of an installation, with the path of this one in it."""

import os
import shlex
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

import typer

import tracker
from tracker.cli.common import AsJson, out, print_json
from tracker.errors import InputError

PACKAGE = Path(tracker.__file__).parent
SHIPPED = "/opt/tracker/bin/tracker"  # stands in the shipped files for the real path
UNITS = ("tracker.service", "tracker.socket", "tracker-admin.socket")
TEMPLATES = {"tracker@.service": UNITS[0], "tracker@.socket": UNITS[1], "tracker-admin@.socket": UNITS[2]}
EXAMPLES = ("tracker.toml", "tracker.sh", "sysusers.conf")
FILES = (*UNITS, *TEMPLATES, *EXAMPLES)
SEVERAL = {  # what is different in the templates; the port is one, and the kernel shares the webhooks out
    "tracker.service": "tracker@%i.service",
    "tracker.socket": "tracker@%i.socket",
    "tracker-admin.socket": "tracker-admin@%i.socket",
    "After=network.target": "After=network.target postgresql.service",
    "Description=tracker:": "Description=tracker %i:",
    "ListenStream=127.0.0.1:8321": "ListenStream=127.0.0.1:8321\nReusePort=yes",
    "ListenStream=127.0.0.1:8322": "ListenStream=/run/tracker/admin-%i.sock\nSocketMode=0600",
}
MARK = "# Written by `tracker units`."
HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108 - the sandbox shows none of them
PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-@:,=~")

# With --root it does not ask NSS, which knows the user of a service that runs with DynamicUser=yes.
MAKE_USER = "{} units --print sysusers.conf | systemd-sysusers --root=/ -"
RELOAD = "systemctl daemon-reload"
FIRST_START = "systemctl enable --now tracker.service"  # and with it the sockets
FIRST_SEVERAL = "systemctl enable --now tracker@1.service tracker@2.service  # as many as you like"
RESTART_SEVERAL = "systemctl restart 'tracker@*.service'"
RESTART_SOCKETS_SEVERAL = "systemctl restart 'tracker@*.socket' 'tracker-admin@*.socket' 'tracker@*.service'"
RESTART = "systemctl restart tracker.service"
RESTART_SOCKETS = "systemctl restart tracker.socket tracker.service"  # PartOf= brings the admin socket
UP_TO_DATE = f"the units are up to date; to start a new version of tracker, run: {RESTART}"

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write the units to.")]
Print = Annotated[
    str | None,
    typer.Option("--print", metavar="NAME", help=f"Print one file and write nothing: {', '.join(FILES)}."),
]
Several = Annotated[
    bool,
    typer.Option(
        "--several",
        help="Write templates (tracker@1, tracker@2, ...) for several trackers on one PostgreSQL.",
    ),
]


def units(
    directory: Directory = Path("/etc/systemd/system"),
    several: Several = False,
    show: Print = None,
    as_json: AsJson = False,
) -> None:
    """Write systemd units for this installation and print the next commands."""
    program = this_program()
    if show is not None:
        text = shipped(show, program)
        print_json({show: text}) if as_json else typer.echo(text, nl=False)
        return
    if not directory.is_dir():
        raise InputError(f"there is no folder {directory}; systemd looks in /etc/systemd/system")
    refuse_hidden(what_it_runs_from())
    states = write(directory, program, tuple(TEMPLATES) if several else UNITS)
    steps = next_steps(states, program)
    if as_json:
        print_json({"files": {str(directory / name): state for name, state in states.items()}, "next": steps})
        return
    for name, state in states.items():
        out.print(f"{state:<9} {directory / name}", markup=False)
    out.print("\n".join(["next:", *(f"  {step}" for step in steps)]) if steps else UP_TO_DATE)


def this_program() -> Path:
    """The `tracker` of the environment that runs now; raises InputError."""
    program = Path(sysconfig.get_path("scripts"), "tracker")
    if not program.is_file():
        raise InputError(
            f"there is no {program}; install heygen-tracker with pip, as docs/installing.md says"
        )
    return program


def what_it_runs_from() -> list[Path]:
    """Every folder that the service must see to run this installation."""
    return [Path(sys.prefix), Path(sys.base_prefix), Path(sys.executable).resolve(), PACKAGE]


def refuse_hidden(paths: Iterable[Path]) -> None:
    """Raise InputError where the service, in its sandbox, would not find the program (203/EXEC)."""
    for path in paths:
        for seen in (path, path.resolve()):
            for folder in HIDDEN:
                if seen.is_relative_to(folder):
                    raise InputError(
                        f"this tracker runs from {seen}, and the service's sandbox hides {folder}; install "
                        "it elsewhere: /usr/bin/python3 -m venv /opt/tracker, and pip install it there"
                    )


def shipped(name: str, program: Path) -> str:
    """A file as it is shipped, with `program` in it; raises InputError."""
    if name not in FILES:
        raise InputError(f"there is no file {name} to print; choose one of {', '.join(FILES)}")
    if name in TEMPLATES:
        return templated(shipped(TEMPLATES[name], program))
    packed = PACKAGE / "units"
    text = ((packed if packed.is_dir() else PACKAGE.parent / "systemd") / name).read_text()
    return text.replace(SHIPPED, quoted(program) if name in UNITS else shlex.quote(str(program)))


def templated(text: str) -> str:
    """A unit as one of several: they share port, settings and state, and each has an admin socket."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("#"):
            for old, new in SEVERAL.items():
                line = line.replace(old, new)
        lines.append(line)
    return "\n".join([*lines, ""])


def quoted(program: Path) -> str:
    """A path as a word of ExecStart= (systemd.service(5), systemd.syntax(7)); raises InputError."""
    text = str(program)
    if not text.isprintable() or "$" in text:  # which means something else in the first word than in others
        raise InputError(f"the path {text!r} cannot be written into a unit; install tracker elsewhere")
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return escaped if PLAIN.issuperset(text) else f'"{escaped}"'


def write(directory: Path, program: Path, names: Sequence[str] = UNITS) -> dict[str, str]:
    """Write the units that are not there yet, or differ; all or none. Raises InputError."""
    texts = {name: shipped(name, program) for name in names}
    try:
        states = {name: _state(directory / name, text) for name, text in texts.items()}
        _put(directory, {name: texts[name] for name, state in states.items() if state != "unchanged"})
    except OSError as error:
        raise InputError(
            f"{directory} cannot be written: {error.strerror}; run this as root, or name another folder"
        ) from error
    return states


def _state(path: Path, wanted: str) -> str:
    """What is to be done for this file; raises InputError where it is somebody else's."""
    if not path.exists() and not path.is_symlink():
        return "written"
    found = "" if path.is_symlink() or not path.is_file() else path.read_text(errors="replace")
    if not found.startswith(MARK):
        raise InputError(
            f"{path} was not written by `tracker units`, so nothing was changed; move it away first, "
            "and put changes of your own into a drop-in: systemctl edit"
        )
    return "unchanged" if found == wanted else "updated"


def _put(directory: Path, texts: Mapping[str, str]) -> None:
    """First all on disk under other names, then renamed: systemd never reads half a unit."""
    with ExitStack() as stack:
        ready: list[tuple[str, Path]] = []
        for name, text in texts.items():
            with NamedTemporaryFile("w", dir=directory, prefix=f".{name}.", delete=False) as file:
                stack.callback(Path(file.name).unlink, missing_ok=True)
                file.write(text)
                file.flush()
                os.fchmod(file.fileno(), 0o644)
                os.fsync(file.fileno())
            ready.append((file.name, directory / name))
        for made, path in ready:
            Path(made).replace(path)


def next_steps(states: Mapping[str, str], program: Path) -> list[str]:
    """The commands that bring into force what was written."""
    several = not set(TEMPLATES).isdisjoint(states)
    prepare = [MAKE_USER.format(shlex.quote(str(program))), RELOAD]
    if "written" in states.values():
        return [*prepare, FIRST_SEVERAL if several else FIRST_START]
    changed = [name for name, state in states.items() if state == "updated"]
    if not changed:
        return []
    sockets = any(name.endswith(".socket") for name in changed)  # a listener takes up a change when it opens
    if several:
        return [*prepare, RESTART_SOCKETS_SEVERAL if sockets else RESTART_SEVERAL]
    return [*prepare, RESTART_SOCKETS if sockets else RESTART]
