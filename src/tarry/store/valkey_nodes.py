"""valkey_nodes - connections to a Valkey or Redis server, or to the servers of a cluster.

What      `Nodes.ask` sends commands, each to the server that has its key, and returns a reply for each. redis-py makes the
          connections, speaks the protocol and TLS, and knows which server of a cluster has what.
Promises  Nothing is sent before there is a connection to every server that is needed: a new one is greeted with PING, one that
          was ended is noticed. So `Away` is raised only where nothing was done. Nothing is sent twice, but what a server said it
          has not done (MOVED, ASK). A command without a proper reply is `Failed`, which says whether it is certain that it was
          not done. No text has the password in it.
Why       redis-py's own clients send anew what was not answered, and a change would count twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from redis import exceptions
from redis.asyncio import RedisCluster
from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tarry.store import Away, Failed
from tarry.store.places import Server

CONNECT_WAIT = 1.0
"""Seconds for a connection, its login and the first PING."""
REPLY_WAIT = 1.5
_REDIRECTED = (exceptions.AskError, exceptions.TryAgainError)  # MovedError is an AskError
_REFUSED = (exceptions.AuthenticationError, exceptions.AuthorizationError, exceptions.BusyLoadingError)

Command: TypeAlias = tuple[str | bytes | int, ...]
Address: TypeAlias = tuple[str, int]


class Nodes:
    """One server or several. It belongs to the event loop that first used it."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: dict[Address, list[AbstractConnection]] = {}
        self._tls: Any = None
        self._cluster: RedisCluster | None = None
        self._is_stale = True
        self._is_closed = False

    @property
    def is_cluster(self) -> bool:
        """Whether there are several servers, each with a part of the keys."""
        return self._server.is_cluster

    async def ask(self, commands: Sequence[Command], keys: Sequence[str | bytes]) -> list[Any]:
        """Return a reply, or `Failed`, for each command. *keys*: for each, the key that tells which server to ask."""
        if not self.is_cluster:
            return await self.ask_at((self._server.host, self._server.port), commands)
        cluster = await self._of_now()
        places: dict[Address, list[int]] = {}
        for place, key in enumerate(keys):
            try:
                node = cluster.get_node_from_key(key if isinstance(key, str) else key.decode())
            except exceptions.RedisClusterException as fault:  # a slot that no server has
                self._is_stale = True
                raise self._away(fault) from None
            if node is None:
                self._is_stale = True
                raise Away(f"{self._server.where}: the cluster has nobody for some of the keys")
            places.setdefault((node.host, int(node.port)), []).append(place)
        connections = await self._connected(places)
        try:
            talks = (self._talk(connections[at], [commands[place] for place in those]) for at, those in places.items())
            answers = await asyncio.gather(*talks)
        except BaseException:
            for connection in connections.values():
                await _drop(connection)
            raise
        self._give_back(connections)
        replies: list[Any] = [None] * len(commands)
        for those, answer in zip(places.values(), answers, strict=True):
            for place, reply in zip(those, answer, strict=True):
                replies[place] = await self._redirected(cluster, commands[place]) if reply is _MOVED else reply
        return replies

    async def ask_at(self, address: Address, commands: Sequence[Command]) -> list[Any]:
        """The same at one server."""
        connection = await self._take(address)
        try:
            replies = await self._talk(connection, commands)
        except BaseException:
            await _drop(connection)
            raise
        self._give_back({address: connection})
        wrong = Failed(f"{self._server.where} is a part of a cluster: add ?cluster=true to store.url", is_undone=True)
        return [wrong if reply is _MOVED else reply for reply in replies]

    async def addresses(self) -> list[Address]:
        """Return every server that has keys."""
        if not self.is_cluster:
            return [(self._server.host, self._server.port)]
        cluster = await self._of_now()
        return [(node.host, int(node.port)) for node in cluster.get_primaries()]

    async def close(self) -> None:
        """End every connection. Never raises."""
        self._is_closed = True
        for connection in [each for idle in self._idle.values() for each in idle]:
            await _drop(connection)
        self._idle.clear()
        await self._leave_cluster()
        await asyncio.sleep(0)  # a transport ends in the next turn of the loop, which may be the last one

    async def _connected(self, addresses: Iterable[Address]) -> dict[Address, AbstractConnection]:
        """Return a connection to each server, or raise Away."""
        found: dict[Address, AbstractConnection] = {}
        try:
            for address in addresses:  # one after the other: they are connected already, but at the first time and after a fault
                found[address] = await self._take(address)
        except BaseException:
            self._is_stale = True
            self._give_back(found)
            raise
        return found

    async def _take(self, address: Address) -> AbstractConnection:
        if self._is_closed:
            raise Away(f"{self._server.where} is closed")
        idle = self._idle.setdefault(address, [])
        connection = idle.pop() if idle else self._made(address)
        try:
            async with asyncio.timeout(CONNECT_WAIT):
                if connection.is_connected and await connection.can_read():
                    await connection.disconnect(nowait=True)  # it was ended, or says what nobody asked for
                if not connection.is_connected:
                    await connection.connect_check_health()
        except TimeoutError:
            await _drop(connection)
            raise Away(f"{self._server.where} does not answer") from None
        except (exceptions.RedisError, OSError) as fault:
            await _drop(connection)
            raise self._away(fault) from None
        except BaseException:
            await _drop(connection)
            raise
        return connection

    def _give_back(self, connections: Mapping[Address, AbstractConnection]) -> None:
        for address, connection in connections.items():
            if connection.is_connected:
                self._idle.setdefault(address, []).append(connection)

    async def _talk(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        replies: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            while len(replies) < len(commands):
                replies.append(await self._reply(connection))
            if any(isinstance(reply, Failed) and reply.is_elsewhere for reply in replies):
                self._is_stale = True
                await connection.disconnect(nowait=True)  # the name may lead to the new primary by now
        except _REFUSED as fault:
            left = Failed(self._sentence(fault), is_undone=True)
        except (exceptions.RedisError, OSError, TimeoutError) as fault:
            self._is_stale = True
            left = Failed(self._sentence(fault), is_undone=False)
        else:
            return replies
        return replies + [left] * (len(commands) - len(replies))

    async def _reply(self, connection: AbstractConnection) -> Any:
        try:
            return await connection.read_response()
        except _REDIRECTED:
            self._is_stale = True
            return _MOVED
        except exceptions.ResponseError as fault:
            return Failed(
                self._sentence(fault),
                is_undone=True,
                is_no_script=isinstance(fault, exceptions.NoScriptError),
                is_wrong_type=str(fault).startswith("WRONGTYPE"),
                is_elsewhere=isinstance(fault, (exceptions.ReadOnlyError, exceptions.ClusterDownError)) or "READONLY" in str(fault),
            )

    async def _redirected(self, cluster: RedisCluster, command: Command) -> Any:
        """Have redis-py find who has the key by now: it knows ASK, and what moved since it read who has what."""
        try:
            return await cluster.execute_command(*command)
        except exceptions.NoScriptError as fault:
            return Failed(self._sentence(fault), is_undone=True, is_no_script=True)
        except (exceptions.ResponseError, exceptions.RedisClusterException) as fault:
            return Failed(self._sentence(fault), is_undone=True)
        except (exceptions.RedisError, OSError, TimeoutError) as fault:
            return Failed(self._sentence(fault), is_undone=False)

    def _made(self, address: Address) -> AbstractConnection:
        server = self._server
        settings: dict[str, Any] = {**self._login(), "db": server.database, "redis_connect_func": _greeted}
        if server.path:
            return UnixDomainSocketConnection(path=server.path, **settings)
        host, port = address
        if not server.has_tls:
            return Connection(host=host, port=port, **settings)
        connection = SSLConnection(host=host, port=port, **self._terms(), **settings)
        self._tls = self._tls or connection.ssl_context
        connection.ssl_context = self._tls  # made once: reading the certificates of the system takes 20 ms
        return connection

    def _login(self) -> dict[str, Any]:
        return {
            "username": self._server.user or None,
            "password": self._server.password or None,
            "socket_timeout": REPLY_WAIT,
            "socket_connect_timeout": CONNECT_WAIT,
            "protocol": 2,
            "driver_info": None,
        }

    def _terms(self) -> dict[str, Any]:
        server = self._server
        return {"ssl_ca_certs": server.ca or None, "ssl_certfile": server.certificate or None, "ssl_keyfile": server.key or None}

    async def _of_now(self) -> RedisCluster:
        """Return the cluster, having asked who has what if that may have changed."""
        if self._is_closed:
            raise Away(f"{self._server.where} is closed")
        try:
            async with asyncio.timeout(CONNECT_WAIT):
                if self._cluster is None:
                    terms = {"ssl": True, **self._terms()} if self._server.has_tls else {}
                    self._cluster = RedisCluster(
                        host=self._server.host, port=self._server.port, retry=Retry(NoBackoff(), 0), **self._login(), **terms
                    )
                if self._is_stale:
                    await self._cluster.aclose()
                    await self._cluster.initialize()
                    self._is_stale = False
        except TimeoutError:
            raise Away(f"{self._server.where} does not answer") from None
        except (exceptions.RedisError, exceptions.RedisClusterException, OSError) as fault:
            raise self._away(fault) from None
        return self._cluster

    async def _leave_cluster(self) -> None:
        cluster, self._cluster = self._cluster, None
        if cluster is not None:
            try:
                await cluster.aclose()
            except (exceptions.RedisError, OSError):  # it is left all the same
                pass

    def _away(self, fault: Exception) -> Away:
        return Away(self._sentence(fault))

    def _sentence(self, fault: Exception) -> str:
        """Return what a fault means, and what to do about it."""
        where, said = self._server.where, " ".join(str(fault).split())
        if self._server.password:
            said = said.replace(self._server.password, "(password)")
        if isinstance(fault, exceptions.OutOfMemoryError) or "OOM command" in said:
            return f"{where} is out of memory: raise its maxmemory, or let it forget (maxmemory-policy volatile-ttl)"
        if isinstance(fault, exceptions.ReadOnlyError) or "READONLY" in said:
            return f"{where} is a replica, which cannot be written: name the primary in store.url"
        if isinstance(fault, exceptions.BusyLoadingError):
            return f"{where} is still reading its file"
        if isinstance(fault, exceptions.AuthenticationError):
            return f"{where} wants another login ({said[:80]}): look at user and password in store.url"
        if isinstance(fault, exceptions.TimeoutError):
            return f"{where} does not answer"
        return f"{where}: {said[:160] or type(fault).__name__}"


class _Moved:
    """Another server has the key: nothing was done."""


_MOVED = _Moved()


async def _greeted(connection: AbstractConnection) -> None:
    """Log in, and have a reply: a server that is stopped takes connections all the same."""
    await connection.on_connect()
    await connection.send_command("PING", check_health=False)
    await connection.read_response()


async def _drop(connection: AbstractConnection) -> None:
    try:
        await connection.disconnect(nowait=True)
    except (exceptions.RedisError, OSError):  # it is gone all the same
        pass
