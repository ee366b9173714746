# shellcheck shell=bash
SUITE=core
EXPECT='Pods of every component are killed or vanish under load, and no operation fails'

# at EVENTS COMMAND…: when the journal has grown by so many since `begun`, and the run still goes on.
at() {
  local events=$1
  shift
  until_true 60 more_events_than $((begun + events)) || die "the run does not get to $events events"
  kill -0 "$run" 2>/dev/null || die "the run was over before: $*"
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
