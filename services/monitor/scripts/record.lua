#!lua flags=allow-oom
-- Record what an evaluation came to: alerts, messages and a command for the trainer in one step, so that whoever dies
-- loses and doubles none of them. What is written is bounded, and most wanted when Redis is full.
--
-- KEYS  1 lease, 2 hash of what is remembered, 3 alerts, 4 acknowledgements, 5 evaluations, 6 messages that are due,
--       7 operation and 8 stream of the command, 9… messages
-- ARGV  1 token of the lease, 2 revision that was read, 3 what is remembered
--       4 evaluation or '', 5 how many are kept
--       6 record of the operation or '', 7 its lifetime in seconds, 8 entry of the command
--       9 number of alerts, then id and body of each; number of alerts that go, then their ids
--       then for each of KEYS[9…]: id, url, body
-- Returns ok; lost: somebody else leads; changed: something was recorded since; busy: a command of the kind waits.
local lease, watch, alerts, acknowledged, evaluations, due, operation, stream =
  KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[7], KEYS[8]

if redis.call('GET', lease) ~= ARGV[1] then return 'lost' end
if (redis.call('HGET', watch, 'revision') or '0') ~= ARGV[2] then return 'changed' end
if ARGV[6] ~= '' and redis.call('XLEN', stream) > 0 then return 'busy' end

redis.call('HINCRBY', watch, 'revision', 1)
redis.call('HSET', watch, 'memory', ARGV[3])
if ARGV[4] ~= '' then
  redis.call('LPUSH', evaluations, ARGV[4])
  redis.call('LTRIM', evaluations, 0, ARGV[5] - 1)
end
if ARGV[6] ~= '' then give(operation, stream, ARGV[6], ARGV[7], ARGV[8]) end

local at = 9
local function count()
  at = at + 1
  return tonumber(ARGV[at - 1])
end
for _ = 1, count() do
  redis.call('HSET', alerts, ARGV[at], ARGV[at + 1])
  at = at + 2
end
for _ = 1, count() do
  redis.call('HDEL', alerts, ARGV[at])
  redis.call('HDEL', acknowledged, ARGV[at])
  at = at + 1
end
for key = 9, #KEYS do
  enqueue(due, KEYS[key], ARGV[at], ARGV[at + 1], ARGV[at + 2])
  at = at + 3
end
return 'ok'
