#!lua flags=allow-oom
-- group, consumer, entry, chunk, now -> {answer, deliveries}
-- Work that is not wanted any more is dropped here, before anybody spends time on it.
local consumer, entry, chunk, now = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local deliveries = held(consumer, entry)
if not deliveries then return { 'lost', 0 } end
local is_wanted, state = wanted(chunk)
if not is_wanted then
  drop(entry)
  return { 'gone', deliveries }
end
if chunk ~= FINALISE and redis.call('HEXISTS', parts, chunk) == 1 then
  drop(entry)
  return { 'duplicate', deliveries }
end
if state == 'queued' then redis.call('HSET', job, 'state', 'running', 'started_at', now) end
return { 'ok', deliveries }
