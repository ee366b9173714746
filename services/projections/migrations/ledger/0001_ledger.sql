-- The ledger: double entry by construction. One posting row moves an amount from one account to another,
-- so the totals of a currency always sum to zero.

-- What a binary must be to work with this schema: `version` is the migration, `compatible_from` the
-- oldest binary schema version that may still run on it.
CREATE TABLE ledger.compatibility (
    version         integer PRIMARY KEY,
    compatible_from integer NOT NULL
);
INSERT INTO ledger.compatibility VALUES (1, 1);

CREATE TABLE ledger.cursor (
    partition integer PRIMARY KEY,
    seq       bigint NOT NULL,
    hash      bytea  NOT NULL CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 10);
COMMENT ON TABLE ledger.cursor IS 'Up to which event of each journal partition the ledger has been written.';

CREATE TABLE ledger.posting (
    partition      integer NOT NULL,
    seq            bigint  NOT NULL,
    transaction_id uuid    NOT NULL,
    source         text    NOT NULL,
    destination    text    NOT NULL,
    amount         bigint  NOT NULL CHECK (amount > 0),
    currency       text    NOT NULL,
    recorded_at    bigint  NOT NULL,
    PRIMARY KEY (partition, seq),
    CHECK (source <> destination)
);
COMMENT ON COLUMN ledger.posting.seq IS 'The journal event this posting comes from: always the source''s own.';
CREATE INDEX posting_transaction ON ledger.posting (transaction_id);

-- Totals are kept per account and partition of the event applied, so that no two projector replicas ever
-- update the same row. An account's balance is the sum over partitions.
CREATE TABLE ledger.account_total (
    account   text    NOT NULL,
    currency  text    NOT NULL,
    partition integer NOT NULL,
    debits    numeric NOT NULL,
    credits   numeric NOT NULL,
    PRIMARY KEY (account, currency, partition)
) WITH (fillfactor = 70);
COMMENT ON COLUMN ledger.account_total.debits IS 'Minor units that left the account. Balance = credits - debits.';

-- Events the journal itself yields unusably, and the later ones of their wallets.
CREATE TABLE ledger.parked (
    partition integer NOT NULL,
    seq       bigint  NOT NULL,
    wallet_id uuid    NOT NULL,
    reason    text    NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition, seq)
);
CREATE INDEX parked_wallet ON ledger.parked (wallet_id);
