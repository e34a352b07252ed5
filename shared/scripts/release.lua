#!lua flags=allow-oom
-- group, consumer, entry, whether this delivery counts (1 or 0) -> 1, or 0 when it is not ours. Hand an entry back for
-- anybody to take at once: as a new entry, since an old one would only be found by those who reclaim.
local deliveries = held(ARGV[2], ARGV[3])
if not deliveries then return 0 end
local fields = redis.call('XRANGE', chunks, ARGV[3], ARGV[3])[1]
drop(ARGV[3])
if fields then -- job, its id, chunk, its number, tries, their number
  add(fields[2][2], fields[2][4], fields[2][6] + deliveries - 1 + ARGV[4])
end
return 1
