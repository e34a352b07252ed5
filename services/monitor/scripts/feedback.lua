#!lua flags=allow-oom
-- Take feedback out of the inbox, count it, and put back what found no prediction: in one step, under the lease.
--
-- KEYS  1 lease, 2 stream of what arrived, 3 sorted set of what waits, by when it is due, 4 hash of its bodies, 5 hash of
--       counts, 6… buckets
-- ARGV  1 token of the lease, then
--       number of entries of the stream, and their ids; number of those that waited, and their ids;
--       number of those that (still) wait, and id, due time and body of each;
--       number of counts, and name and increment of each; and the buckets as add_counters takes them
-- Returns ok, lost (somebody else has the lease) or gone (an entry is not there any more); then nothing has changed.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 'lost' end
local stream, due, bodies, counts = KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local at = 2
local function list(width)
  local found, n = {}, tonumber(ARGV[at])
  for i = 1, n do
    local item = {}
    for j = 1, width do item[j] = ARGV[at + (i - 1) * width + j] end
    found[i] = item
  end
  at = at + n * width + 1
  return found
end
local fresh, waited, postponed, counted = list(1), list(1), list(3), list(2)

for _, entry in ipairs(fresh) do
  if #redis.call('XRANGE', stream, entry[1], entry[1]) == 0 then return 'gone' end
end
for _, entry in ipairs(waited) do
  if not redis.call('ZSCORE', due, entry[1]) then return 'gone' end
end

for _, entry in ipairs(fresh) do redis.call('XDEL', stream, entry[1]) end
for _, entry in ipairs(waited) do
  redis.call('ZREM', due, entry[1])
  redis.call('HDEL', bodies, entry[1])
end
for _, entry in ipairs(postponed) do
  redis.call('ZADD', due, entry[2], entry[1])
  redis.call('HSET', bodies, entry[1], entry[3])
end
for _, count in ipairs(counted) do redis.call('HINCRBY', counts, count[1], count[2]) end
add_counters(at, 6)
return 'ok'
