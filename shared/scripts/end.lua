#!lua flags=allow-oom
-- group, id, state, now, error, event -> the state before, which tells whether this ended the job.
-- The id stays among the open jobs until the end is recorded in the store too (settle).
local state, now, why, event = ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local before = redis.call('HGET', job, 'state')
if not before then return 'unknown' end
if not is_open[before] then return before end
if state == 'expired' and before == 'finalizing' then return before end -- every row was scored in time
local at = redis.call('HMGET', job, 'rows', 'done')
redis.call('DECRBY', backlog, at[1] - at[2])
-- Whoever waits hears of this end before it is settled: it counts what stays readable, the parts before the first gap.
local done, failed, chunk = 0, 0, 0
local part = redis.call('HGET', parts, chunk)
while part do
  local counts = cjson.decode(part)
  done, failed, chunk = done + counts.rows, failed + counts.failed, chunk + 1
  part = redis.call('HGET', parts, chunk)
end
redis.call('HSET', job, 'state', state, 'finished_at', now, 'error', why, 'done', done, 'failed', failed)
redis.call('XADD', finished, 'MAXLEN', '~', FINISHED, '*', '__data__', event)
return before
