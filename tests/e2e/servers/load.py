"""load - Postfix's own load generator and message sink, smtp-source and smtp-sink.

What     Both are small C programs in the unpacked Postfix; they are faster than what they measure.
Source   smtp-source(1), smtp-sink(1).
"""

import os
import subprocess
from pathlib import Path

from tests.e2e.servers import install
from tests.e2e.servers.processes import Program, wait_listening


def smtp_source(port: int, *arguments: str, timeout: float = 600.0) -> float:
    """Run Postfix's load generator against 127.0.0.1:*port* and return the seconds that it took."""
    began = os.times().elapsed
    command = [str(install.folder("postfix") / "usr/sbin/smtp-source"), *arguments, f"inet:127.0.0.1:{port}"]
    subprocess.run(command, env=install.environment("postfix"), capture_output=True, timeout=timeout, check=True)
    return os.times().elapsed - began


def smtp_sink(port: int, output: Path, *arguments: str) -> Program:
    """Start Postfix's message sink on 127.0.0.1:*port*; the caller ends it. It runs as nobody."""
    command = [str(install.folder("postfix") / "usr/sbin/smtp-sink"), "-u", "nobody", *arguments, f"inet:127.0.0.1:{port}", "1024"]
    program = Program(command, output=output, environment=install.environment("postfix"))
    try:
        wait_listening(program, port, timeout=10)
    except BaseException:
        program.end()
        raise
    return program
