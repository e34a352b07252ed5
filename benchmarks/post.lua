-- Posts the lines of a file in turn, and says at the end what came of it: wrk -s post.lua URL -- FILE
local bodies, number = {}, 0

function init(arguments)
  for line in io.lines(arguments[1]) do bodies[#bodies + 1] = line end
  wrk.method = "POST"
  wrk.headers["content-type"] = "application/json"
end

function request()
  number = number % #bodies + 1
  return wrk.format(nil, nil, nil, bodies[number])
end

function done(summary, latency, requests)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format(
    '{"requests":%d,"microseconds":%d,"failed":%d,"p50":%f,"p99":%f}\n',
    summary.requests, summary.duration, failed, latency:percentile(50), latency:percentile(99)))
end
