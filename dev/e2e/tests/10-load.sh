# shellcheck shell=bash
SUITE=core
EXPECT='A thousand operations all succeed, the projections catch up, and every balance is right'
run_test() { bench --wallets 50 --operations 1000 --workers 8 --json "$STATE/e2e/bench.json"; }
