-- The journal: one dense, hash-chained sequence per partition. Whoever holds a partition's row lock
-- is the only writer of every wallet in it. Times are integer microseconds since 1970 (UTC).

CREATE TABLE journal.platform (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    cluster    text NOT NULL,
    namespace  text NOT NULL,
    name       text NOT NULL,
    written_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE journal.platform IS 'The one platform this journal belongs to; every role refuses another one''s.';

-- What a binary must be to work with this schema: `version` is the migration, `compatible_from` the
-- oldest binary schema version that may still run on it.
CREATE TABLE journal.compatibility (
    version         integer PRIMARY KEY,
    compatible_from integer NOT NULL
);
INSERT INTO journal.compatibility VALUES (1, 1);

-- Hot: updated once per batch, so pages keep room for HOT updates.
CREATE TABLE journal.partition (
    id               integer PRIMARY KEY CHECK (id >= 0),
    last_seq         bigint  NOT NULL DEFAULT 0,
    head_hash        bytea   NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(head_hash) = 32),
    last_recorded_at bigint  NOT NULL DEFAULT 0,
    open             boolean NOT NULL DEFAULT true
) WITH (fillfactor = 10);
COMMENT ON COLUMN journal.partition.open IS 'Takes new wallets.';

-- The state decide needs of a wallet, as of its last event.
CREATE TABLE journal.head (
    wallet_id       uuid     PRIMARY KEY,
    partition       integer  NOT NULL REFERENCES journal.partition (id),
    version         bigint   NOT NULL CHECK (version > 0),
    currency        text     NOT NULL,
    balance         bigint   NOT NULL,
    held            bigint   NOT NULL DEFAULT 0 CHECK (held >= 0),
    overdraft_limit bigint   NOT NULL DEFAULT 0 CHECK (overdraft_limit >= 0),
    status          text     NOT NULL,
    external_id     text     UNIQUE,
    CHECK (balance::numeric - held >= -overdraft_limit::numeric),
    UNIQUE (wallet_id, partition)
) WITH (fillfactor = 70);

CREATE TABLE journal.event (
    partition      integer  NOT NULL,
    seq            bigint   NOT NULL,
    event_id       uuid     NOT NULL,
    transaction_id uuid     NOT NULL,
    wallet_id      uuid     NOT NULL,
    version        bigint   NOT NULL,
    type           text     NOT NULL,
    schema_version smallint NOT NULL,
    recorded_at    bigint   NOT NULL,
    actor          text     NOT NULL,
    traceparent    text,
    payload        bytea    NOT NULL,
    hash           bytea    NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (partition, seq),
    UNIQUE (wallet_id, version),
    FOREIGN KEY (wallet_id, partition) REFERENCES journal.head (wallet_id, partition)
);
COMMENT ON COLUMN journal.event.payload IS 'JSON, kept byte for byte as it was hashed.';
COMMENT ON COLUMN journal.event.hash IS 'BLAKE3(hash of the event before it in the partition || event bytes), see docs/journal.md.';

-- Events are facts: nobody changes or removes one. The rights say so, and a trigger says so to superusers.
CREATE FUNCTION journal.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'journal.event is append-only: % refused', TG_OP USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER event_is_append_only BEFORE UPDATE OR DELETE ON journal.event
    FOR EACH ROW EXECUTE FUNCTION journal.refuse_change();
CREATE TRIGGER event_is_never_truncated BEFORE TRUNCATE ON journal.event
    FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON journal.event FROM PUBLIC, CURRENT_USER;

-- What may have to be forgotten (owner, description, metadata) lives beside its event; the event carries
-- BLAKE3(salt || data) only, so that erasing this row leaves chain and amounts whole.
CREATE TABLE journal.personal (
    event_id  uuid  PRIMARY KEY,
    wallet_id uuid  NOT NULL,
    salt      bytea NOT NULL CHECK (octet_length(salt) = 16),
    data      bytea NOT NULL
);
CREATE INDEX personal_wallet ON journal.personal (wallet_id);

-- The stored answers of idempotent requests, in a ring of three time slots: a lookup probes all three, and
-- maintenance empties a slot whole (TRUNCATE) once its youngest answer is past the retention and before the
-- slot's turn comes again. When maintenance fails, answers only live longer; commands never notice.
CREATE TABLE journal.answer (
    slot        smallint NOT NULL,
    caller      text     NOT NULL,
    key         text     NOT NULL,
    created_at  bigint   NOT NULL,
    fingerprint bytea    NOT NULL CHECK (octet_length(fingerprint) = 32),
    status      smallint NOT NULL,
    body        bytea    NOT NULL,
    etag        text,
    position    text,
    location    text,
    PRIMARY KEY (caller, key, slot)
) PARTITION BY LIST (slot);
CREATE TABLE journal.answer_0 PARTITION OF journal.answer FOR VALUES IN (0);
CREATE TABLE journal.answer_1 PARTITION OF journal.answer FOR VALUES IN (1);
CREATE TABLE journal.answer_2 PARTITION OF journal.answer FOR VALUES IN (2);

-- Who publishes a partition to Kafka, and up to where it has. Taking over raises the epoch; a checkpoint
-- is written only by the epoch that owns the row.
CREATE TABLE journal.publication (
    partition       integer PRIMARY KEY REFERENCES journal.partition (id),
    checkpoint_seq  bigint  NOT NULL DEFAULT 0,
    checkpoint_hash bytea   NOT NULL DEFAULT decode(repeat('00', 32), 'hex') CHECK (octet_length(checkpoint_hash) = 32),
    owner           text,
    epoch           bigint  NOT NULL DEFAULT 0,
    expires_at      timestamptz NOT NULL DEFAULT '-infinity'
) WITH (fillfactor = 10);
CREATE TABLE journal.publisher (
    instance   text PRIMARY KEY,
    expires_at timestamptz NOT NULL
);
COMMENT ON TABLE journal.publisher IS 'Living publisher replicas; each takes at most its share of the partitions.';
