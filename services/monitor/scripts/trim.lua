-- Delete what every group of a stream has acknowledged, and forget consumers that are long gone.
--
-- KEYS  1 stream
-- ARGV  1 number of groups that must exist, 2… their names, then milliseconds without a sign of life
-- Returns the number of entries deleted.
local stream, required = KEYS[1], tonumber(ARGV[1])
local gone_after = tonumber(ARGV[required + 2])
if redis.call('EXISTS', stream) == 0 then return 0 end

local function map(flat)
  local found = {}
  for i = 1, #flat, 2 do found[flat[i]] = flat[i + 1] end
  return found
end

local function before(a, b)
  local a_ms, a_seq = a:match('(%d+)-(%d+)')
  local b_ms, b_seq = b:match('(%d+)-(%d+)')
  if a_ms ~= b_ms then return tonumber(a_ms) < tonumber(b_ms) end
  return tonumber(a_seq) < tonumber(b_seq)
end

local missing = {}
for i = 1, required do missing[ARGV[i + 1]] = true end

local keep = nil
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  local group = map(flat)
  local oldest = group['last-delivered-id'] -- itself acknowledged if nothing is pending; it may stay
  if group['pending'] > 0 then oldest = redis.call('XPENDING', stream, group['name'])[2] end
  if keep == nil or before(oldest, keep) then keep = oldest end

  if missing[group['name']] then
    for _, row in ipairs(redis.call('XINFO', 'CONSUMERS', stream, group['name'])) do
      local consumer = map(row)
      -- One with pending entries is never deleted: they would be lost with it.
      if consumer['pending'] == 0 and consumer['idle'] > gone_after then
        redis.call('XGROUP', 'DELCONSUMER', stream, group['name'], consumer['name'])
      end
    end
  end
  missing[group['name']] = nil
end

if keep == nil or next(missing) ~= nil then return 0 end
return redis.call('XTRIM', stream, 'MINID', keep)
