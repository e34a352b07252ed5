#!lua flags=allow-oom
-- group, id, created (ms), ended (ms), seconds to keep the hash, what its webhook was not told yet or '',
-- number of dead letters, each with id, body and time (ms), then the fields of a job that has ended and is not known.
local id, letters = ARGV[2], tonumber(ARGV[7])
if known(id) then return 0 end
local fields = 8 + 3 * letters
for i = 8, fields - 1, 3 do bury(ARGV[i], ARGV[i + 1], ARGV[i + 2]) end
redis.call('HSET', job, unpack(ARGV, fields))
redis.call('EXPIRE', job, ARGV[5])
redis.call('ZADD', jobs, ARGV[3], id)
redis.call('ZADD', ended_jobs, ARGV[4], id)
redis.call('ZADD', unswept_jobs, ARGV[4], id)
if ARGV[6] ~= '' then tell(id, ARGV[4], ARGV[6]) end
return 1
