# shellcheck shell=bash
SUITE=core
EXPECT='Pods of every component crash or disappear under load, and no operation fails'

# at EVENTS COMMAND…: runs the command when the journal has grown by that many events since `begun`; the load must still be running.
at() {
  local events=$1
  shift
  until_true 60 more_events_than $((begun + events)) || die "the load does not reach $events events"
  kill -0 "$run" 2>/dev/null || die "the load ended before: $*"
  "$@"
}

run_test() {
  local begun run
  begun=$(events)
  bench_in_place --wallets 50 --operations 30000 --workers 8 --timeout 120 --json "$STATE/e2e/bench-kill.json" &
  run=$!
  trap 'kill "$run" 2>/dev/null || true' EXIT
  at 1000 crash command
  at 4000 vanish publisher
  at 8000 crash ledger-projector
  at 12000 vanish read-model-projector
  at 16000 vanish command
  wait "$run"
  trap - EXIT
}
