# shellcheck shell=bash
SUITE=full
EXPECT='A new image and back again under load: no failed request, nothing parked, readers are replaced before the command'

# late_readers IMAGE: the readers whose first pod with that image started only after the first such pod of the command was created.
late_readers() {
  k -n "$NAMESPACE" get pods -l "app.kubernetes.io/instance=$PLATFORM" -o json | jq -r --arg image "$1" '
    [.items[] | select(.metadata.deletionTimestamp == null and .spec.containers[0].image == $image and .metadata.labels["pod-template-hash"])
      | {of: .metadata.labels["app.kubernetes.io/component"], made: .metadata.creationTimestamp,
         started: .status.containerStatuses[0].state.running.startedAt}]
    | (map(select(.of == "command").made) | min) as $command
    | ["publisher", "ledger-projector", "read-model-projector", "query"][] as $reader
    | map(select(.of == $reader).started) | min
    | select(. == null or . > $command) | "\($reader) started \(.), the command was made \($command)"'
}

# roll_to IMAGE
roll_to() {
  local before component
  before=$(template_hashes)
  change "{\"spec\": {\"image\": \"$1\"}}" || die "the image can't be changed"
  platform_wait 300 || die "not Ready with $1"
  [ -z "$(same_pods "$before")" ] || die "pods of the previous image are left: $(same_pods "$before")"
  for component in "${COMPONENTS[@]}"; do
    [ "$(field ".status.components[] | select(.name == \"$component\").image")" = "$1" ] || die "the status does not show $component with $1"
  done
  [ -z "$(late_readers "$1")" ] || die "the command was replaced before a reader: $(late_readers "$1")"
}

there_and_back() {
  roll_to "$1"
  roll_to "$IMAGE"
}

run_test() {
  local next=${IMAGE%:*}:e2e-next
  another_name "$next" || die "no second name for the image"
  under_load there_and_back "$next"
  not_one_again
  nothing_parked
}
