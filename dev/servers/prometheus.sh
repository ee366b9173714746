# shellcheck shell=bash
# Debian's Prometheus as a separate instance that scrapes every role of every platform and the operator. Sourced after lib.sh.
# Debian builds it without Kubernetes service discovery, so another process watches the pods and writes them to a file.

# prometheus_settings RULES
prometheus_settings() {
  cat <<YAML
global: {scrape_interval: 5s, scrape_timeout: 4s, evaluation_interval: 5s}
rule_files: ["$1"]
scrape_configs:
  - {job_name: wallex, file_sd_configs: [{files: [targets.json]}]}
YAML
}

# prometheus_targets FILE API_SERVER PKI: writes the list of pods to FILE whenever it changes, until it is ended. PKI is the
# folder of the cluster's certificates. The labels are those that the shipped ServiceMonitors set.
prometheus_targets() {
  local file=$1 targets newer
  # It has its own process group, because `spawn` started it: the pipeline ends with it.
  trap 'trap - TERM; kill -s TERM -- "-$$"' TERM
  # shellcheck disable=SC2016
  local pods_to_targets='
    foreach inputs as $event ({};
      ($event.object.metadata | "\(.namespace)/\(.name)") as $pod
      | if $event.type == "DELETED" then del(.[$pod])
        elif $event.type == "ERROR" then error($event.object.message)
        else .[$pod] = $event.object end;
      [.[] | select(.status.podIP != null and (.status.phase == "Pending" or .status.phase == "Running"))
        | .metadata.labels as $labels
        # The operator is an instance of its chart, not of a platform.
        | (if $labels["app.kubernetes.io/name"] == "wallex" then $labels["app.kubernetes.io/instance"] else "" end) as $platform
        | ($labels["app.kubernetes.io/component"] // "") as $component
        | {labels: {namespace: .metadata.namespace, pod: .metadata.name, platform: $platform, component: $component,
             # The names of the last two in alerts and dashboards.
             app_kubernetes_io_instance: $platform, app_kubernetes_io_component: $component},
           targets: ["\(.status.podIP):\(.spec.containers[].ports[]? | select(.name == "http") | .containerPort)"]}])'
  while :; do
    # The watch begins with an event per existing pod, so write only after a moment without events.
    while IFS= read -r targets; do
      while IFS= read -r -t 0.3 newer; do targets=$newer; done
      printf '%s\n' "$targets" >"$file.new"
      mv "$file.new" "$file"
    done < <(curl -sS -f -N -G --cacert "$3/ca.crt" --cert "$3/admin.crt" --key "$3/admin.key" "$2/api/v1/pods" -d watch=1 \
      --data-urlencode 'labelSelector=app.kubernetes.io/name in (wallex, wallex-operator)' | jq -n -c --unbuffered "$pods_to_targets")
    sleep 1 # the API server ends a watch after half an hour or so, and may be down
  done
}

# prometheus_start DIR ADDRESS PORT API_SERVER PKI RULES: restarts a running one with the current rules and certificates of the
# cluster; it keeps its data, at most six hours of it.
prometheus_start() {
  local dir=$1
  prometheus_stop "$dir"
  mkdir -p "$dir/prometheus"
  prometheus_settings "$6" >"$dir/prometheus/prometheus.yml"
  echo '[]' >"$dir/prometheus/targets.json"
  promtool check config "$dir/prometheus/prometheus.yml" || die "Prometheus cannot read its configuration"
  spawn "$dir" prometheus-targets bash -c '. "$1/lib.sh"; . "$1/servers/prometheus.sh"; shift; prometheus_targets "$@"' bash "$DEV" \
    "$dir/prometheus/targets.json" "$4" "$5"
  spawn "$dir" prometheus prometheus --config.file="$dir/prometheus/prometheus.yml" --log.level=warn \
    --storage.tsdb.path="$dir/prometheus/data" --storage.tsdb.retention.time=6h --storage.tsdb.retention.size=256MB \
    --web.listen-address="$2:$3"
}

# prometheus_wait DIR ADDRESS PORT
prometheus_wait() {
  until_true 30 curl -s -f "http://$2:$3/-/ready" ||
    { tail -n 20 "$1/log/prometheus.log" >&2; die "Prometheus did not start; see $1/log/prometheus.log"; }
}

# prometheus_stop DIR [SIGNAL]: always ends the watch with TERM, because its pipeline must end with it.
prometheus_stop() {
  end "$1" prometheus-targets TERM
  end "$1" prometheus "${2:-TERM}"
}
