"""What goes to other machines: the wheel, the manual pages, completions, units, the Debian package, the container file."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import tomllib
import venv
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from tarry.cli import _VERBS, cli
from tarry.config.keys import keys
from tarry.config.load import load
from tests.e2e.servers import sandbox
from tests.e2e.servers.clients import submit
from tests.e2e.servers.processes import Program, free_port, is_alive, wait_listening, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
PACKAGING = ROOT / "packaging"
UNITS = PACKAGING / "systemd"
VERSION = re.findall(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[0]
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def need(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command that must end well, without the environment of this one's Python."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True, timeout=60, check=False)
    assert 0 == done.returncode, (command, done.stdout[-2000:], done.stderr[-2000:])
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make wheel` makes."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], cwd=ROOT, check=True, timeout=60)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def package(wheel: Path) -> Path:
    """What `make deb` makes, but that nothing is compressed."""
    need("dpkg-deb")
    build(wheel, wheel.parent)
    return next(wheel.parent.glob("*.deb"))


def build(wheel: Path, folder: Path) -> None:
    run(sys.executable, PACKAGING / "build_deb.py", wheel, folder, SOURCE_DATE_EPOCH="1700000000", TARRY_DEB_PACKING="none")


@pytest.fixture(scope="module")
def tree(package: Path) -> Iterator[Path]:
    """The package unpacked, in a folder that other users can read."""
    with tempfile.TemporaryDirectory(prefix="tarry-tree-") as folder:
        root = Path(folder)
        run("dpkg-deb", "-x", package, root)
        root.chmod(0o755)
        yield root


def files(folder: Path) -> list[Path]:
    """Return the files below a folder; what Python has compiled since is left out."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)


def interpreter() -> Path:
    """The Python that the package asks for: Debian's own, or the one that this runs in where it is another's."""
    debian = Path("/usr/bin", PYTHON)
    return debian if debian.exists() else Path(sys.base_prefix, "bin", PYTHON)


def packaged(tree: Path) -> list[str | Path]:
    """The words that run the package's program: it alone where its first line finds its Python."""
    program = tree / "usr/bin/tarry"
    return [program] if interpreter().parent == Path("/usr/bin") else [interpreter(), "-I", program]


# The wheel.


def test_the_wheel_runs_in_an_environment_of_its_own(wheel: Path, tmp_path: Path) -> None:
    """Installed without a network it has its command, its version, and every preset."""
    venv.create(tmp_path / "venv", with_pip=False, symlinks=True)
    python = tmp_path / "venv/bin/python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel)
    site = next((tmp_path / "venv/lib").glob("python3*/site-packages"))
    (site / "libraries.pth").write_text(str(Path(click.__file__).parents[1]))  # the libraries are those of this environment

    command = tmp_path / "venv/bin/tarry"
    assert f"tarry {VERSION}\n" == run(command, "--version").stdout
    assert "is fine" in run(command, "config", "check", PACKAGING / "tarry.toml").stdout
    (tmp_path / "old.toml").write_text('preset = "spamd"\n')
    assert "preset spamd" in run(command, "config", "show", "--changed", "-c", tmp_path / "old.toml").stdout
    where = run(python, "-c", "import tarry, tarry.config.load as l; print(tarry.__file__); print(*map(l.preset_text, l.PRESETS))")
    assert where.stdout.startswith(str(site))


# Manual pages.


def pages(tree: Path) -> dict[str, str]:
    return {path.name: gzip.decompress(path.read_bytes()).decode() for path in (tree / "usr/share/man").rglob("*.gz")}


