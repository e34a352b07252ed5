-- Put before every script. The clock is the server's: that of one process must not decide about another's claim.
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
