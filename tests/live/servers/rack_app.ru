# SPDX-License-Identifier: MIT
# The routes /burn?us=N and /sleep?us=N under Rack. X-Handler-CPU-Ns is what the handler's thread used.
# No garbage collection: it costs the request that it falls into 6 ms, which the handler's clock does not see.
GC.disable

def thread_cpu
  Process.clock_gettime(Process::CLOCK_THREAD_CPUTIME_ID, :nanosecond)
end

run lambda { |env|
  us = env["QUERY_STRING"][/us=(\d+)/, 1].to_i
  start = thread_cpu
  case env["PATH_INFO"]
  when "/burn" then nil while thread_cpu - start < us * 1000
  when "/sleep" then sleep(us / 1e6)
  end
  [200, { "Content-Length" => "2", "X-Handler-CPU-Ns" => (thread_cpu - start).to_s }, ["ok"]]
}