def commands(command: click.Command, ctx: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yield every command with the words that lead to it."""
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            below = command.get_command(ctx, name)
            assert below is not None
            yield from commands(below, click.Context(below, info_name=name, parent=ctx))
    else:
        yield ctx.command_path, command


def test_every_command_option_and_key_has_its_place_in_the_manual(tree: Path) -> None:
    """A page for each verb, with what is below it, and each key in tarry.toml(5)."""
    found = pages(tree)
    assert {"tarry.1.gz", "tarry.toml.5.gz", *(f"tarry-{verb}.1.gz" for verb in _VERBS)} == set(found)
    for path, command in commands(cli, click.Context(cli, info_name="tarry", **cli.context_settings)):
        page = found[f"tarry-{path.split()[1]}.1.gz"].replace("\\", "")
        options = [name for one in command.params if isinstance(one, click.Option) and not one.hidden for name in one.opts]
        assert path in page
        assert [] == [name for name in options if name not in page], path
    page = found["tarry.toml.5.gz"].replace("\\", "")
    assert [] == [name for name in keys() if not name.startswith("checks.") and f"fB{name.rpartition('.')[2]}fR =" not in page]


def test_the_manual_has_no_warnings(tree: Path) -> None:
    """Neither groff, by man, nor mandoc where it is installed, has anything to say."""
    need("man")
    for path in sorted((tree / "usr/share/man").rglob("*.gz")):
        told = run(
            "man", "--warnings", "--local-file", path, LC_ALL="C.UTF-8", MANWIDTH="80", MANROFFOPT="", MAN_DISABLE_SECCOMP="1"
        )
        assert "" == told.stderr, path.name
        assert "SEE ALSO" in told.stdout
        if shutil.which("mandoc"):
            assert "" == run("mandoc", "-Tlint", "-Wwarning", path).stdout


# Completion.

_ASK = """
source "$1"; shift
complete -p tarry >/dev/null || exit 1
while [ $# -gt 0 ]; do
    read -r -a COMP_WORDS <<< "$1"
    [[ $1 == *' ' ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
    _tarry_completion tarry 2>/dev/null
    echo "${COMPREPLY[*]}"; shift
done
"""


def test_bash_completes(tree: Path) -> None:
    """Verbs, the verbs below them, options and their values, by the function that the package installs."""
    need("bash")
    place = tree / "usr/share/bash-completion/completions/tarry"
    path = f"{tree / 'usr/bin' if len(packaged(tree)) == 1 else Path(sys.executable).parent}:{os.environ['PATH']}"
    asked = ("tarry se", "tarry config ", "tarry serve --ob", "tarry config try --preset sp")
    told = run("bash", "--norc", "-c", _ASK, "bash", place, *asked, PATH=path).stdout.splitlines()
    assert ["serve", " ".join(cli.get_command(None, "config").list_commands(None)), "--observe", "spamd"] == told


def test_the_completions_of_other_shells_are_theirs(tree: Path) -> None:
    """zsh and fish read theirs without a complaint, where they are installed."""
    for shell, place in (("zsh", "zsh/vendor-completions/_tarry"), ("fish", "fish/vendor_completions.d/tarry.fish")):
        text = (tree / "usr/share" / place).read_text()
        assert f"_TARRY_COMPLETE={shell}_complete" in text
        if shutil.which(shell):
            run(shell, "-n", tree / "usr/share" / place)


# Units.

SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
DROP_INS = sorted(path.relative_to(UNITS / "examples").as_posix() for path in (UNITS / "examples").glob("*/*.conf"))


def installed(folder: Path, *drop_ins: str) -> list[Path]:
    """Copy the units with a program that is there, and these drop-ins; return the services and sockets."""
    for unit in (*UNITS.glob("*.service"), *UNITS.glob("*.socket")):
        (folder / unit.name).write_text(unit.read_text().replace("/usr/bin/tarry", "/bin/true"))
    for name in drop_ins:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text((UNITS / "examples" / name).read_text().replace("/usr/bin/tarry", "/bin/true"))
    return sorted(path for path in folder.iterdir() if path.is_file())


def complaints(units: Sequence[Path]) -> str:
    """Return what systemd says of these units; what it says of others of the machine is left out."""
    told = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=30, check=False
    )
    return "\n".join(line for line in told.stderr.splitlines() if "tarry" in line or "examples" in line)


def exposure(unit: Path) -> float:
    """Return systemd's mark for a unit, 10 for one without any protection."""
    rated = run("systemd-analyze", "security", "--offline=true", "--no-pager", unit).stdout
    return float(re.findall(r"Overall exposure level for \S+: ([\d.]+)", rated)[0])


def test_systemd_accepts_the_units_and_rates_them_below_2(tmp_path: Path) -> None:
    """All of them together, without a complaint; every service has an exposure below 2.0."""
    need("systemd-analyze")
    units = installed(tmp_path)
    assert "" == complaints(units)
    assert {} == {name: mark for name in SERVICES if not (mark := exposure(tmp_path / name)) < 2.0}


@pytest.mark.parametrize("name", DROP_INS)
def test_systemd_accepts_the_examples(tmp_path: Path, name: str) -> None:
    """Each example lies over its unit without a complaint, and says how to use it in its first lines."""
    need("systemd-analyze")
    units = installed(tmp_path, name)
    assert "" == complaints(units)
    comment = " ".join((UNITS / "examples" / name).read_text().partition("\n\n")[0].replace("#", "").split())
    assert f"Copy it to /etc/systemd/system/{Path(name).parent}/." in comment


def test_the_example_without_a_capability_leaves_none(tmp_path: Path) -> None:
    """With the sockets of systemd no right is left, and the mark is better still."""
    need("systemd-analyze")
    installed(tmp_path)
    before = exposure(tmp_path / "tarry.service")
    installed(tmp_path, "tarry.service.d/no-capability.conf")
    assert exposure(tmp_path / "tarry.service") < before


def test_the_filter_lets_every_call_through_that_tarry_makes() -> None:
    """Those for clients in crowds, for sockets given away, for workers and for logs; and none to change users or priorities."""
    need("systemd-analyze")
    calls = set(sandbox.allowed(sandbox.settings(UNITS / "tarry.service")["SystemCallFilter"]))
    needed = {"epoll_wait", "eventfd2", "sendmsg", "recvmsg", "memfd_create", "clone", "execve", "prlimit64", "fdatasync", "flock"}
    assert set() == needed - calls
    assert set() == calls & {"setuid", "setgroups", "setpriority", "sched_setaffinity", "mount", "ptrace", "bpf", "reboot"}


# The Debian package.


def test_the_package_says_what_it_is(package: Path, tree: Path) -> None:
    """Its control file has what dpkg wants, names the Python that its libraries are made for, and lists what is the operator's."""
    fields = dict(re.findall(r"^(\S+): (.+)$", run("dpkg-deb", "-f", package).stdout, re.MULTILINE))
    assert ("tarry", VERSION, "mail") == (fields["Package"], fields["Version"], fields["Section"])
    assert {PYTHON, "python3"} <= set(fields["Depends"].split(", "))
    assert "/etc/tarry/tarry.toml\n" == run("dpkg-deb", "-I", package, "conffiles").stdout
    sums = [line.split("  ", 1) for line in run("dpkg-deb", "-I", package, "md5sums").stdout.splitlines()]
    assert sorted(file.relative_to(tree).as_posix() for file in files(tree)) == sorted(name for _, name in sums)
    assert [] == [name for digest, name in sums if hashlib.md5((tree / name).read_bytes()).hexdigest() != digest]
    for script in ("postinst", "prerm", "postrm"):
        subprocess.run(["sh", "-n"], input=run("dpkg-deb", "-I", package, script).stdout, text=True, check=True, timeout=10)


def test_nothing_of_the_builder_is_in_the_package(package: Path) -> None:
    """Folders 0755, files 0644, programs 0755, all root's and of one time, whoever built it, when, and with whatever umask."""
    listed = [line.split(maxsplit=5) for line in run("dpkg-deb", "-c", package).stdout.splitlines()]
    assert {("root/root", "2023-11-14")} == {(line[1], line[3]) for line in listed}  # SOURCE_DATE_EPOCH
    odd = {line[5]: line[0] for line in listed if line[0] not in ("drwxr-xr-x", "-rw-r--r--")}
    assert {"./usr/bin/tarry": "-rwxr-xr-x"} == odd
    assert [] == [line[5] for line in listed if "__pycache__" in line[5] or line[5].endswith(".pyc")]


def test_the_package_names_no_place_where_it_was_built(tree: Path) -> None:
    """Nothing inside leads back to the checkout or to the environment that the libraries were copied from."""
    places = {str(ROOT).encode(), sys.prefix.encode()}
    assert [] == [str(file) for file in files(tree) if any(place in file.read_bytes() for place in places)]


def test_the_package_runs_from_where_it_lies(tree: Path) -> None:
    """Its program finds its own libraries, all of them, and its configuration has nothing to be warned of."""
    assert f"tarry {VERSION}\n" == run(*packaged(tree), "--version").stdout
    told = run(*packaged(tree), "config", "check", "--json", tree / "etc/tarry/tarry.toml").stdout
    assert [] == json.loads(told)["problems"]
    look = "import sys; sys.path.insert(0, sys.argv[1]); import aiosmtpd, msgspec, pycares, rich, tree_sitter_toml, uvloop as u"
    assert str(tree) in run(interpreter(), "-I", "-c", f"{look}; print(u)", tree / "usr/lib/tarry").stdout


# On a copy of this machine that is gone with the last process in it. No trigger runs: the manual's index takes longest of all.
_ON_A_COPY = """
mount -t tmpfs tmpfs "$1" && mkdir "$1/upper" "$1/work" "$1/machine" && cp "$2" "$1/tarry.deb" || exit 90
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/machine" || exit 90
mount -t proc proc "$1/machine/proc" && cp "$1/tarry.deb" "$1/machine/" && exec chroot "$1/machine" /bin/sh -ec '
dpkg --no-triggers --force-depends -i /tarry.deb >&2
id -un tarry; stat -c "%U %a" /var/log/tarry/records
dpkg --no-triggers -r tarry >&2
ls /etc/tarry; test ! -e /usr/lib/tarry && echo removed
dpkg --no-triggers -P tarry >&2
test ! -e /etc/tarry && test ! -e /var/log/tarry && id -un tarry'
"""


def test_dpkg_installs_removes_and_purges(package: Path, tmp_path: Path) -> None:
    """For real, by Debian's own tools: a user and folders are made, the configuration stays until the package is purged, and
    nothing is left then but the user."""
    if reason := sandbox.refused():
        pytest.skip(reason)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _ON_A_COPY, "copy", tmp_path, package],
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if done.returncode == 90:
        pytest.skip(f"no file system can be laid over that of this machine: {done.stderr.strip()}")
    told = ["tarry", "tarry 750", "tarry.toml", "removed", "tarry"]
    assert (0, told) == (done.returncode, done.stdout.splitlines()), done.stderr


def adapted(tree: Path, state: Path) -> Path:
    """Write the packaged configuration with other folders, a short hold, and a Maildir in place of the mail server."""
    text = (tree / "etc/tarry/tarry.toml").read_text()
    for place in ("/var/log/tarry", "/var/lib/tarry", "/run/tarry"):
        text = text.replace(place, str(state))
    text = text.replace('mode = "proxy"', f'mode = "maildir"\nmaildir = "{state}/mail"')
    text = text.replace("[listen]\n", "[listen]\nworkers = 2\n")
    text = re.sub(r'^(address|announce) = ".+"$', "", text, flags=re.MULTILINE).replace('wait = "3s..6s"', 'wait = "100ms"')
    (state / "tarry.toml").write_text(text)
    assert () == load(state / "tarry.toml").errors  # a control socket below a folder that is open to all is warned of
    return state / "tarry.toml"


def test_the_packaged_server_serves_inside_its_sandbox(tree: Path) -> None:
    """The package's program, with its configuration, on a socket of systemd's, confined by its unit: it takes messages, remembers,
    reads its configuration again, gives way to a new version of itself, and stops when it is told to."""
    need("systemd-socket-activate")
    if reason := sandbox.refused():
        pytest.skip(reason)
    with (
        tempfile.TemporaryDirectory(prefix="tarry-state-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified,
    ):
        state = Path(folder)
        shutil.chown(state, "nobody", "nogroup")
        notified.bind(f"{state}/notify")
        notified.settimeout(20)
        (state / "notify").chmod(0o666)
        port = free_port()
        command = [interpreter(), "-I", tree / "usr/bin/tarry", "serve", "-c", adapted(tree, state)]
        confined = sandbox.words(UNITS / "tarry.service", command, python=interpreter(), writable=[state])
        listen = ("systemd-socket-activate", f"--listen=127.0.0.1:{port}", "--fdname=smtp", "-E", f"NOTIFY_SOCKET={state}/notify")
        output = state.parent / f"{state.name}.output"
        program = Program([*listen, *confined], output=output, folder=state)
        try:
            wait_listening(program, port, 10)
            assert {} == submit(port)
            assert notified.recv(4096).startswith(b"READY=1"), program.printed()
            status = Path(f"/proc/{program.pid}/status").read_text()
            assert ["1", "2"] == re.findall(r"^(?:NoNewPrivs|Seccomp):\t(\d)", status, re.MULTILINE)
            assert 1 == len(list((state / "mail/new").iterdir()))
            program.signal(signal.SIGHUP)
            told = [notified.recv(4096) for _ in range(2)]
            assert [True, True] == [told[0].startswith(b"RELOADING=1"), told[1].startswith(b"READY=1")]
            assert wait_until(lambda: (state / "tarry.sock").exists(), 10)
            assert f":{port}" in run(*packaged(tree), "status", "-c", state / "tarry.toml").stdout
            program.signal(signal.SIGUSR2)
            taken = re.match(rb"MAINPID=(\d+)\nREADY=1", notified.recv(4096))
            assert taken and program.wait(15) == 0, program.printed()
            assert {} == submit(port)
            os.kill(int(taken[1]), signal.SIGTERM)
            assert wait_until(lambda: not is_alive(int(taken[1])), 15), program.printed()
            lines = [json.loads(line) for file in (state / "records").iterdir() for line in file.read_bytes().splitlines()]
            assert [1, 1] == [one["messages"] for one in lines if one["ev"] == "close"]
            assert [] == [one for one in lines if one["ev"] in ("lost", "stress")]
            assert (state / "tarry.db").exists()
            assert "traceback" not in program.printed().lower()
        finally:
            program.kill()
            output.unlink(missing_ok=True)


# The container file.


def test_the_container_file_can_be_followed() -> None:
    """What it copies is there, its base image has a short name, it is not root's at the end, and what it runs is there."""
    text = (PACKAGING / "Containerfile").read_text()
    lines = [line for line in re.sub(r"\\\n", "", text).splitlines() if line and not line.startswith("#")]
    said = [tuple(line.split(maxsplit=1)) for line in lines]
    bases = [what.split()[0] for word, what in said if word == "FROM"]
    assert [] == [base for base in bases if "/" in base]
    for word, what in said:
        if word == "COPY" and "--from" not in what:
            assert [] == [source for source in what.split()[:-1] if not (ROOT / source).exists()], what
    words = [word for word, _ in said]
    last_stage = words[len(words) - 1 - words[::-1].index("FROM") :]
    assert last_stage.index("USER") < last_stage.index("ENTRYPOINT")
    assert ("HEALTHCHECK", "VOLUME") == tuple(sorted({"HEALTHCHECK", "VOLUME"} & set(words)))
    config = tomllib.loads((PACKAGING / "container.toml").read_text())
    port = config["web"]["listen"].rpartition(":")[2]
    assert f"http://127.0.0.1:{port}/health" in text
    assert config["listen"]["smtp"][0].rpartition(":")[2] == dict(said)["EXPOSE"]
    verb = json.loads(dict(said)["CMD"])
    assert (verb[0] in _VERBS, "/etc/tarry/tarry.toml") == (True, verb[-1])
    extras = set(re.findall(r"\[(\w+)\]'", text))
    assert extras <= set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])


def test_the_container_can_be_made(tmp_path: Path) -> None:
    """Where an engine runs that has the base image already, it follows the file's checks."""
    need("docker")
    if subprocess.run(["docker", "info"], capture_output=True, timeout=20, check=False).returncode:
        pytest.skip("docker has no daemon here")
    run("docker", "build", "--check", "-f", PACKAGING / "Containerfile", ROOT)


# All of it.


def test_the_configurations_have_nothing_to_be_warned_of() -> None:
    """The one for a package and the one for an image."""
    for name in ("tarry.toml", "container.toml"):
        assert () == load(PACKAGING / name).problems


def test_no_file_names_a_registry_or_a_machine() -> None:
    """The only addresses are this host's and those of examples."""
    found = files(PACKAGING)
    assert len(found) > 15
    for path in found:
        text = path.read_text(encoding="utf-8")
        assert [] == re.findall(r"(?:https?|git|ssh)://(?!127\.0\.0\.1)\S+|index-url|/(?:work|farm|root|home)/\S+", text), path.name


def test_make_has_the_targets_of_the_pages() -> None:
    """What docs/install.md says to make can be made, and the scripts that it calls are there."""
    for target in re.findall(r"^    make (\w+)", (ROOT / "docs/install.md").read_text(), re.MULTILINE):
        told = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=20, check=True).stdout
        named = re.findall(r"packaging/\S+", told)
        assert [] == [word for word in named if not (ROOT / word).exists()]
