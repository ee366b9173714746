# shellcheck shell=bash
SUITE=full
EXPECT='Without a publisher the platform is Stalled with ScaledToZero, and lag and ProjectionsCurrent say how far reads are behind the journal while commands continue'
lags() { [ "$(field '.status.lag // 0')" -gt 0 ]; }
run_test() {
  change '{"spec": {"publisher": {"replicas": 0}}}'
  expect_says 90 Stalled True ScaledToZero publisher
  expect_says 10 Ready False ScaledToZero
  [ "$(field .status.componentsReady)" = 4/5 ] || die "components ready: $(field .status.componentsReady)"
  bench --wallets 20 --operations 400 --workers 4 --drain-timeout 1 || true # reads can't catch up
  until_true 120 lags || die "the lag is $(field .status.lag)"
  expect_says 180 ProjectionsCurrent False Lagging
  change '{"spec": {"publisher": {"replicas": 1}}}'
  platform_wait 180 || die "not Ready after the publisher is back"
  expect_says 120 ProjectionsCurrent True Current
}
