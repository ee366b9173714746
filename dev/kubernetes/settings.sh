# shellcheck shell=bash disable=SC2034
# Addresses and names of one cluster. Sourced by `up`, `down` and the node, which all get these two variables:
#   CLUSTER_DIR     folder with all of its state
#   CLUSTER_NUMBER  0 … 9; every number has its own addresses, bridge and cgroups, so that clusters can run side by side

CLUSTER_NUMBER=${CLUSTER_NUMBER:-0}
: "${CLUSTER_DIR:?}"
D=$CLUSTER_DIR
KUBE=${CACHE:?}/kubernetes/kube
PAUSE=$CACHE/kubernetes/pause.tar PAUSE_IMAGE=localhost/pause:1

NODE=node
BRIDGE=wallex$CLUSTER_NUMBER           # on the host, with HOST_IP: dev/network.sh makes it
VETH=$BRIDGE-node                      # the host's end of the node's cable, plugged into the bridge
CGROUP=wallex$CLUSTER_NUMBER
HOST_IP=10.89.$CLUSTER_NUMBER.1 NODE_IP=10.89.$CLUSTER_NUMBER.2
NODE_CIDR=10.89.$CLUSTER_NUMBER.0/30
POD_CIDR=10.$((240 + CLUSTER_NUMBER)).0.0/24
SERVICE_CIDR=10.$((100 + CLUSTER_NUMBER)).0.0/16
API_SERVICE=10.$((100 + CLUSTER_NUMBER)).0.1 DNS_SERVICE=10.$((100 + CLUSTER_NUMBER)).0.10

# in_node COMMAND…: runs it in the node's namespaces.
in_node() { nsenter -t "$(cut -d' ' -f1 "$D/pid/node")" -m -n -p -u -i "$@"; }
