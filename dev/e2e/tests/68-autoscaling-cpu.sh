# shellcheck shell=bash
SUITE=full
EXPECT='The command is scaled by its CPU use, up under load and down again, by the real metrics-server, and no request fails'
. "$E2E/autoscaling.sh"
run_test() {
  change '{"spec": {"command": {"resources": {"requests": {"cpu": "40m"}}, "autoscaling": {"maxReplicas": 3, "cpuUtilization": 50,
    "scaleDown": {"stabilizationSeconds": 5, "percent": 100, "periodSeconds": 5}}}}}'
  platform_wait 180
  rises() { until_true 180 more_replicas_than command 1 || die "the command is not scaled up: $(condition AutoscalingActive)"; platform_wait 120; }
  under_load rises
  expect_says 60 AutoscalingActive True Active
  until_true 240 replicas_are command 1 || die "there are $(replicas command) pods of the command without load"
  change '{"spec": {"command": {"resources": null, "autoscaling": null}}}'
  platform_wait 180
}
