-- What wrk sends and counts. Arguments: a file of requests, each after its length on a line, and the status wanted.
-- The requests go out in turn. Successes are counted by wrk itself; a refusal must have the very status that is wanted,
-- so each of its responses is looked at. The last line of the output is one JSON object.

local requests, threads = {}, {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local file = assert(io.open(args[1], "rb"))
  for length in file:lines() do
    table.insert(requests, file:read(tonumber(length)))
  end
  file:close()

  local wanted, turn, count = tonumber(args[2]), 0, #requests
  others = 0
  request = function()
    turn = turn % count + 1
    return requests[turn]
  end
  if wanted >= 300 then
    response = function(status)
      if status ~= wanted then
        others = others + 1
      end
    end
  end
end

function done(summary, latency)
  local errors, others = summary.errors, 0
  for _, thread in ipairs(threads) do
    others = others + thread:get("others")
  end
  print(string.format(
    '{"requests": %d, "microseconds": %d, "refused": %d, "others": %d, "broken": %d, "p50": %d, "p99": %d, "max": %d}',
    summary.requests, summary.duration, errors.status, others,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(99), latency.max))
end
