"""haraka - a private Haraka with its own configuration, queue, log and loopback port.

What     `Haraka(...)` is a context manager. By default it is a receiving MTA for `recipients`, whose mail `messages()` reads
         back; any other recipient gets Haraka's own 550 I cannot deliver mail for. Options turn on the other roles:
         relay_to (sending MTA), proxy_protocol, trust (XCLIENT), tls.
Promise  Several run side by side. Nothing outside its own folder is read or written, and no name is looked up.
Not      Its `early_talker` plugin is off: it skips local clients. A header line that is not UTF-8 is not kept, and the
         sending role adds Message-Id, Date and Received where a message lacks them: that is Haraka, not we.
Source   Haraka 3.1.1: docs/CoreConfig.md, docs/HAProxy.md, docs/Outbound.md, plugins/tls.js and plugins/xclient.js.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.e2e.servers import private

# Haraka has no mailbox of its own to deliver to: this is one. What it does not decide, Haraka decides in its own words.
PLUGIN = """
const fs = require('node:fs')
const path = require('node:path')
const { folder, recipients, relay } = JSON.parse(fs.readFileSync(path.join(process.env.HARAKA, 'options.json')))

exports.hook_lookup_rdns = (next) => next(OK, 'unknown')  // no DNS server is there to answer

exports.hook_connect = (next, connection) => {
    if (relay) connection.relaying = true
    next()
}

exports.hook_rcpt = (next, connection, [rcpt]) => {
    next(recipients.includes(rcpt.address().toLowerCase()) ? OK : undefined)
}

exports.hook_queue = (next, connection) => {
    const { uuid, rcpt_to, message_stream } = connection.transaction
    const whole = path.join(folder, 'tmp', uuid)
    const file = fs.createWriteStream(whole)
    file.once('close', () => {
        for (const rcpt of rcpt_to) fs.linkSync(whole, path.join(folder, 'mail', rcpt.address().toLowerCase(), 'new', uuid))
        fs.unlinkSync(whole)
        next(OK)
    })
    message_stream.pipe(file)
}

exports.hook_get_mx = (next) => {
    next(OK, { priority: 0, exchange: '127.0.0.1', port: relay.port, bind: relay.source || undefined })
}

exports.hook_deferred = (next) => next(DENYSOFT, 1)  // seconds; the configuration takes no less than 5
"""


class Haraka(private.ServerWithQueue):
    """A running Haraka; see the module text.

    *relay_to* makes it accept mail for everyone and bring it to that port, from the loopback address *source*, with STARTTLS
    where that is offered, whatever the certificate. *proxy_protocol* demands a PROXY header of version 1, the only one it
    reads. *trust* are further addresses that may say XCLIENT; with any, 127.0.0.1 and ::1 always may. *tls* is a certificate
    and its key, and turns STARTTLS on. *settings* are further files of its config folder, by name, and win over ours.
    The log has the dialogues, too; a delivered message is below Haraka's own Received, its lines ending in CRLF.
    """

    name = "haraka"

    def __init__(
        self,
        *,
        recipients: Sequence[str] = private.RECIPIENTS,
        relay_to: int | None = None,
        source: str | None = None,
        proxy_protocol: bool = False,
        trust: Sequence[str] = (),
        tls: tuple[Path, Path] | None = None,
        address: str = "127.0.0.1",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(recipients=recipients, address=address)
        self._relay_to = relay_to
        self._source = source
        self._proxy_protocol = proxy_protocol
        self._trust = tuple(trust)
        self._tls = tls
        self._settings = dict(settings or {})

    def queued(self) -> list[Path]:
        """Return the queue files there are now."""
        return [path for path in Path(self.folder, "queue").iterdir() if path.is_file()]

    def _lay_out(self) -> None:
        for name in ("config", "plugins", "queue", "tmp"):
            Path(self.folder, name).mkdir()
        self._make_maildirs()
        relay = {"port": self._relay_to, "source": self._source} if self._relay_to is not None else None
        options = {"folder": str(self.folder), "recipients": self._recipients, "relay": relay}
        Path(self.folder, "options.json").write_text(json.dumps(options))
        Path(self.folder, "plugins", "tarry.js").write_text(PLUGIN)

    def _configure(self) -> None:
        for name, text in {**self._config(), **self._settings}.items():
            Path(self.folder, "config", name).write_text(text)

    def _command(self) -> list[str | Path]:
        node = shutil.which("node")
        assert node is not None
        return [node, self._tree / "node_modules/Haraka/bin/haraka", "-c", self.folder]

    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder)}

    def _config(self) -> dict[str, str]:
        host = f"[{self.address}]" if ":" in self.address else self.address
        plugins = [*(["tls"] if self._tls else []), *(["xclient"] if self._trust else []), "tarry"]
        files = {
            "me": "haraka.example.org\n",
            "plugins": "\n".join(plugins) + "\n",
            "smtp.ini": f"listen={host}:{self.port}\nnodes=0\nspool_dir={self.folder}/tmp\n",
            "log.ini": "[main]\nlevel=protocol\ntimestamps=true\n",
            "connection.ini": self._connection(),
            "outbound.ini": "temp_fail_intervals=5s*100\n",
            "xclient.hosts": "".join(f"{each}\n" for each in self._trust),
        }
        if self._tls is not None:
            certificate, key = self._tls
            files["tls.ini"] = "key=tls_key.pem\ncert=tls_cert.pem\n"
            files["tls_key.pem"], files["tls_cert.pem"] = key.read_text(), certificate.read_text()
        return files

    def _connection(self) -> str:
        # All that it ships with, in its values: without a section Haraka 3.1.1 does not start, without a value it says "undefined".
        sections = {
            "main": (),
            "haproxy": ("hosts[]=127.0.0.0/8", "hosts[]=::1/128") if self._proxy_protocol else ("hosts[]=",),
            "headers": ("max_lines=1000", "max_received=100"),
            # Save for data_line_length: at 992 it breaks a line in two that RFC 5321 §4.5.3.1.6 allows.
            "max": ("bytes=26214400", "mime_parts=1000", "line_length=512", "data_line_length=1000000"),
            "message": ("helo=Haraka is at your service.", "close=closing connection. Have a jolly good day."),
            "uuid": ("banner_chars=6", "deny_chars=0"),
        }
        return "".join(f"[{name}]\n" + "".join(f"{line}\n" for line in lines) for name, lines in sections.items())
