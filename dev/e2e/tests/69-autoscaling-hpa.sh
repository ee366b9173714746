# shellcheck shell=bash
SUITE=full
EXPECT='Driver HPA: Kubernetes scales the ledger projector up and down by the external metric, from Prometheus with the shipped rules (through a stand-in for prometheus-adapter)'
. "$E2E/autoscaling.sh"

# stand_in_up: takes the place of KEDA's server of external metrics until `stand_in_down`.
stand_in_up() {
  local port dir=$STATE/e2e/external-metrics
  port=$(random_port)
  mkdir -p "$dir"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=external-metrics -keyout "$dir/key.pem" -out "$dir/crt.pem"
  spawn "$dir" server python3 "$E2E/external-metrics.py" "$REPO/charts/prometheus-adapter-rules.yaml" "$PROMETHEUS_URL" "$HOST_IP" "$port" "$dir/crt.pem" "$dir/key.pem"
  trap 'end "$STATE/e2e/external-metrics" server TERM' EXIT
  k apply -f - <<YAML
apiVersion: v1
kind: Namespace
metadata: {name: e2e-metrics}
---
apiVersion: v1
kind: Service
metadata: {name: external-metrics, namespace: e2e-metrics}
spec: {ports: [{port: 443, targetPort: $port}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: external-metrics-1
  namespace: e2e-metrics
  labels: {kubernetes.io/service-name: external-metrics}
addressType: IPv4
ports: [{port: $port}]
endpoints: [{addresses: [$HOST_IP]}]
YAML
  k patch apiservice v1beta1.external.metrics.k8s.io --type=merge -p \
    '{"spec": {"caBundle": null, "insecureSkipTLSVerify": true, "service": {"namespace": "e2e-metrics", "name": "external-metrics"}}}'
  k wait --for=condition=Available apiservice/v1beta1.external.metrics.k8s.io --timeout=60s
}
stand_in_down() {
  k patch apiservice v1beta1.external.metrics.k8s.io --type=merge -p '{"spec": {"insecureSkipTLSVerify": null}}'
  "$DEV/autoscaling/up"
  end "$STATE/e2e/external-metrics" server TERM
  k delete namespace e2e-metrics --timeout=60s
}

run_test() {
  stand_in_up
  change '{"spec": {"projectors": {"ledger": {"replicas": 0, "resources": {"limits": {"cpu": "20m"}}}}}}'
  until_true 60 replicas_are ledger-projector 0
  bench --wallets 200 --operations 40000 --only transfers --workers 16 --drain-timeout 1 || true # the ledger can't catch up
  change '{"spec": {"autoscaling": {"driver": "HPA"}, "projectors": {"ledger": {"autoscaling": {
    "maxReplicas": 3, "lagThreshold": 1000, "scaleDown": {"stabilizationSeconds": 5, "percent": 100, "periodSeconds": 5}}}}}}'
  until_true 180 replicas_are ledger-projector 3 || die "there are $(replicas ledger-projector) pods, not 3: $(condition AutoscalingActive)"
  expect_says 60 AutoscalingActive True Active
  until_true 300 replicas_are ledger-projector 1 || die "there are $(replicas ledger-projector) pods, not 1"
  change '{"spec": {"autoscaling": null, "projectors": {"ledger": {"replicas": 1, "autoscaling": null, "resources": null}}}}'
  stand_in_down
  platform_wait 120
  bench --wallets 10 --operations 200 --workers 4
}
