#!lua flags=allow-oom
-- Count an event and acknowledge it, in one step: a redelivery finds it acknowledged, a duplicate finds its bit set.
--
-- KEYS  1 stream, 2 bitmap of events seen, 3 hash of what was received, 4 sorted set of versions, 5… hashes of counters
-- ARGV  1 group, 2 consumer, 3 entry id
--       4 bit in KEYS[2] or '', 5 its lifetime in seconds
--       6 producing replica or '', 7 rows, 8 rows answered up to the end of this event, 9 time
--       10 version or ''
--       11 the buckets as add_counters takes them; KEYS[5…] are the buckets, then hashes:
--       then of each hash: number of counters, name and increment of each
-- Returns applied, duplicate, or lost: somebody else owns the entry now.
local stream, group, consumer, id = KEYS[1], ARGV[1], ARGV[2], ARGV[3]

if #redis.call('XPENDING', stream, group, id, id, 1, consumer) == 0 then return 'lost' end
redis.call('XACK', stream, group, id)

if ARGV[4] ~= '' then
  local seen = redis.call('SETBIT', KEYS[2], ARGV[4], 1)
  redis.call('EXPIRE', KEYS[2], ARGV[5])
  if seen == 1 then return 'duplicate' end
end

if ARGV[6] ~= '' then
  local replica = ARGV[6]
  redis.call('HINCRBY', KEYS[3], replica .. '|rows', ARGV[7])
  local top = tonumber(redis.call('HGET', KEYS[3], replica .. '|top') or '0')
  if tonumber(ARGV[8]) > top then redis.call('HSET', KEYS[3], replica .. '|top', ARGV[8]) end
  redis.call('HSET', KEYS[3], replica .. '|at', ARGV[9])
end

if ARGV[10] ~= '' then redis.call('ZADD', KEYS[4], 'GT', ARGV[9], ARGV[10]) end

local at, key = add_counters(11, 5)
for hash = key, #KEYS do
  local counters = tonumber(ARGV[at])
  at = at + 1
  for _ = 1, counters do
    redis.pcall('HINCRBY', KEYS[hash], ARGV[at], ARGV[at + 1]) -- pcall: as above
    at = at + 2
  end
end
return 'applied'
