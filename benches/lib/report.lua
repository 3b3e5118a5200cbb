-- A header whose value holds {n} gets another number in each request, so that no cache of answers helps; made beforehand.
local varied, at = {}, 0
local VARIED = 20000

init = function(_)
  local vary = false
  for _, value in pairs(wrk.headers) do
    vary = vary or value:find("{n}", 1, true) ~= nil
  end
  if not vary then
    return
  end
  for n = 1, VARIED do
    local headers = {}
    for name, value in pairs(wrk.headers) do
      headers[name] = value:gsub("{n}", tostring(n * 48271 % 2147483647))
    end
    varied[n] = wrk.format(nil, nil, headers)
  end
  request = function()
    at = at % VARIED + 1
    return varied[at]
  end
end

-- Prints what wrk measured as one line of JSON after `REPORT`; times in microseconds.
done = function(summary, latency, _)
  local e = summary.errors
  io.write(string.format(
    'REPORT {"requests":%d,"bytes":%d,"seconds":%.6f,"p50":%d,"p99":%d,"p999":%d,"max":%d,'
      .. '"errors":{"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}}\n',
    summary.requests, summary.bytes, summary.duration / 1e6,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
