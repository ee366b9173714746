# shellcheck shell=bash
# The network of one stack: a bridge with the address that the servers listen on and that pods can reach. It stays up while
# the cluster restarts, so servers can bind to it before there is a cluster. Sourced after lib.sh and kubernetes/settings.sh.

network_up() {
  local cidr taken
  if ip link show "$BRIDGE" >/dev/null 2>&1; then return; fi
  for cidr in "$NODE_CIDR" "$POD_CIDR" "$SERVICE_CIDR"; do
    taken=$(ip route show to root "$cidr")
    [ -z "$taken" ] || die "the addresses $cidr are in use on this machine ($taken); choose others with NUMBER=1 … 9"
  done
  ip link add "$BRIDGE" type bridge
  ip addr add "$HOST_IP/30" dev "$BRIDGE"
  ip link set "$BRIDGE" up
}

network_down() { ip link del "$BRIDGE" 2>/dev/null || true; }
