# shellcheck shell=bash
# One authority, and a certificate for every component that needs one. Sourced by `up`.

# certificate NAME COMMON_NAME GROUP [ALTERNATIVE_NAMES]: Kubernetes takes the user from CN and the group from O.
certificate() {
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$P/$1.key" -out "$P/$1.csr" -subj "/O=$3/CN=$2"
  openssl x509 -req -in "$P/$1.csr" -CA "$P/ca.crt" -CAkey "$P/ca.key" -CAcreateserial -days 365 -out "$P/$1.crt" \
    -extfile <(
      echo "extendedKeyUsage=clientAuth,serverAuth"
      [ -z "${4:-}" ] || echo "subjectAltName=$4"
    )
  rm "$P/$1.csr"
}

make_certificates() {
  [ -e "$P/complete" ] && return
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -keyout "$P/ca.key" -out "$P/ca.crt" \
    -subj /CN=wallex-dev -addext keyUsage=critical,keyCertSign,digitalSignature
  certificate apiserver kube-apiserver kube \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:localhost,IP:127.0.0.1,IP:$NODE_IP,IP:$API_SERVICE"
  certificate kubelet "system:node:$NODE" system:nodes "DNS:$NODE,IP:$NODE_IP"
  certificate admin admin system:masters
  certificate apiserver-kubelet kube-apiserver-kubelet-client system:masters
  certificate front-proxy front-proxy-client kube
  certificate controller-manager system:kube-controller-manager kube
  certificate scheduler system:kube-scheduler kube
  certificate proxy system:kube-proxy kube
  # Signs the tokens of service accounts.
  openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$P/sa.key"
  openssl pkey -in "$P/sa.key" -pubout -out "$P/sa.pub"
  touch "$P/complete"
}

# kubeconfig CERTIFICATE FILE
kubeconfig() {
  (
    umask 077
    cat >"$2" <<JSON
{"apiVersion":"v1","kind":"Config","current-context":"local",
 "clusters":[{"name":"local","cluster":{"server":"https://$NODE_IP:6443","certificate-authority-data":"$(base64 -w0 "$P/ca.crt")"}}],
 "users":[{"name":"user","user":{"client-certificate-data":"$(base64 -w0 "$P/$1.crt")","client-key-data":"$(base64 -w0 "$P/$1.key")"}}],
 "contexts":[{"name":"local","context":{"cluster":"local","user":"user"}}]}
JSON
  )
}
