# shellcheck shell=bash
SUITE=full
EXPECT='The real API server enforces each rule of the schema: it refuses an object that breaks it, and says what to do'

# cases: PATH VALUE, one per line: an object with that value there must be refused. A rule of the CRD that none of them
# breaks fails the test.
cases() {
  local pods topic
  for pods in command publisher query projectors.ledger projectors.readModel jobs; do
    cat <<CASES
spec.$pods.podLabels {"app.kubernetes.io/component": "x"}
spec.$pods.podAnnotations {"wallex.dev/config-hash": "x"}
spec.$pods.podLabels {"bad key": "x"}
spec.$pods.podLabels {"a": "-x"}
spec.$pods.podAnnotations {"a/b/c": "x"}
spec.$pods.nodeSelector {"a b": "x"}
spec.$pods.nodeSelector {"a": "x y"}
spec.$pods.resources.limits {"memroy": "1Gi"}
spec.$pods.resources.limits {"memory": "-1Gi"}
spec.$pods.resources.requests {"memroy": "1Gi"}
spec.$pods.resources.requests {"memory": -1}
spec.$pods.resources {"requests": {"memory": "2Gi"}, "limits": {"memory": "1500Mi"}}
spec.$pods.priorityClassName "Very High"
spec.$pods.topologySpreadConstraints [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "minDomains": 2}]
spec.$pods.tolerations [{"key": "dedicated", "operator": "Exists", "value": "wallex"}]
spec.$pods.tolerations [{"effect": "NoSchedule"}]
spec.$pods.tolerations [{"key": "a", "tolerationSeconds": 5}]
spec.$pods.tolerations [{"key": "-a"}]
spec.$pods.tolerations [{"key": "a", "value": "-"}]
spec.$pods.tolerations [{"key": "a", "effect": "NoShedule"}]
spec.$pods.tolerations [{"key": "a", "operator": "Exist"}]
spec.$pods.affinity {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": ""}]}}
spec.$pods.extraEnv [{"name": "1A", "value": "x"}]
spec.$pods.extraEnv [{"name": "A", "valueFrom": {}}]
spec.$pods.extraEnv [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.nane"}}}]
spec.$pods.extraEnv [{"name": "WALLEX_DATABASE_URL", "value": "postgres://elsewhere"}]
spec.$pods.extraEnv [{"name": "A", "value": "1", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
CASES
  done
  for pods in command query projectors.ledger projectors.readModel; do
    echo "spec.$pods.autoscaling {\"minReplicas\": 3, \"maxReplicas\": 2}"
  done
  for pods in command query; do
    echo "spec.$pods {\"autoscaling\": {\"maxReplicas\": 2}, \"resources\": {\"requests\": {\"memory\": \"64Mi\"}}}"
  done
  for pods in ledger readModel; do
    echo "spec.projectors.$pods.autoscaling {\"maxReplicas\": 11}"
  done
  for topic in events deadLetters; do
    cat <<CASES
spec.kafka.topics.$topic.config {"cleanup.policy": "compact"}
spec.kafka.topics.$topic.config {"retention.ms": "5"}
spec.kafka.topics.$topic.retentionHours 0
CASES
  done
  local image servers reference
  for image in '  ' 'http://registry/wallex:1' 'wallex:' 'Wallex'; do echo "spec.image \"$image\""; done
  for servers in http://kafka:9092 kafka kafka:0 'a:9092,,b:9092' 'a:9092, b:9092'; do echo "spec.kafka.bootstrapServers \"$servers\""; done
  for reference in database.secretRef database.readSecretRef database.caSecretRef database.caConfigMapRef redis.secretRef kafka.tls.caSecretRef kafka.tls.caConfigMapRef; do
    cat <<CASES
spec.$reference {"name": "Not_A_Name"}
spec.$reference {"name": "s2", "key": "a/b"}
CASES
  done
  # Without the URL beside it, the rules are not evaluated.
  for reference in caSecretRef caConfigMapRef; do
    cat <<CASES
spec.redis {"secretRef": {"name": "s"}, "$reference": {"name": "Not_A_Name"}}
spec.redis {"secretRef": {"name": "s"}, "$reference": {"name": "s2", "key": "a/b"}}
CASES
  done
  cat <<CASES
metadata.name "1st"
spec.imagePullSecrets [{"name": "My Registry"}]
spec.kafka.tls.certificateSecretRef {"name": "Not_A_Name"}
spec.kafka.tls {"caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"}}
spec.database {"secretRef": {"name": "s"}, "caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"}}
spec.redis {"secretRef": {"name": "s"}, "caSecretRef": {"name": "ca"}, "caConfigMapRef": {"name": "ca"}}
spec.maxOpenHolds 0
spec.currencies [{"code": "EUR", "exponent": 3}]
spec.kafka.topics.events.name "__consumer_offsets"
spec.kafka.topics.deadLetters.name "wallex-topic-owners"
spec.kafka.sasl.secretRef {"name": "Not_A_Name"}
spec.kafka.sasl.secretRef {"name": "s", "usernameKey": "a/b"}
spec.kafka.sasl.secretRef {"name": "s", "passwordKey": "a/b"}
spec.tracing.endpoint "https://collector:4318"
spec.monitoring.serviceMonitor.labels {"bad key": "x"}
spec.monitoring.serviceMonitor.labels {"a": "-"}
spec.monitoring.dashboards.labels {"bad key": "x"}
spec.monitoring.dashboards.labels {"a": "-"}
spec.database.readSecretRef {"name": "s", "key": "url"}
spec.kafka.topics {"events": {"name": "one"}, "deadLetters": {"name": "one"}}
spec.monitoring.serviceMonitor.labels {"app.kubernetes.io/part-of": "x"}
spec.monitoring.dashboards.labels {"app.kubernetes.io/part-of": "x"}
CASES
}

# objects: the cases as objects, each a valid platform except for the one value.
objects() {
  cases | jq -R -n --arg namespace "$NAMESPACE" '
    {kind: "List", apiVersion: "v1", items: [inputs | capture("^(?<path>[^ ]+) (?<value>.*)$")] | to_entries | map(
      .key as $number | (.value.path | split(".")) as $path | (.value.value | fromjson) as $value
      | {apiVersion: "wallex.dev/v1alpha1", kind: "WalletPlatform", metadata: {name: "case-\($number)", namespace: $namespace},
         spec: {image: "i", database: {secretRef: {name: "s"}}, kafka: {bootstrapServers: "k:9092"}}}
      | setpath($path; $value))}'
}

# rules: {path, message} of each rule in the CRD. The server calls the object itself <nil>.
rules() {
  k get crd walletplatforms.wallex.dev -o json | jq -c '
    def rules($path): (."x-kubernetes-validations"[]? | {path: $path, message}),
      (.properties // {} | to_entries[] | .key as $name | .value | rules(if $path == "<nil>" then $name else $path + "." + $name end)),
      ((.items, .additionalProperties) | objects | rules($path));
    .spec.versions[].schema.openAPIV3Schema | rules("<nil>")' | sort -u
}

# unheard SAID: the rules that refused nothing in it. List indices and map keys follow the path in brackets.
unheard() {
  rules | jq -r --arg said "$1" '
    ($said | split("\n") | map(gsub("\\[[^\\]]*\\]"; ""))) as $said
    | select(. as $rule | any($said[]; contains(" is invalid: \($rule.path): Invalid value: ") and endswith(" " + $rule.message)) | not)
    | "\(.path): \(.message)"'
}

run_test() {
  local said
  change '{"spec": {"currencies": [{"code": "POINTS", "exponent": 0}]}}'
  said=$(
    objects | k create --dry-run=server -f - 2>&1
    # These compare with the existing object instead of judging the object alone.
    change '{"spec": {"kafka": {"topics": {"events": {"name": "other-events"}}}}}' --dry-run=server 2>&1
    change '{"spec": {"currencies": [{"code": "POINTS", "exponent": 2}]}}' --dry-run=server 2>&1
  ) || true
  change '{"spec": {"currencies": null}}'
  echo "$said"
  ! grep -v '^\(Error from server (Invalid): \)\?.* is invalid: ' <<<"$said" || die "not refused, or not as invalid"
  [ -n "$(rules)" ] || die "the CRD has no rules"
  [ -z "$(unheard "$said")" ] || die "no case breaks these rules: $(unheard "$said")"
}
