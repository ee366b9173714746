# shellcheck shell=bash
SUITE=full
EXPECT='A Secret that names an empty or an older database makes the platform Stalled with JournalRewound and reaches no pod; it recovers with the right one, and continues with the other only after an annotation that names the journal'

# command_api: the address of the platform's command.
command_api() { echo "http://$(field .spec.clusterIP service "$PLATFORM-command"):8080"; }
wallet() { curl -sS --max-time 10 -X POST "$(command_api)/v1/wallets" -H "Idempotency-Key: e2e-$1" -H 'Content-Type: application/json' -d '{"currency":"EUR"}'; }
remembered() { [ "$(field '.status.journal.events // 0')" -ge 1 ]; }
no_journal() { [ "$(psql -X -A -t -d "$1" -c "SELECT count(*) FROM pg_namespace WHERE nspname = 'journal'")" = 0 ]; }

run_test() {
  local NAMESPACE=e2e-rewound PLATFORM=amnesia url empty before first again journal
  url=$(new_database e2e_rewound)
  platform_in "$NAMESPACE" "$PLATFORM" "$url"
  platform_wait 240 || die "the platform does not start"
  until_true 60 wallet first >/dev/null || die "no wallet can be created"
  first=$(wallet first | jq -r .transaction_id)
  [ "$first" != null ] || die "the answer names no transaction"
  until_true 120 remembered || die "the status does not record the journal: $(field .status.journal)"
  before=$(template_hashes)

  empty=$(new_database e2e_rewound_empty)
  secret_up "$PLATFORM-database" "$empty"
  expect_says 180 Stalled True JournalRewound wallex.dev/accept-journal-loss
  expect_says 10 Degraded True JournalRewound
  expect_says 10 Ready False JournalRewound
  k -n "$NAMESPACE" get events -o json | jq -e '.items[] | select(.reason == "JournalRewound")' >/dev/null || die "no Event reports it"
  [ "$(template_hashes)" = "$before" ] || die "pods were replaced"
  no_journal "$empty" || die "the empty database was initialised"
  [ "$(wallet first | jq -r .transaction_id)" = "$first" ] || die "the first request now gets a different answer"

  secret_up "$PLATFORM-database" "$url"
  platform_wait 180 || die "not Ready with the database that has the journal"

  secret_up "$PLATFORM-database" "$empty"
  expect_says 180 Stalled True JournalRewound
  journal=$(field .status.journal.id)
  k -n "$NAMESPACE" annotate walletplatform "$PLATFORM" "wallex.dev/accept-journal-loss=$journal"
  # The topic still contains the old journal's events; people have to clear it, as the documentation says.
  topic --delete --topic amnesia-events
  platform_wait 300 || die "not Ready after the journal was given up"
  [ "$(field .status.journal.id)" != "$journal" ] || die "the status still names the journal that was given up"
  # The same key means the same wallet id in every journal, but the transaction differs.
  again=$(wallet first | jq -r .transaction_id)
  [ "$again" != "$first" ] || die "the answer is the old journal's"

  k -n "$NAMESPACE" delete walletplatform "$PLATFORM" --timeout=120s
  topic --delete --topic amnesia-events
  topic --delete --topic amnesia-events-dlq
  drop_platform "$NAMESPACE"
  drop_database e2e_rewound
  drop_database e2e_rewound_empty
}
