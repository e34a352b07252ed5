#!lua flags=allow-oom
-- group, consumer, entry, id, chunk, part, rows, failed, window, event, most bytes of events, now (ms),
-- then the dead letters, each with its id and body
-- -> {answer, rows whose event was dropped}. The first commit of a chunk wins.
local consumer, entry, id, chunk, part = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local rows, failed, window = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local event, bound, ms = ARGV[10], tonumber(ARGV[11]), ARGV[12]

if not held(consumer, entry) then
  -- Ours already? Then the answer to an earlier attempt was lost on its way.
  if redis.call('HGET', parts, chunk) == part then return { 'ok', 0 } end
  return { 'lost', 0 }
end
drop(entry)
if not is_scoring[redis.call('HGET', job, 'state')] then return { 'gone', 0 } end
if redis.call('HSETNX', parts, chunk, part) == 0 then return { 'duplicate', 0 } end

redis.call('HINCRBY', job, 'done', rows)
if failed > 0 then redis.call('HINCRBY', job, 'failed', failed) end
redis.call('DECRBY', backlog, rows)
if #ARGV > 12 then
  redis.call('HSET', job, 'suspect', 1)
  redis.call('HINCRBY', job, 'letters', (#ARGV - 12) / 2)
end
for i = 13, #ARGV, 2 do bury(ARGV[i], ARGV[i + 1], ms) end

-- Telemetry may be lost, and is counted then; it must never stand in the way of the work.
local lost = 0
if event ~= '' and (redis.call('MEMORY', 'USAGE', scored, 'SAMPLES', 1) or 0) + #event > bound then
  redis.call('HINCRBY', dropped, 'chunk.scored.v1', rows)
  lost = rows
elseif event ~= '' then
  redis.call('XADD', scored, '*', '__data__', event)
end

if redis.call('HINCRBY', job, 'left', -1) == 0 then finalise(id) else top_up(id, window) end
return { 'ok', lost }
