-- Put before every script. The clock is the server's: that of one process must not decide about another's claim.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Have a message sent; 0 if it is known.
local function enqueue(due, message, id, url, body)
  if redis.call('EXISTS', message) == 1 then return 0 end
  redis.call('HSET', message, 'url', url, 'body', body, 'state', 'due')
  redis.call('ZADD', due, now(), id)
  return 1
end
