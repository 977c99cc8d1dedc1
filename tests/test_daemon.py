"""Wiring: a front door in a loop of its own, on loopback ports that the system chooses."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import threading
from collections.abc import Coroutine
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tarry.config.compile import fingerprint
from tarry.config.load import Loaded
from tarry.config.schema import Config
from tarry.daemon import Server, serve
from tarry.sockets import Open
from tests.certificates import make
from tests.doors import Client, config_of, in_transaction, loaded, records
from tests.side import descriptors, until

pytestmark = pytest.mark.usefixtures("own_folder")


def run(scenario: Coroutine[Any, Any, None]) -> None:
    asyncio.run(scenario)


# Starting and stopping.


def test_a_front_door_with_a_maildir() -> None:
    """A message goes through, the log tells start and stop, and an idle client is told that the door closes."""

    async def scenario() -> None:
        async with serve(config_of()) as server:
            client = await in_transaction(server)
            assert (await client.says("RCPT TO:<c@d.example>")).startswith("250 ")
            assert (await client.says("DATA")).startswith("354 ")
            assert (await client.says("text\r\n.")).startswith("250 2.0.0 Ok: stored as ")
            leaving = asyncio.create_task(last_word(client))
        assert "421 4.3.2 Service is going down, try again later" == await leaving
        assert [] == server.notes
        assert 1 == len(list(Path("mail/new").iterdir()))
        start, stop = records("start")[0], records("stop")[0]
        assert ([f"127.0.0.1:{server_port(start)}"], 50, os.getpid()) == (start["listen"], start["max_clients"], start["pid"])
        assert ("stop", 1) == (stop["why"], stop["sessions"])

    run(scenario())


async def last_word(client: Client) -> str:
    """Wait for what is said unasked, and go."""
    word = await client.hears()
    await client.leaves()
    return word


def server_port(start: dict[str, Any]) -> str:
    return str(start["listen"][0].rpartition(":")[2])


def test_serving_until_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    """`await serve(config)` serves; cancelled it drains."""
    monkeypatch.setattr("tarry.daemon.FLUSH_EVERY", 0.001)

    async def scenario() -> None:
        async def forever() -> None:
            await serve(config_of())

        task = asyncio.create_task(forever())
        while not Path("log").exists() or not records("start"):
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ["cancelled"] == [one["why"] for one in records("stop")]

    run(scenario())


def test_the_defaults() -> None:
    """Without a configuration it is the default one."""
    assert ["127.0.0.1:2525"] == [str(one) for one in serve()._config.listen.smtp]
    assert [] == serve().addresses


def test_what_the_operator_should_know() -> None:
    """Fewer clients than asked for, a log that cannot be written, an MTA that does not answer."""

    async def scenario() -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            text = f'[handoff]\nmode = "proxy"\naddress = "127.0.0.1:{port}"\n'
            text += '[listen]\nsmtp = ["127.0.0.1:0"]\nmax_clients = 1000000\n'
            config = Config.from_toml(text + '[record]\npath = "no/such/log"\n[hold]\nwait = "0s"')
            async with serve(config) as server:
                client = await Client.of(server)
                assert (await client.hears()).startswith("421 4.3.2 Service not available")
                await client.leaves()
                fitted, log, mta = server.notes
                assert "lower listen.max_clients" in fitted
                assert "the records cannot be written to no/such/log: ENOENT" in log
                assert f"the MTA at 127.0.0.1:{port} does not answer yet" in mta

    run(scenario())


def test_an_address_that_is_taken() -> None:
    """The start fails, and no other address is kept."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            free = socket.create_server(("127.0.0.1", 0))
            addresses = [sock.getsockname()[1] for sock in (free, taken)]
            free.close()
            server = serve(config_of(listen=", ".join(f'"127.0.0.1:{port}"' for port in addresses)))
            with pytest.raises(OSError, match="in use") as caught:
                await server.start()
            assert errno.EADDRINUSE == caught.value.errno
            socket.create_server(("127.0.0.1", addresses[0])).close()

    run(scenario())


# An embedding program goes on after it.


QUIET = "[karma]\nby_domain = false\n"
"""Without the public suffix list, which is loaded from its file by a thread of the executor."""


