"""build_deb - make a Debian package of tarry, with all that it depends on inside.

    python packaging/build_deb.py WHEEL FOLDER

What      FOLDER/tarry_VERSION_ARCHITECTURE.deb. tarry comes from WHEEL; its dependencies are those of the environment that this
          runs in, file by file as pip installed them, so that what is packed is what the suite was run with. They lie in
          /usr/lib/tarry, which no other program sees.
Promises  No network. The same environment, sources and SOURCE_DATE_EPOCH make the same bytes. Nobody needs to be root.
Bounds    Compiled modules belong to one version of Python: the package depends on that one (python3.11, python3.13), which must be
          that of the release it is made for. The least glibc is what the wheels say of themselves (manylinux_2_28: 2.28).
Why own   Most of the libraries are not in Debian, or too old there (click 8.1, msgspec, pycares 5, tree-sitter-toml). dh-virtualenv
          makes a whole virtual environment with absolute paths in it, and is not in Debian any more.
Source    Debian policy 4.6, deb(5), deb-control(5), PEP 376 for RECORD.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Iterator
from email.utils import formatdate
from hashlib import md5
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from manpages import write_pages
from packaging.requirements import Requirement

HERE = Path(__file__).parent
ROOT = HERE.parent
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
EXTRAS = ("", "fleet")
"""What a packaged server can be configured for without a second package."""

_CONTROL = """\
Package: tarry
Version: {version}
Architecture: {architecture}
Maintainer: {maintainer}
Installed-Size: {size}
Depends: {python}, python3, libc6 (>= {glibc}), systemd | systemd-standalone-sysusers | passwd
Suggests: default-mta | mail-transport-agent
Section: mail
Priority: optional
Description: front door for mail servers
 tarry answers port 25, makes each client wait a few seconds before the
 greeting, notices the ones that cannot wait, and hands the rest to the mail
 server behind it: Postfix, Exim, Sendmail, OpenSMTPD, qmail, or any other
 that speaks SMTP.
 .
 It stays in line afterwards, queues nothing, and writes down why a client was
 refused. Nothing is enabled by installing it: /etc/tarry/tarry.toml tells how
 to begin.
"""
_COPYRIGHT = """\
Copyright: the authors of tarry.

It is licensed under the Apache License, version 2.0, which is in
/usr/share/common-licenses/Apache-2.0 on Debian systems.

The libraries in /usr/lib/tarry are unchanged, and have licenses of their own.
What their authors say of them is in the folders NAME.dist-info there.

