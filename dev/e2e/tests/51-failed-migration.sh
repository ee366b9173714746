# shellcheck shell=bash
SUITE=full
EXPECT='A failed migration is reported with its last lines while the old pods serve; with a fixed image, or the missing right, the platform recovers by itself'

fails_and_recovers() {
  local image=$1 before
  before=$(template_hashes)
  change "{\"spec\": {\"image\": \"$image\"}}" || die "the image can't be changed"
  expect_says 120 SchemaReady False MigrationFailed 'error: this build was made to fail as migrate'
  expect_says 10 Ready False MigrationFailed 'error: this build was made to fail as migrate'
  expect_says 10 Degraded True MigrationFailed
  [ "$(template_hashes)" = "$before" ] || die "pods were replaced before the migration succeeded: $before became $(template_hashes)"
  [ "$(deployment command '.status.readyReplicas')" = 1 ] || die "the command's pod no longer serves"
  # Stands for a fixed build under the same name. Nobody touches the platform.
  another_name "$image" || die "the image can't be replaced by a fixed one"
  platform_wait 300 || die "the platform does not recover with the fixed image"
  [ -z "$(same_pods "$before")" ] || die "Ready, but these run the previous image: $(same_pods "$before")"
  change "{\"spec\": {\"image\": \"$IMAGE\"}}" || die "the image can't be changed back"
  platform_wait 300 || die "not Ready with the first image"
}

run_test() {
  local broken=${IMAGE%:*}:e2e-broken-migration
  faulty_image "$broken" migrate || die "no image that fails"
  under_load fails_and_recovers "$broken"
  not_one_again
  nothing_parked

  # A database that belongs to somebody else: the role may only log in.
  local NAMESPACE=e2e-rights PLATFORM=rights
  sql_as_superuser <<<"DROP DATABASE IF EXISTS e2e_rights WITH (FORCE); CREATE DATABASE e2e_rights;" || die "no database"
  platform_in "$NAMESPACE" "$PLATFORM" "${DATABASE_URL%/*}/e2e_rights" || die "no second platform"
  expect_says 120 SchemaReady False MigrationFailed 'permission denied for database e2e_rights'
  sql_as_superuser <<<"GRANT CREATE ON DATABASE e2e_rights TO wallex;" || die "the right can't be granted"
  platform_wait 300 || die "not Ready with the right: $(condition Ready)"
  drop_platform "$NAMESPACE" || die "the namespace $NAMESPACE does not end"
  drop_database e2e_rights
}
