# shellcheck shell=bash
SUITE=full
EXPECT='The operator watches one namespace, then two, then all: its rights follow, and platforms elsewhere are ignored until they are watched'

# watches JSON: a list of namespaces. For all of them use [], not null: with --reuse-values Helm would keep the previous list.
watches() {
  h upgrade wallex-operator "$REPO/charts/wallex-operator" --namespace "$OPERATOR_NAMESPACE" --reuse-values --hide-notes \
    --set-json "watchNamespaces=$1" --wait --timeout 3m || die "the operator can't be told to watch $1"
}

# may NAMESPACE: whether the operator may read Secrets there.
may() { k auth can-i -q list secrets -n "$1" --as "system:serviceaccount:$OPERATOR_NAMESPACE:wallex-operator"; }

has_service() { k -n "$NAMESPACE" get service "$PLATFORM-query"; }
# mends: fails unless the platform is repaired after a part of it is deleted.
mends() {
  k -n "$NAMESPACE" delete service "$PLATFORM-query" || die "there is nothing to delete"
  until_true 60 has_service || die "$NAMESPACE/$PLATFORM is not repaired within 60 s"
}

# ignored: fails unless the platform is left alone.
ignored() {
  [ "$(field '.status.conditions // "none"')" = none ] || die "a platform that is not watched has conditions: $(condition Ready)"
  no_children "$PLATFORM" || die "a platform that is not watched has children: $(children "$PLATFORM")"
}

run_test() {
  local other=e2e-elsewhere url
  watches "[\"$NAMESPACE\"]"
  k -n "$NAMESPACE" get role wallex-operator || die "there is no Role in $NAMESPACE"
  may "$NAMESPACE" || die "the operator may not read Secrets where it watches"
  may "$OPERATOR_NAMESPACE" && die "the operator may read Secrets where it does not watch"
  mends

  url=$(new_database e2e_elsewhere)
  platform_in "$other" away "$url" || die "no second platform"
  # An operator that watched both would have seen it by now.
  mends
  NAMESPACE=$other PLATFORM=away ignored

  watches "[\"$NAMESPACE\", \"$other\"]"
  NAMESPACE=$other PLATFORM=away platform_wait 300 || die "the second platform is not Ready when its namespace is watched"
  may "$OPERATOR_NAMESPACE" && die "the operator may read Secrets where it does not watch"
  mends

  watches '[]'
  may "$OPERATOR_NAMESPACE" || die "the operator may not read Secrets everywhere"
  ! k -n "$NAMESPACE" get role wallex-operator || die "a Role from before is left"
  mends
  NAMESPACE=$other PLATFORM=away mends
  drop_platform "$other" || die "the namespace $other does not end"
  drop_database e2e_elsewhere
}
