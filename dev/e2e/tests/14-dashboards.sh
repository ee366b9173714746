# shellcheck shell=bash
SUITE=core
EXPECT='After a run, every query of both dashboards has data in the real Prometheus, and no alert fires'

# query PROMQL: the number of series it returns.
query() { curl -sS -f -G "http://$HOST_IP:$PROMETHEUS_PORT/api/v1/query" --data-urlencode "query=$1"; }
has_data() { query "$1" | jq -e '.status == "success" and (.data.result | length) > 0' >/dev/null; }

# expressions: the queries of both dashboards, one per line: the file, a space, the query with its variables replaced.
expressions() {
  local file namespace
  for file in "$REPO"/charts/wallex-operator/dashboards/*.json; do
    namespace=$NAMESPACE
    [ "$(basename "$file")" != operator.json ] || namespace=$OPERATOR_NAMESPACE
    jq -r '.. | .expr? // empty' "$file" | sed -e "s/\$__rate_interval/1m/g" -e "s/\$platform/$PLATFORM/g" \
      -e "s/\$namespace/$namespace/g" -e "s/^/$(basename "$file") /"
  done
}
without_data() {
  local file expression
  expressions | while read -r file expression; do has_data "$expression" || echo "no data in $file: $expression"; done
}
all_have_data() { without_data >"$STATE/e2e/without-data" && [ ! -s "$STATE/e2e/without-data" ]; }

run_test() {
  # Writes and reads: the check after the run reads through the API.
  bench --wallets 50 --operations 3000 --workers 4 --rate 200
  until_true 60 all_have_data || die "queries without data: $(cat "$STATE/e2e/without-data")"
  # Most alerts wait for minutes before they fire; one that fires this soon on a new stack is wrong.
  query 'ALERTS{alertstate="firing"}' | jq -r '.data.result[].metric | .alertname + " " + tostring' | tee "$STATE/e2e/alerts"
  [ ! -s "$STATE/e2e/alerts" ] || die "alerts fire on a healthy platform"
}
