#!lua flags=allow-oom
-- group, consumer, entry, chunk, now, id -> {answer, deliveries, whether rows of the job were given up before, in how many
-- dead letters, whether this is where the job starts}
-- Work that is not wanted any more is dropped here, before anybody spends time on it.
local consumer, entry, chunk, now = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local deliveries = held(consumer, entry)
if not deliveries then return { 'lost', 0, 0, 0, 0 } end
if chunk == HEARTBEAT then
  drop(entry)
  redis.call('HDEL', heartbeat, 'entry')
  local event = { occurred_at = now, sent = tonumber(ARGV[6]) }
  redis.call('XADD', passed, 'MAXLEN', '~', PASSED, '*', '__data__', cjson.encode(event))
  return { 'passed', deliveries, 0, 0, 0 }
end
local is_wanted, state = wanted(chunk)
if not is_wanted then
  drop(entry)
  return { 'gone', deliveries, 0, 0, 0 }
end
if chunk ~= FINALISE and redis.call('HEXISTS', parts, chunk) == 1 then
  drop(entry)
  return { 'duplicate', deliveries, 0, 0, 0 }
end
local starts = state == 'queued'
if starts then redis.call('HSET', job, 'state', 'running', 'started_at', now) end
local suspect, letters = redis.call('HEXISTS', job, 'suspect'), redis.call('HGET', job, 'letters') or 0
return { 'ok', deliveries, suspect, letters, starts and 1 or 0 }
