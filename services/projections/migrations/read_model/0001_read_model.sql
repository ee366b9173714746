-- The read model: a row per wallet, and a row per wallet event with the balance after it.
-- Times are integer microseconds since 1970 (UTC), amounts minor units.

-- What a binary must be to work with this schema: `version` is the migration, `compatible_from` the
-- oldest binary schema version that may still run on it.
CREATE TABLE read_model.compatibility (
    version         integer PRIMARY KEY,
    compatible_from integer NOT NULL
);
INSERT INTO read_model.compatibility VALUES (1, 1);

CREATE TABLE read_model.cursor (
    partition integer PRIMARY KEY,
    seq       bigint NOT NULL,
    hash      bytea  NOT NULL CHECK (octet_length(hash) = 32)
) WITH (fillfactor = 10);
COMMENT ON TABLE read_model.cursor IS 'Up to which event of each journal partition the read model has been written.';

CREATE TABLE read_model.wallet (
    wallet_id       uuid    PRIMARY KEY,
    partition       integer NOT NULL,
    seq             bigint  NOT NULL,
    version         bigint  NOT NULL,
    external_id     text    UNIQUE,
    currency        text    NOT NULL,
    balance         bigint  NOT NULL,
    held            bigint  NOT NULL,
    overdraft_limit bigint  NOT NULL,
    status          text    NOT NULL,
    owner           text,
    description     text,
    metadata        jsonb,
    created_at      bigint  NOT NULL,
    updated_at      bigint  NOT NULL
) WITH (fillfactor = 70);
COMMENT ON COLUMN read_model.wallet.seq IS 'Seq of the wallet''s last event applied, in its partition.';
CREATE INDEX wallet_owner ON read_model.wallet (owner, wallet_id) WHERE owner IS NOT NULL;

CREATE TABLE read_model.entry (
    wallet_id      uuid    NOT NULL,
    version        bigint  NOT NULL,
    partition      integer NOT NULL,
    seq            bigint  NOT NULL,
    event_id       uuid    NOT NULL,
    transaction_id uuid    NOT NULL,
    type           text    NOT NULL,
    amount         bigint  NOT NULL,
    currency       text    NOT NULL,
    balance_after  bigint  NOT NULL,
    counterparty   uuid,
    reference      text,
    description    text,
    metadata       jsonb,
    recorded_at    bigint  NOT NULL,
    PRIMARY KEY (wallet_id, version)
);
COMMENT ON COLUMN read_model.entry.amount IS 'Signed change of the balance: positive in, negative out, 0 for none.';
CREATE INDEX entry_transaction ON read_model.entry (transaction_id);

CREATE TABLE read_model.parked (
    partition integer NOT NULL,
    seq       bigint  NOT NULL,
    wallet_id uuid    NOT NULL,
    reason    text    NOT NULL,
    parked_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (partition, seq)
);
CREATE INDEX parked_wallet ON read_model.parked (wallet_id);
