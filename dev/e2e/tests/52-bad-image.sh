# shellcheck shell=bash
SUITE=full
EXPECT='An image that cannot be pulled, and one whose programs crash, are reported with the cause while the old pods serve; with a good image the platform recovers'

# untouched BEFORE: the platform serves with the same pods as before, apart from new ones that do not start.
untouched() {
  local component
  [ "$(same_pods "$1")" = "$(sort <<<"$1")" ] || die "of the pods $1, only these are left: $(same_pods "$1")"
  for component in "${COMPONENTS[@]}"; do
    [ "$(deployment "$component" '.status.readyReplicas')" = 1 ] || die "$component has no pod that serves: $(deployment "$component" .status)"
  done
}

back() {
  change "{\"spec\": {\"image\": \"$IMAGE\"}}" || die "the image can't be changed back"
  platform_wait 300 || die "the platform does not recover with the good image"
}

bad_images() {
  local before
  before=$(template_hashes)
  change "{\"spec\": {\"image\": \"${IMAGE%:*}:e2e-nowhere\"}}" || die "the image can't be changed"
  expect_says 120 SchemaReady False ImagePullFailed e2e-nowhere
  expect_says 10 Ready False ImagePullFailed e2e-nowhere
  expect_says 10 Degraded True ImagePullFailed
  untouched "$before"
  back
  [ "$(template_hashes)" = "$before" ] || die "pods were replaced for an image that does not exist: $before became $(template_hashes)"

  change "{\"spec\": {\"image\": \"$1\"}}" || die "the image can't be changed"
  expect_says 120 Ready False CrashLoop 'publisher: ' 'error: this build was made to fail as publisher'
  expect_says 10 Degraded True CrashLoop
  expect_says 10 SchemaReady True AsExpected
  expect_says 60 QueryAvailable True Available 'error: this build was made to fail as query'
  expect_says 10 CommandAvailable True Available
  untouched "$before"
  [ "$(deployment command '.spec.template.spec.containers[0].image')" = "$IMAGE" ] || die "the command got the image although no reader runs with it"
  back
}

run_test() {
  local crashing=${IMAGE%:*}:e2e-crashing
  faulty_image "$crashing" serve || die "no image that crashes"
  under_load bad_images "$crashing"
  not_one_again
  nothing_parked
}