async def left_behind(server: Server) -> tuple[int, int]:
    """Return how many readers of the loop and how many tasks a start that fails leaves there."""
    selector = asyncio.get_running_loop()._selector  # type: ignore[attr-defined]
    readers, tasks = len(selector.get_map()), len(asyncio.all_tasks())
    with suppress(OSError, asyncio.CancelledError):
        await server.start()
    for _ in range(3):
        await asyncio.sleep(0)
    return len(selector.get_map()) - readers, len(asyncio.all_tasks()) - tasks


def test_a_start_that_fails_leaves_nothing_in_the_loop() -> None:
    """No reader, no task, no descriptor, no thread: the program may mend the configuration and try again."""

    async def scenario() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            listen = f'"127.0.0.1:0", "127.0.0.1:{taken.getsockname()[1]}"'
            await left_behind(serve(config_of(QUIET, listen=listen)))  # what the loop and the executor open once
            before = descriptors(), threading.active_count()
            assert (0, 0) == await left_behind(serve(config_of(QUIET, listen=listen)))
            # Fewer descriptors: pycares closes those of an earlier test's channel in a thread of its own.
            assert descriptors() <= before[0]
            await until(lambda: threading.active_count() <= before[1])  # that of the store has done its work, and ends by itself
        Path("mail").rename("elsewhere")
        Path("mail").touch()
        assert (0, 0) == await left_behind(serve(config_of(QUIET)))
        await until(lambda: threading.active_count() <= before[1])

    run(scenario())


def test_a_start_that_is_cancelled_leaves_nothing_in_the_loop() -> None:
    """While it waits for the MTA's first answer."""

    async def scenario() -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as mute:
            text = f'{QUIET}[handoff]\nmode = "proxy"\nannounce = "proxy-v2"\naddress = "127.0.0.1:{mute.getsockname()[1]}"'
            for is_warm in (False, True):
                before = descriptors()
                starting = asyncio.create_task(left_behind(serve(config_of(text))))
                await asyncio.sleep(0.01)
                starting.cancel()
                assert (0, 0) == await starting
                assert not is_warm or before == descriptors()

    run(scenario())


# Giving way to another one.


def test_who_retires_lets_its_clients_end_by_themselves() -> None:
    """A held one is greeted when its time has come, and no socket is accepted from any more, nor is it closed for others."""

    async def scenario() -> None:
        server = serve(config_of("[limits]\ndrain = '20s'", wait="300ms"))
        await server.start()
        kept = server.sockets[0].sock.dup()
        held = await Client.of(server)
        while not server._front.held:
            await asyncio.sleep(0.002)
        retiring = asyncio.create_task(server.retire("upgrade"))
        assert (await held.hears()).startswith("220 ")
        with socket.create_connection(kept.getsockname()), closing(kept):
            assert (await held.says("QUIT")).startswith("221 ")
            await held.leaves()
            await retiring
            kept.accept()[0].close()

    run(scenario())
    assert [("upgrade", 0)] == [(one["why"], one["sessions"]) for one in records("stop")]


@pytest.mark.parametrize("is_told", [True, False])
def test_who_retires_has_an_end(is_told: bool) -> None:
    """After limits.drain, or when it is stopped: then as at any stop."""

    async def scenario() -> None:
        server = serve(config_of(f"[limits]\ndrain = '{'20s' if is_told else '50ms'}'"))
        await server.start()
        client = await Client.of(server)
        await client.hears()
        retiring = asyncio.create_task(server.retire("upgrade"))
        if is_told:
            await asyncio.sleep(0)
            stopping = asyncio.create_task(server.stop("SIGTERM"))
        assert (await client.hears()).startswith("421 ")
        await client.leaves()
        await retiring
        if is_told:
            await stopping

    run(scenario())
    assert [("SIGTERM" if is_told else "upgrade", 1)] == [(one["why"], one["sessions"]) for one in records("stop")]


def test_the_clients_of_another_one_are_taken_until_it_is_back() -> None:
    """Then they stay in its backlog; and one that stops adopts nobody."""

    async def scenario() -> None:
        server = serve(config_of())
        await server.start()
        others = socket.create_server(("127.0.0.1", 0))
        others.setblocking(False)
        address = others.getsockname()
        for adopts in (True, True, False):
            if adopts:
                server.adopt(2, [Open(others.dup(), False)])
            client = Client(*await asyncio.open_connection(*address))
            if adopts:
                assert (await client.hears()).startswith("220 ")
                server.release(2)
            else:
                others.accept()[0].close()
            await client.leaves()
        server.release(2)
        server.adopt(3, [Open(others.dup(), False)])
        await server.stop()
        server.adopt(4, [Open(others.dup(), False)])
        others.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    run(scenario())


