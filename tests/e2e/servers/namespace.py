"""namespace - run a program that has paths compiled in, with other files at those paths.

What     `words` puts a command into a mount namespace of its own, in which files and folders of ours lie over those of the
         machine. The command keeps its process id, descriptors and arguments.
Promise  No mount is seen outside, and all of them go with the last process inside. Nothing is written to the covered paths.
Not      The places must exist, and the caller must be root and allowed to mount: `refused` says so.
Source   unshare(1), mount_namespaces(7); unshare makes all mounts private by itself.
"""

import functools
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

_SCRIPT = """
PATH=/usr/sbin:/usr/bin:/sbin:/bin
while [ "$1" != -- ]; do mount --rbind "$1" "$2" || exit 1; shift 2; done
shift
exec "$@"
"""


def words(covers: Mapping[Path, Path], command: Sequence[str | Path]) -> tuple[str, ...]:
    """Return the words that run *command* with each key of *covers* showing what is at its value, in that order."""
    pairs = [str(path) for place, ours in covers.items() for path in (ours, place)]
    return ("/usr/bin/unshare", "--mount", "/bin/sh", "-c", _SCRIPT, "namespace", *pairs, "--", *map(str, command))


@functools.cache
def refused() -> str:
    """Return why there can be no mount namespace here; empty if there can."""
    tried = subprocess.run(["/usr/bin/unshare", "--mount", "true"], capture_output=True, text=True, timeout=20, check=False)
    return tried.stderr.strip()
