-- Add the figures of gateways that are long gone to one line, so that restarts do not grow the hash.
--
-- KEYS  1 hash of what was received
-- ARGV  1 Unix time: replicas silent since before are gone, 2… but those that live: they go on counting where they are
local fields = redis.call('HGETALL', KEYS[1])
local values = {}
for i = 1, #fields, 2 do values[fields[i]] = fields[i + 1] end
local living = {}
for i = 2, #ARGV do living[ARGV[i]] = true end
local retired = 0
for name, at in pairs(values) do
  local replica = name:match('^(.+)|at$')
  if replica and not living[replica] and tonumber(at) < tonumber(ARGV[1]) then
    redis.call('HINCRBY', KEYS[1], '|rows', values[replica .. '|rows'] or 0)
    redis.call('HINCRBY', KEYS[1], '|top', values[replica .. '|top'] or 0)
    redis.call('HDEL', KEYS[1], name, replica .. '|rows', replica .. '|top')
    retired = retired + 1
  end
end
return retired
