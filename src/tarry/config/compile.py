"""compile - from the operator's configuration to the policy that the core decides by.

What      `policy`, `door_rules` for admission, `relief` for times of stress, `fingerprint`, a short name for a configuration, which
          each connect record carries, and `destination`, which says where mail goes.
Promises  Pure. The same configuration gives the same policy and the same fingerprint, on every machine and in every process.
"""

from __future__ import annotations

from dataclasses import fields, replace

from tarry.checks.karma import Karma, Thresholds
from tarry.config.keys import flat, toml_of
from tarry.config.schema import CheckConfig, Config
from tarry.config.waits import HoldClass, Tarpit
from tarry.core import policy as core
from tarry.core.admission import Networks, Rules
from tarry.core.check import Armed
from tarry.core.history import Fading
from tarry.core.karma import Rule
from tarry.core.result import Action
from tarry.core.stress import Relief

_FINGERPRINT_LENGTH = 10  # hexadecimal digits: 40 bits, plenty to tell the configurations of one site apart


def policy(config: Config, *, observe: bool = False, remembers: bool = False) -> core.Policy:
    """Return the policy of a configuration. With *observe* everything is decided and recorded, and nobody is refused.

    *remembers*: there is a memory of clients to ask. Without one the check karma finds nothing, and asks nothing.
    """
    limits = config.limits
    return core.Policy(
        checks=tuple(_armed(one, config, remembers) for one in config.checks.values()),
        score=core.Score(**{one.name: getattr(config.score, one.name) for one in fields(config.score)}),
        wait=config.hold.wait,
        classes=tuple(_hold_class(one) for one in config.hold.class_),
        data_wait=config.hold.data_wait,
        teaser=config.hold.teaser,
        end_early=config.hold.end_early,
        delay=core.Delay(**{one.name: getattr(config.delay, one.name) for one in fields(config.delay)}),
        tarpits=core.Tarpits(**{one.name: _tarpit(getattr(config.tarpit, one.name)) for one in fields(config.tarpit)}),
        park_after=config.handoff.park_after,
        limits=core.Limits(
            command=limits.command,
            data=limits.data,
            backend=limits.backend,
            message=limits.message,
            handshake=limits.handshake,
            line=limits.line,
            recipients=limits.recipients,
        ),
        normalize=config.smtp.bare_newline == "normalize",
        insert_headers=config.headers.insert,
        record_paths=config.record.paths,
        record_all=config.record.detail == "all",
        observe=observe,
        help_url=config.smtp.help_url,
        dns_timeout=config.dns.timeout,
    )


def door_rules(config: Config) -> Rules:
    """Return who may come in."""
    return Rules(
        max_clients=config.listen.max_clients,
        max_per_client=config.listen.max_per_client,
        max_per_network=config.listen.max_per_network,
        rate_per_client=config.listen.rate_per_client,
        rate_per_network=config.listen.rate_per_network,
        exempt=Networks.of(config.exempt.networks),
        exempt_patterns=config.exempt.patterns,
        deny=Networks.of(config.deny.networks),
    )


def relief(config: Config) -> Relief:
    """Return what changes while too many clients are in."""
    stress = config.stress
    return Relief(stress.high, stress.low, stress.wait, stress.command)


def fingerprint(config: Config) -> str:
    """Return ten hexadecimal digits that are the same for configurations with the same values, whatever preset they came by."""
    from hashlib import sha256  # 2 ms for OpenSSL, which `tarry inetd` spends only where a record names the configuration

    values = flat(config)
    checks = config.registry
    lines = [f"{name} = {toml_of(name, value, checks)}" for name, value in sorted(values.items()) if name != "preset"]
    return sha256("\n".join(lines).encode()).hexdigest()[:_FINGERPRINT_LENGTH]


def destination(config: Config) -> str:
    """Return where mail goes, in words."""
    handoff = config.handoff
    match handoff.mode:
        case "maildir":
            return f"the Maildir {handoff.maildir}"
        case "proxy":
            return f"the MTA at {handoff.address}"
        case "pass":
            return f"Postfix's smtpd, by {handoff.socket}"
        case "exec":
            return f"{' '.join(handoff.command)}, run for each client"


def fading(config: Config) -> Fading:
    """Return how karma fades."""
    return Fading(config.karma.half_life, config.karma.most)


def karma_rules(config: Config) -> tuple[Rule, ...]:
    """Return what brings karma."""
    return tuple(Rule(one.on, one.points, one.why) for one in config.karma.rules)


def remembered(config: Config) -> dict[str, float]:
    """Return for how many seconds a pass of each check is remembered; those of which none is are not there."""
    return {name: one.settings.remember for name, one in config.checks.items() if one.settings.remember > 0}


WHO = {"listed": "dnslists.listed", "no_ptr": "ptr.none", "dynamic_name": "dynamic_name"}
"""Words of ``hold.class.who`` for reasons; ``allowed`` and ``unknown`` stand for none of them."""


def _armed(one: CheckConfig, config: Config, remembers: bool) -> Armed:
    if not isinstance(one.check, Karma):
        return Armed(one.check, one.settings, one.options)
    karma = config.karma
    thresholds = Thresholds(karma.skip_above, karma.bad_below, karma.worst_below, karma.by_domain)
    settings = one.settings if remembers else replace(one.settings, action=Action.IGNORE, codes={})
    return Armed(Karma(thresholds), settings, one.options)


def _hold_class(one: HoldClass) -> core.HoldClass:
    return core.HoldClass(
        one.name,
        one.wait,
        Networks.of(one.networks),
        one.patterns,
        frozenset(WHO.get(word, word) for word in one.who if word not in ("allowed", "unknown")),
        allowed="allowed" in one.who,
        unknown="unknown" in one.who,
    )


def _tarpit(table: Tarpit) -> core.Tarpit:
    return core.Tarpit(**{one.name: getattr(table, one.name) for one in fields(table)})