"""


# What goes in.


def closure(requirements: Iterable[str], extras: Iterable[str]) -> dict[str, Distribution]:
    """Return the installed distributions that *requirements* lead to, by name. Raises SystemExit for one that is missing."""
    found: dict[str, Distribution] = {}
    waiting = [(Requirement(text), tuple(extras)) for text in requirements]
    while waiting:
        wanted, asked = waiting.pop()
        if wanted.marker is not None and not any(wanted.marker.evaluate({"extra": extra}) for extra in asked):
            continue
        name = re.sub(r"[-_.]+", "-", wanted.name).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{name} is not installed in this environment: run make dev")
        waiting += [(Requirement(text), ("", *wanted.extras)) for text in found[name].requires or ()]
    return dict(sorted(found.items()))


def copy_distribution(one: Distribution, target: Path) -> None:
    """Copy the files of a distribution that lie in site-packages; its scripts and compiled caches stay behind."""
    for file in one.files or ():
        path = PurePosixPath(file)
        if (
            ".." in path.parts
            or "__pycache__" in path.parts
            or path.name in (".gitignore", "direct_url.json", "RECORD", "INSTALLER", "REQUESTED")
        ):
            continue
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(one.locate_file(file)), target / path)


def least_glibc(some: Iterable[Distribution]) -> str:
    """Return the oldest glibc that all of them run with, by the tags of their wheels; one made here needs that of this machine."""
    here = (os.confstr("CS_GNU_LIBC_VERSION") or "glibc 2.36").split()[-1]
    needed = [(2, 17)]
    for one in some:
        tags = re.findall(r"^Tag: (\S+)$", one.read_text("WHEEL") or "", re.MULTILINE)
        known = [(int(a), int(b)) for tag in tags for a, b in re.findall(r"manylinux_(\d+)_(\d+)_", tag)]
        if any("-linux_" in tag for tag in tags):
            known.append((int(here.split(".")[0]), int(here.split(".")[1])))
        if known:
            needed.append(min(known))
    return ".".join(map(str, max(needed)))


def license_of(one: Distribution) -> str:
    """Return what a distribution says of its license, in a line."""
    said = next((text for name in ("License-Expression", "License") for text in one.metadata.get_all(name) or ()), "").strip()
    classified = [text.rpartition(" :: ")[2] for text in one.metadata.get_all("Classifier") or () if text.startswith("License ::")]
    return said if 0 < len(said) < 60 else ", ".join(classified) or "see its dist-info"


# Where it goes.


def fill(root: Path, wheel: Path, version: str) -> dict[str, Distribution]:
    """Lay out the tree of the package, and return the libraries inside."""
    library = root / "usr/lib/tarry"
    library.mkdir(parents=True)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(library)
    tarry = next(iter(Distribution.discover(name="tarry", path=[str(library)])))
    inside = closure(tarry.requires or (), EXTRAS)
    for one in inside.values():
        copy_distribution(one, library)
    (library / f"tarry-{version}.dist-info/RECORD").unlink()

    put(root, "usr/bin/tarry", filled("tarry").encode(), 0o755)
    copy(root, "etc/tarry", HERE / "tarry.toml")
    units = HERE / "systemd"
    copy(root, "usr/lib/systemd/system", *units.glob("*.service"), *units.glob("*.socket"))
    copy(root, "usr/lib/sysusers.d", HERE / "sysusers.d/tarry.conf")
    copy(root, "usr/lib/tmpfiles.d", HERE / "tmpfiles.d/tarry.conf")
    write_pages(root / "usr/share/man")
    for shell, place in COMPLETIONS.items():
        put(root, place, completion(shell))

    doc = "usr/share/doc/tarry"
    shutil.copytree(ROOT / "docs", root / doc / "docs", ignore=shutil.ignore_patterns(".*"))
    shutil.copytree(units / "examples", root / doc / "examples/systemd")
    copy(root, doc, ROOT / "README.md")
    packed = "".join(f"  {name} {one.version}: {license_of(one)}\n" for name, one in inside.items())
    put(root, f"{doc}/copyright", (_COPYRIGHT + packed).encode())
    put(root, "usr/share/lintian/overrides/tarry", filled("lintian-overrides").encode())
    put(root, f"{doc}/changelog.gz", gzip.compress((ROOT / "CHANGELOG.md").read_bytes(), 9, mtime=0))
    put(root, f"{doc}/changelog.Debian.gz", gzip.compress(changes(version).encode(), 9, mtime=0))
    return inside


COMPLETIONS = {
    "bash": "usr/share/bash-completion/completions/tarry",
    "zsh": "usr/share/zsh/vendor-completions/_tarry",
    "fish": "usr/share/fish/vendor_completions.d/tarry.fish",
}


def completion(shell: str) -> bytes:
    """Return what click writes for a shell; the program of the environment is asked for it, as an operator would."""
    asked = {**os.environ, "_TARRY_COMPLETE": f"{shell}_source"}
    return subprocess.run([sys.executable, "-m", "tarry"], env=asked, capture_output=True, timeout=30, check=True).stdout


def put(root: Path, place: str, content: bytes, mode: int = 0o644) -> None:
    path = root / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)


def copy(root: Path, folder: str, *files: Path) -> None:
    for file in files:
        put(root, f"{folder}/{file.name}", file.read_bytes())


def filled(name: str) -> str:
    """Return a file of packaging/debian with the version of Python in its place."""
    text = (HERE / "debian" / name).read_text(encoding="utf-8")
    return text.replace("@PYTHON@", PYTHON).replace("@VERSION@", PYTHON.removeprefix("python"))


def maintainer() -> str:
    return f"{os.environ.get('DEBFULLNAME', 'tarry')} <{os.environ.get('DEBEMAIL', 'postmaster@localhost')}>"


def changes(version: str) -> str:
    return f"tarry ({version}) unstable; urgency=medium\n\n  * See changelog.gz.\n\n -- {maintainer()}  {formatdate(epoch())}\n"


def epoch() -> int:
    """Return the time that all files get: SOURCE_DATE_EPOCH, or now."""
    return int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))


# The package.


def describe(root: Path, inside: dict[str, Distribution], version: str) -> None:
    """Write the control files: who it is, what the operator may change, checksums, and what runs at its installation."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    control = _CONTROL.format(
        version=version,
        architecture=subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True).stdout.strip(),
        maintainer=maintainer(),
        size=sum(path.stat().st_size for path in files) // 1024,
        python=PYTHON,
        glibc=least_glibc(inside.values()),
    )
    sums = "".join(f"{md5(path.read_bytes()).hexdigest()}  {path.relative_to(root)}\n" for path in files)
    put(root, "DEBIAN/control", control.encode())
    put(root, "DEBIAN/conffiles", b"/etc/tarry/tarry.toml\n")
    put(root, "DEBIAN/md5sums", sums.encode())
    for script in ("postinst", "prerm", "postrm"):
        put(root, f"DEBIAN/{script}", filled(script).encode(), 0o755)


def plain(root: Path) -> Iterator[Path]:
    """Give folders and files the modes and the time of the package, whatever umask and clock were."""
    for path in (root, *sorted(root.rglob("*"))):
        is_program = path.is_dir() or path.relative_to(root).as_posix().startswith(("usr/bin/", "DEBIAN/p"))
        path.chmod(stat.S_IFMT(path.stat().st_mode) | (0o755 if is_program else 0o644))
        os.utime(path, (epoch(), epoch()))
        yield path


def build(wheel: Path, folder: Path) -> Path:
    """Make the package in *folder*, and return its path."""
    version = wheel.name.split("-")[1]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="tarry-deb-") as work:
        root = Path(work, "tarry")
        inside = fill(root, wheel, version)
        describe(root, inside, version)
        list(plain(root))
        asked = [
            "dpkg-deb",
            "--root-owner-group",
            f"-Z{os.environ.get('TARRY_DEB_PACKING', 'xz')}",
            "--build",
            str(root),
            str(folder),
        ]
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch())}
        told = subprocess.run(asked, env=environment, capture_output=True, text=True, timeout=300, check=True).stdout
    print(told.strip())
    return max(folder.glob(f"tarry_{version}_*.deb"), key=lambda path: path.stat().st_mtime_ns)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python packaging/build_deb.py WHEEL FOLDER")
    build(Path(sys.argv[1]), Path(sys.argv[2]))
