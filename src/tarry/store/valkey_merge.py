"""valkey_merge - how entries and changes stand in a Valkey or Redis server, and the script that merges them there.

What      `entry_of` reads a value: an array in MessagePack, which the server's Lua speaks too, with whole
          doubles (its cjson has 14 digits). `changes_of` writes changes for `SCRIPT`, which is given any number of keys, and for
          each the changes that are to be merged into it.
Promises  The script comes to what `core.history.merged` comes to, to the last digits that a float has: tests play the same changes
          to both. It touches the keys that it is given and no other. A value that is not one of ours, of whatever type, is
          nothing known and is replaced. Fields that a newer tarry put behind ours are kept.
Why       A script, and not WATCH: one round trip, and nobody else's write makes it begin anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from tarry.core.history import Change, Counted, Entry, Pass, Visit

SCRIPT = """
local half_life, most, keep, newest = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], tonumber(ARGV[4])
local REASONS, VISITS = 32, 8

local function after(karma, seconds)
  if seconds > 0 then return karma * 2 ^ (-seconds / half_life) end
  return karma
end

-- By octets: Lua's own < asks the server's locale.
local function before(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = a:byte(i), b:byte(i)
    if x ~= y then return x < y end
  end
  return #a < #b
end

local function by_name(a, b) return before(a[1], b[1]) end

local function newest_first(a, b)
  if a[3] ~= b[3] then return a[3] > b[3] end
  return before(a[1], b[1])
end

local function passes_of(was, earned, voids)
  local untils, found = {}, {}
  if not voids then
    for _, one in ipairs(was) do untils[one[1]] = one[2] end
  end
  for _, one in ipairs(earned) do untils[one[1]] = math.max(one[2], untils[one[1]] or 0) end
  for check, till in pairs(untils) do found[#found + 1] = {check, till} end
  table.sort(found, by_name)
  return found
end

local function reasons_of(was, names, at)
  local counted, seen = {}, {}
  for _, one in ipairs(was) do counted[one[1]] = one end
  for _, name in ipairs(names) do
    if not seen[name] then
      seen[name] = true
      local one = counted[name]
      counted[name] = one and {name, one[2] + 1, math.max(one[3], at)} or {name, 1, at}
    end
  end
  local found = {}
  for _, one in pairs(counted) do found[#found + 1] = one end
  table.sort(found, newest_first)
  while #found > REASONS do table.remove(found) end
  table.sort(found, by_name)
  return found
end

local function visits_of(was, visit)
  local found, is_in = {}, false
  for _, one in ipairs(was) do
    if not is_in and one[1] <= visit[1] then
      found[#found + 1] = visit
      is_in = true
    end
    found[#found + 1] = one
  end
  if not is_in then found[#found + 1] = visit end
  while #found > VISITS do table.remove(found) end
  return found
end

local function merged(was, changes)
  if was and was[2] > newest then was = nil end
  for _, change in ipairs(changes) do
    local at, points, delivered, refused, domain, voids, passes, reasons, visit = unpack(change)
    was = was or {0, at, at, 0, 0, 0, '', {}, {}, {}}
    local now = math.max(was[2], at)
    local karma = after(was[1], now - was[2]) + after(points, now - at)
    was[1] = math.max(-most, math.min(most, karma))
    was[2], was[3] = now, math.min(was[3], at)
    was[4], was[5], was[6] = was[4] + 1, was[5] + delivered, was[6] + refused
    if domain ~= '' then was[7] = domain end
    if voids or #passes > 0 then was[8] = passes_of(was[8], passes, voids) end
    if #reasons > 0 then was[9] = reasons_of(was[9], reasons, at) end
    if #visit > 0 then was[10] = visits_of(was[10], visit) end
  end
  return cmsgpack.pack(was)
end

for i, key in ipairs(KEYS) do
  local changes, was = cmsgpack.unpack(ARGV[4 + i]), nil
  local value = redis.pcall('GET', key)
  if type(value) == 'string' then
    local is_whole, found = pcall(cmsgpack.unpack, value)
    if is_whole and type(found) == 'table' then was = found end
  end
  local is_merged, new = pcall(merged, was, changes)
  if not is_merged then new = merged(nil, changes) end
  redis.call('SET', key, new, 'PX', keep)
end
return #KEYS
"""


class _Value(msgspec.Struct, array_like=True, frozen=True):
    """What stands under a key."""

    karma: float
    at: float
    first: float
    sessions: int
    delivered: int
    refused: int
    domain: str
    passes: tuple[tuple[str, float], ...]
    reasons: tuple[tuple[str, int, float], ...]
    visits: tuple[tuple[float, str, str, float], ...]


_decode = msgspec.msgpack.Decoder(_Value).decode
_encode = msgspec.msgpack.Encoder().encode


def entry_of(key: str, value: object) -> Entry | None:
    """Return the entry under *key*, None where its value is not one of ours."""
    if not isinstance(value, bytes):
        return None
    try:
        found = _decode(value)
    except ValueError:  # msgspec's, of which some are UnicodeDecodeErrors
        return None
    if not (math.isfinite(found.karma) and math.isfinite(found.at) and math.isfinite(found.first)):
        return None
    return Entry(
        key,
        found.karma,
        found.at,
        found.first,
        found.sessions,
        found.delivered,
        found.refused,
        found.domain,
        tuple([Pass(check, until) for check, until in found.passes]),
        tuple([Counted(name, sessions, last) for name, sessions, last in found.reasons]),
        tuple([Visit(*visit) for visit in found.visits]),
    )


def changes_of(changes: Sequence[Change]) -> bytes:
    """Return the changes of one key as `SCRIPT` wants them. Raises ValueError or the like where one cannot be written."""
    return _encode(
        [
            (
                change.at,
                change.points,
                change.delivered,
                change.refused,
                change.domain,
                change.voids,
                [(one.check, one.until) for one in change.passes],
                change.reasons,
                (visit.at, visit.id, visit.action, visit.points) if (visit := change.visit) is not None else (),
            )
            for change in changes
        ]
    )


def settings_of(half_life: float, most: float, keep: float) -> tuple[bytes, bytes, bytes]:
    """Return the first arguments of `SCRIPT`; the next is the newest time that an entry may have. A time that is too short for the
    server is a second."""
    return b"%.17g" % half_life, b"%.17g" % most, b"%d" % max(1000, round(min(keep, 1e12) * 1000))
