"""A stand-in for prometheus-adapter, which is not available as a program here: serves Kubernetes' external metrics API from
Prometheus. It implements only what the shipped rules need: one metric, whose query it reads from them.

    external-metrics.py RULES PROMETHEUS ADDRESS PORT CERTIFICATE KEY
"""

import datetime
import http.server
import json
import re
import ssl
import sys
import urllib.parse
import urllib.request

rules, prometheus, address, port, certificate, key = sys.argv[1:]
METRIC = "wallex_projection_lag_events"
# One rule, one query; a YAML parser would be one more package to install.
QUERY = re.search(r"^ *metricsQuery: (.+)$", open(rules, encoding="utf-8").read(), re.M).group(1)
API = "/apis/external.metrics.k8s.io/v1beta1"


def values(namespace, selector):
    """The query's result for this namespace and these labels, in the form that a metrics adapter returns."""
    labels = [f'namespace="{namespace}"']
    labels += [f'{name}="{value}"' for name, value in (pair.split("=") for pair in selector.split(",") if pair)]
    query = QUERY.replace("<<.Series>>", METRIC).replace("<<.LabelMatchers>>", ",".join(labels))
    url = f"{prometheus}/api/v1/query?" + urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(url, timeout=5) as answer:
        found = json.load(answer)["data"]["result"]
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return [
        {"metricName": METRIC, "metricLabels": series["metric"], "timestamp": now, "value": series["value"][1]}
        for series in found
    ]


class Api(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        selector = urllib.parse.parse_qs(url.query).get("labelSelector", [""])[0]
        metric = re.fullmatch(rf"{re.escape(API)}/namespaces/([^/]+)/{METRIC}", url.path)
        if url.path == API:
            resource = {"name": METRIC, "singularName": "", "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            body = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "external.metrics.k8s.io/v1beta1", "resources": [resource]}
        elif metric:
            items = values(metric.group(1), selector)
            body = {"kind": "ExternalMetricValueList", "apiVersion": "external.metrics.k8s.io/v1beta1", "metadata": {}, "items": items}
        else:
            self.send_error(404)
            return
        text = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = http.server.ThreadingHTTPServer((address, int(port)), Api)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