def test_who_is_in_the_backlog_at_a_stop_is_told() -> None:
    """A reset would say nothing."""

    async def scenario() -> None:
        server = serve(config_of(wait="5s"))
        await server.start()
        with socket.create_connection(server.addresses[0]) as client:
            await server.stop()
            client.settimeout(5)
            assert client.recv(100).startswith(b"421 ")

    run(scenario())


def test_one_that_takes_anothers_place_has_ids_of_its_own() -> None:
    """Both may have begun in one second."""

    async def scenario() -> None:
        async with Server(config_of(), incarnation=3) as server:
            client = await Client.of(server)
            await client.hears()
            await client.leaves()

    run(scenario())
    assert ["003"] == [one["id"][8:11] for one in records("connect")]


def test_a_second_stop_waits_for_the_first() -> None:
    """`stop` inside of `async with` is no error."""

    async def scenario() -> None:
        async with serve(config_of()) as server:
            client = await in_transaction(server)
            first = asyncio.create_task(server.stop("first"))
            await asyncio.sleep(0)
            await client.says("QUIT")
            await server.stop("second")
            assert server._stopped.is_set()
            await first
            await client.leaves()
        assert ["first"] == [one["why"] for one in records("stop")]

    run(scenario())


def test_a_stop_that_is_cancelled_ends_at_once() -> None:
    """Sessions are aborted, and nothing is left in the loop."""

    async def scenario() -> None:
        server = serve(config_of())
        await server.start()
        client = await in_transaction(server)
        stopping = asyncio.create_task(server.stop())
        await asyncio.sleep(0.01)
        stopping.cancel()
        with suppress(asyncio.CancelledError):
            await stopping
        assert "" == await client.hears()
        await server.stop()
        assert 0 == server._front.in_session
        await client.leaves()

    run(scenario())


def test_a_client_that_no_smtpd_takes_while_the_server_stops() -> None:
    """It is let go when limits.drain is over: a stop ends."""

    async def scenario() -> None:
        with closing(socket.socket(socket.AF_UNIX)) as smtpd:
            smtpd.bind("smtpd")
            smtpd.listen(9)
            text = '[limits]\ndrain = "10ms"\nbackend = "1ms"\n[handoff]\nmode = "pass"\nsocket = "smtpd"'
            async with serve(config_of(text)) as server:
                client = await Client.of(server)
                while not server._front._giving:
                    await asyncio.sleep(0)
            await client.leaves()
        assert ["tarry went down before smtpd had taken it"] == [one["why"] for one in records("handoff")]

    run(scenario())


def test_a_session_that_outlasts_the_drain() -> None:
    """It is aborted when limits.drain is over."""

    async def scenario() -> None:
        async with serve(config_of("[limits]\ndrain = '10ms'")) as server:
            client = await in_transaction(server)
        await client.leaves()
        assert [1] == [one["sessions"] for one in records("stop")]

    run(scenario())


def test_stress_is_recorded() -> None:
    """Of the MTA and of descriptors."""

    async def scenario() -> None:
        async with serve(config_of()) as server:
            server._on_health(False, "gone")
            server._on_stress("descriptors", True, "EMFILE")
        assert [("mta", True, "gone"), ("descriptors", True, "EMFILE")] == [
            (one["what"], one["on"], one["why"]) for one in records("stress")
        ]

    run(scenario())


