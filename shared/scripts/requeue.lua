#!lua flags=allow-oom
-- group, entry -> 1 if it was added anew. It was delivered once, and nobody holds it.
if #redis.call('XPENDING', chunks, group, ARGV[2], ARGV[2], 1) > 0 then return 0 end
local found = redis.call('XRANGE', chunks, ARGV[2], ARGV[2])[1]
if not found then return 0 end
drop(ARGV[2])
redis.call('XADD', chunks, '*', unpack(found[2]))
return 1
