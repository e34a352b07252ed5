#!lua flags=allow-oom
-- group, consumer, entry -> 1, or 0 when the lease is lost. JUSTID does not count as a delivery.
if not held(ARGV[2], ARGV[3]) then return 0 end
redis.call('XCLAIM', chunks, group, ARGV[2], 0, ARGV[3], 'JUSTID')
return 1