def test_records_are_written_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a timer, and not only at the end."""
    monkeypatch.setattr("tarry.daemon.FLUSH_EVERY", 0.001)

    async def scenario() -> None:
        async with serve(config_of()):
            async with asyncio.timeout(5):
                while not Path("log").exists() or not records("start"):
                    await asyncio.sleep(0.002)

    run(scenario())


# Reloading.


def test_a_reload_holds_for_later_clients() -> None:
    """Sessions that run keep what they began with."""

    async def scenario() -> None:
        async with serve(config_of()) as server:
            old = await in_transaction(server)
            denying = loaded('[deny]\nnetworks = ["127.0.0.0/8"]')
            assert server.reload(denying)
            new = await Client.of(server)
            assert (await new.hears()).startswith("554 5.7.1 Not accepted from this address")
            assert (await old.says("RCPT TO:<c@d.example>")).startswith("250 ")
            for client in (old, new):
                await client.leaves()
        assert [(fingerprint(denying.config), True)] == [(one["config"], one["ok"]) for one in records("config")]

    run(scenario())


def test_the_style_of_the_log_waits_for_a_restart() -> None:
    """A log has one style from its start to its end, and that another was asked for is told in it."""
    text = '[listen]\nsmtp = ["127.0.0.1:0"]\n[record]\npath = "log"\n'

    async def scenario() -> None:
        async with serve(Config.from_toml(text + 'style = "postscreen"')) as server:
            for _ in range(2):  # it waits still, whatever was told before
                assert server.reload(loaded(text))
        lines = Path("log").read_text().splitlines()
        assert [] == [line for line in lines if " postfix/postscreen[" not in line]
        assert 2 == sum(line.endswith("(record.style as before until a restart)") for line in lines)

    run(scenario())


def test_a_reload_with_errors_keeps_the_old_one() -> None:
    """Bad keys, and a Maildir that cannot be made: both are recorded, and the door stays open."""

    async def scenario() -> None:
        Path("file").write_text("")
        async with serve(config_of()) as server:
            old = server._config
            assert not server.reload(loaded("[hold]\nwiat = '3s'"))
            assert not server.reload(loaded('[handoff]\nmaildir = "file/mail"\n[deny]\nnetworks = ["127.0.0.0/8"]'))
            assert old is server._config
            client = await in_transaction(server)
            await client.leaves()
        wrong, unmade = records("config")
        assert (False, False) == (wrong["ok"], unmade["ok"])
        assert "hold.wiat" in wrong["why"]
        assert "file" in unmade["why"]

    run(scenario())


# Certificates.


def tls_config(certificate: Path, key: Path) -> Config:
    """Return a configuration with both forms of TLS."""
    listen = '"127.0.0.1:0"]\nsmtps = ["127.0.0.1:0"'
    return config_of(f"[tls]\nmode = 'terminate'\ncertificate = '{certificate}'\nkey = '{key}'", listen=listen)


async def certificate_of(server: Server, number: int = 0, *, smtps: bool = False) -> bytes | None:
    """Return what certificate a client is shown, in DER form."""
    host, port = server.addresses[number]
    terms = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    terms.check_hostname, terms.verify_mode = False, ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(host, port, ssl=terms if smtps else None)
    await reader.readline()
    if not smtps:
        writer.write(b"STARTTLS\r\n")
        await reader.readline()
        await writer.start_tls(terms)
    writer.write(b"NOOP\r\n")
    assert (await reader.readline()).startswith(b"250 ")
    shown: bytes | None = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return shown


def der(certificate: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.read_text())


def test_a_reload_reads_the_certificate_again() -> None:
    """New clients see the new one; one that cannot be used is told, and the old one stays."""

    async def scenario() -> None:
        first, key = make(Path())
        async with serve(tls_config(first, key)) as server:
            assert der(first) == await certificate_of(server) == await certificate_of(server, 1, smtps=True)
            old = der(first)
            make(Path())  # another one under the same name
            assert server.reload(loaded_of(tls_config(first, key)))
            assert old != der(first) == await certificate_of(server)
            key.write_bytes(make(Path(), "other")[1].read_bytes())
            assert not server.reload(loaded_of(tls_config(first, key)))
            assert der(first) == await certificate_of(server)
            # listen.smtps holds until a restart, and goes on with the last certificate.
            assert server.reload(loaded("[hold]\nwait = '0s'"))
            assert der(first) == await certificate_of(server, 1, smtps=True)
        _, unusable, _ = records("config")
        assert not unusable["ok"]
        assert "the key is that of another certificate" in unusable["why"]

    run(scenario())


def loaded_of(config: Config) -> Loaded:
    return replace(loaded(""), config=config)


def test_a_certificate_that_cannot_be_used() -> None:
    """The start fails with a sentence that names the key and the file."""

    async def scenario() -> None:
        with pytest.raises(OSError, match=r"tls\.certificate: none\.pem: No such file or directory"):
            await serve(tls_config(Path("none.pem"), Path("none.key")))

    run(scenario())
