# shellcheck shell=bash
# The configuration files of the node's components. Sourced by `up`.

write_configuration() {
  cat >"$D/config/containerd.toml" <<TOML
version = 2
root = "$D/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  # Scores can't be lowered without CAP_SYS_RESOURCE, which a machine that is itself a container may lack.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "$D/config/cni"
TOML
  cat >"$D/config/cni/10-bridge.conflist" <<JSON
{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"hairpinMode":true,"ipMasq":false,
  "ipam":{"type":"host-local","ranges":[[{"subnet":"$POD_CIDR"}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
JSON
  : >"$D/config/resolv.conf" # no names outside of the cluster: nothing leaves it
  cat >"$D/config/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $P/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $P/kubelet.crt
tlsPrivateKeyFile: $P/kubelet.key
cgroupDriver: cgroupfs
cgroupRoot: /$CGROUP
failCgroupV1: false
failSwapOn: false
clusterDomain: cluster.local
clusterDNS: [$DNS_SERVICE]
resolvConf: $D/config/resolv.conf
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
podLogsDir: $D/podlogs
volumePluginDir: /var/lib/kubelet/volumeplugins
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
registerNode: true
serializeImagePulls: false
shutdownGracePeriod: 0s
YAML
  # conntrack: zeros leave the machine's own settings alone.
  cat >"$D/config/proxy.yaml" <<YAML
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clusterCIDR: $POD_CIDR
hostnameOverride: $NODE
clientConnection: {kubeconfig: $D/config/proxy.kubeconfig}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
YAML
  local name
  for name in kubelet controller-manager scheduler proxy; do kubeconfig $name "$D/config/$name.kubeconfig"; done
  kubeconfig admin "$D/kubeconfig"
}
