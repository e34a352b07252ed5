#!lua flags=allow-oom
-- group, consumer -> 1 if it is gone now. A consumer that holds entries stays: deleting it would lose them.
local found = redis.pcall('XPENDING', chunks, group, '-', '+', 1, ARGV[2])
if found.err or #found > 0 then return 0 end
redis.call('XGROUP', 'DELCONSUMER', chunks, group, ARGV[2])
return 1
