"""senders - six programs and libraries that people send mail with, all called in the same way.

What     `send(name, port, ...)` sends one message to a loopback port with one of SENDERS, and tells how it went; `needs`
         names what must be there for it.
Promise  No sender waits longer than its timeout. None reads the user's own configuration, none looks up a name.
Not      Postfix and Haraka send too, from a queue: see their modules. swaks replaces words such as %DATE% in a message.
Source   curl(1), msmtp(1), swaks(1), Net::SMTP(3perl), and nodemailer's "SMTP transport" and "Custom source" pages.
"""

import smtplib
import time
from collections.abc import Callable
from dataclasses import dataclass

from tests.e2e.servers import certificate, clients, install
from tests.e2e.servers.clients import MESSAGE, RECIPIENT, SENDER, TIMEOUT, Ran

# Each line that it reads or writes is printed, as with the debug switches of the programs.
NET_SMTP = """
use strict; use warnings; use Net::SMTP;
my ($port, $timeout, $from, $to, $tls, $source) = @ARGV;
binmode STDIN;
my $message = do { local $/; <STDIN> };
my $smtp = Net::SMTP->new('127.0.0.1', Port => $port, Timeout => $timeout, Hello => 'client.example', Debug => 1,
    ($source ? (LocalAddr => $source) : ())) or die "no connection: $@";
if ($tls) { $smtp->starttls(SSL_verify_mode => 0) or die "no TLS: " . $smtp->message . $@ }
my $taken = $smtp->mail($from) && $smtp->to($to) && $smtp->data && $smtp->datasend($message) && $smtp->dataend;
$smtp->quit;
exit($taken ? 0 : 1);
"""

NODEMAILER = """
const [library, port, timeout, from, to, tls, source] = process.argv.slice(1)
const chunks = []
process.stdin.on('data', (chunk) => chunks.push(chunk)).on('end', () => {
    require(library).createTransport({
        host: '127.0.0.1', port, name: 'client.example', secure: false, ignoreTLS: !tls, requireTLS: !!tls,
        tls: { rejectUnauthorized: false }, localAddress: source || undefined, logger: true, debug: true,
        connectionTimeout: timeout * 1000, greetingTimeout: timeout * 1000, socketTimeout: timeout * 1000,
    }).sendMail({ envelope: { from, to }, raw: Buffer.concat(chunks) }).catch((problem) => {
        console.error(problem)
        process.exitCode = 1
    })
})
"""


def send(
    name: str,
    port: int,
    *,
    sender: str = SENDER,
    recipient: str = RECIPIENT,
    message: bytes = MESSAGE,
    starttls: bool = False,
    source: str | None = None,
) -> Ran:
    """Send *message*, whose lines end in CRLF; the status is 0 when the server took it.

    With *starttls* the sender insists on STARTTLS and takes any certificate, without it sends in the clear. *source* is the
    loopback address to come from, such as 127.9.8.7. The output holds the dialogue, for smtplib only what it raised.
    """
    return SENDERS[name](_Order(port, sender, recipient, message, starttls, source or ""))


def needs(name: str, *, starttls: bool = False) -> tuple[str, ...]:
    """Return what `need` must find for the sender *name*."""
    match name:
        case "net-smtp" | "swaks":
            program = "perl" if name == "net-smtp" else name
            return (program, "perl-tls") if starttls else (program,)
        case "smtplib":
            return ()
        case _:
            return (name,)


@dataclass(frozen=True, slots=True)
class _Order:
    port: int
    sender: str
    recipient: str
    message: bytes
    starttls: bool
    source: str  # empty for any


def _curl(order: _Order) -> Ran:
    options = [*(["--ssl-reqd", "--insecure"] if order.starttls else []), *(["--interface", order.source] if order.source else [])]
    return clients.curl(order.port, *options, sender=order.sender, recipient=order.recipient, message=order.message)


def _msmtp(order: _Order) -> Ran:
    options = ["--domain=client.example", "--set-date-header=off", "--set-msgid-header=off"]
    if order.source:
        options.append(f"--source-ip={order.source}")
    if order.starttls:
        options += ["--tls=on", "--tls-starttls=on", "--tls-certcheck=off"]
    return clients.msmtp(order.port, *options, sender=order.sender, recipient=order.recipient, message=order.message)


def _net_smtp(order: _Order) -> Ran:
    return clients.run("perl", "-e", NET_SMTP, *_words(order), given=order.message)


def _nodemailer(order: _Order) -> Ran:
    library = install.folder("nodemailer") / "node_modules" / "nodemailer"
    return clients.run("node", "-e", NODEMAILER, str(library), *_words(order), given=order.message)


def _smtplib(order: _Order) -> Ran:
    began = time.monotonic()
    source = (order.source, 0) if order.source else None
    try:
        with smtplib.SMTP("127.0.0.1", order.port, "client.example", timeout=TIMEOUT, source_address=source) as client:
            if order.starttls:
                client.starttls(context=certificate.client_context())
            client.sendmail(order.sender, order.recipient, order.message)
    except (smtplib.SMTPException, OSError) as problem:
        return Ran(1, repr(problem), time.monotonic() - began)
    return Ran(0, "", time.monotonic() - began)


def _swaks(order: _Order) -> Ran:
    options = ["--ehlo", "client.example", *(["--local-interface", order.source] if order.source else [])]
    if order.starttls:
        options.append("-tls")
    message = order.message.removesuffix(b"\r\n")  # it adds a line end whether there is one or not
    return clients.swaks(order.port, *options, sender=order.sender, recipient=order.recipient, message=message)


def _words(order: _Order) -> tuple[str, ...]:
    return str(order.port), str(TIMEOUT), order.sender, order.recipient, "tls" if order.starttls else "", order.source


SENDERS: dict[str, Callable[[_Order], Ran]] = {
    "curl": _curl,
    "msmtp": _msmtp,
    "net-smtp": _net_smtp,
    "nodemailer": _nodemailer,
    "smtplib": _smtplib,
    "swaks": _swaks,
}
