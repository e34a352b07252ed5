#!lua flags=allow-oom
-- group, consumer, entry, chunk -> ok, lost, or gone: the job has ended meanwhile, and the entry was dropped.
-- JUSTID does not count as a delivery.
local consumer, entry = ARGV[2], ARGV[3]
if not held(consumer, entry) then return 'lost' end
if not wanted(tonumber(ARGV[4])) then
  drop(entry)
  return 'gone'
end
redis.call('XCLAIM', chunks, group, consumer, 0, entry, 'JUSTID')
return 'ok'
