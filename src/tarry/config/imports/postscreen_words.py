"""postscreen_words - every parameter of postscreen by name: the defaults, and those that nothing in tarry does.

What      `DEFAULTS` are Postfix's own values; `WITHOUT` says of each parameter that has no counterpart why, and what to do
          instead; `MAPPED` are the others, which postfix.py turns into keys.
Promises  Together they name every postscreen_ parameter of Postfix 2.8 to 3.12; an end-to-end test holds them against
          `postconf -d` of a real one.
Source    postconf(5) of Postfix 3.7.11 and of the snapshot 3.12-20260821.
"""

from __future__ import annotations

from collections.abc import Mapping

DEFAULTS: Mapping[str, str] = {
    "default_process_limit": "100",
    "inet_interfaces": "all",
    "inet_protocols": "all",
    "mail_name": "Postfix",
    "parent_domain_matches_subdomains": "",
    "postscreen_access_list": "permit_mynetworks",
    "postscreen_bare_newline_action": "ignore",
    "postscreen_bare_newline_enable": "no",
    "postscreen_bare_newline_ttl": "30d",
    "postscreen_client_connection_count_limit": "$smtpd_client_connection_count_limit",
    "postscreen_command_time_limit": "${stress?{10}:{300}}s",
    "postscreen_denylist_action": "${postscreen_blacklist_action?{$postscreen_blacklist_action}:{ignore}}",
    "postscreen_dnsbl_action": "ignore",
    "postscreen_dnsbl_allowlist_threshold": "${postscreen_dnsbl_whitelist_threshold?{$postscreen_dnsbl_whitelist_threshold}:{0}}",
    "postscreen_dnsbl_max_ttl": "${postscreen_dnsbl_ttl?{$postscreen_dnsbl_ttl}:{1}}h",
    "postscreen_dnsbl_min_ttl": "60s",
    "postscreen_dnsbl_reply_map": "",
    "postscreen_dnsbl_sites": "",
    "postscreen_dnsbl_threshold": "1",
    "postscreen_dnsbl_timeout": "10s",
    "postscreen_greet_action": "ignore",
    "postscreen_greet_banner": "$smtpd_banner",
    "postscreen_greet_ttl": "1d",
    "postscreen_greet_wait": "${stress?{2}:{6}}s",
    "postscreen_non_smtp_command_action": "drop",
    "postscreen_non_smtp_command_enable": "no",
    "postscreen_non_smtp_command_ttl": "30d",
    "postscreen_pipelining_action": "enforce",
    "postscreen_pipelining_enable": "no",
    "postscreen_pipelining_ttl": "30d",
    "postscreen_post_queue_limit": "$default_process_limit",
    "postscreen_pre_queue_limit": "$default_process_limit",
    "postscreen_reject_footer": "$smtpd_reject_footer",
    "postscreen_upstream_proxy_protocol": "",
    "postscreen_upstream_proxy_timeout": "5s",
    "queue_directory": "/var/spool/postfix",
    "smtpd_banner": "$myhostname ESMTP $mail_name",
    "smtpd_client_connection_count_limit": "50",
    "smtpd_reject_footer": "",
    "smtpd_service_name": "smtpd",
    "stress": "",
}

_NO_ENGINE = (
    "postscreen answers with an SMTP engine of its own, and tarry passes each command to the MTA, which does this itself",
    "see that smtpd has the same setting",
)
_TLS = ('with tls.mode = "relay", tarry\'s default, the MTA does STARTTLS itself', "see that smtpd has the setting")
_CACHE = (
    "tarry remembers clients in a file or a server of its own, and forgets them by itself",
    "set store.url and store.keep; --cache with --store brings along what postscreen remembers",
)
_FILTER = (
    "tarry passes on what it understands and changes no command",
    "put the client that needs it into exempt.networks",
)
_DUPLICATE = ("it only matters for postscreen's own replies", "")

WITHOUT: Mapping[str, tuple[str, str]] = {
    "postscreen_allowlist_interfaces": (
        "tarry tells no client to come back, so there is nothing that a backup MX could refuse to grant",
        "run a second tarry for the backup's address, with a longer hold.wait",
    ),
    "postscreen_cache_cleanup_interval": _CACHE,
    "postscreen_cache_map": _CACHE,
    "postscreen_cache_retention_time": _CACHE,
    "postscreen_command_count_limit": (
        "tarry passes commands to the MTA and sets no limit to their number as such",
        "set limits to what is counted: checks.many_errors.limit, and the tarpits",
    ),
    "postscreen_command_filter": _FILTER,
    "postscreen_disable_vrfy_command": _NO_ENGINE,
    "postscreen_discard_ehlo_keyword_address_maps": _NO_ENGINE,
    "postscreen_discard_ehlo_keywords": _NO_ENGINE,
    "postscreen_enforce_tls": _TLS,
    "postscreen_expansion_filter": _DUPLICATE,
    "postscreen_forbidden_commands": (
        "the commands that no mail client sends are built into checks.non_smtp",
        "leave it; each command that is none of SMTP's counts as an error in checks.many_errors as well",
    ),
    "postscreen_helo_required": _NO_ENGINE,
    "postscreen_reject_footer_maps": (
        "tarry adds nothing to replies by a table",
        "name one page in smtp.help_url, or write checks.NAME.reply",
    ),
    "postscreen_tls_security_level": _TLS,
    "postscreen_use_tls": _TLS,
    "postscreen_watchdog_timeout": (
        "nothing in tarry waits for a file or a table",
        "let systemd watch it: the units in packaging/systemd do",
    ),
    "postscreen_whitelist_interfaces": (
        "tarry tells no client to come back, so there is nothing that a backup MX could refuse to grant",
        "run a second tarry for the backup's address, with a longer hold.wait",
    ),
}

TLS_PREFIXES = ("postscreen_tls_", "postscreen_starttls_")
"""3.12 has an own form of each TLS parameter of smtpd; the same is to be said of all."""

WITHOUT_TLS = _TLS

MAPPED = frozenset(
    {name for name in DEFAULTS if name.startswith("postscreen_")}
    | {"postscreen_blacklist_action", "postscreen_dnsbl_whitelist_threshold", "postscreen_dnsbl_ttl"}
)


def without(name: str) -> tuple[str, str] | None:
    """Return why a parameter of postscreen has no counterpart and what to do, None for one that has."""
    if name in MAPPED:
        return None
    if name in WITHOUT:
        return WITHOUT[name]
    if name.startswith(TLS_PREFIXES):
        return WITHOUT_TLS
    return "no Postfix up to 3.12 has such a parameter", "look for a slip of the pen: Postfix ignores the line too"
