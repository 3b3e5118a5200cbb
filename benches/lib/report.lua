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
