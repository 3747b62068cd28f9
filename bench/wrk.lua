-- Ask with one Accept; at the end one line for bench/load.py: requests, bytes, microseconds, p50, p99, errors.
wrk.headers["Accept"] = "application/vnd.oci.image.manifest.v1+json"

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format("ROW %d %d %d %d %d %d\n", summary.requests, summary.bytes, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status + e.timeout))
end
