-- The caller's own names of movements. A row is written in the transaction that its events are of, and stays for good:
-- whoever sends the movement again gets the answer that the first one got, whatever the idempotency key.

CREATE TABLE journal.movement (
    external_id    text     PRIMARY KEY,
    transaction_id uuid     NOT NULL,
    event_id       uuid     NOT NULL,
    content        bytea    NOT NULL CHECK (octet_length(content) = 32),
    has_personal   boolean  NOT NULL,
    status         smallint NOT NULL,
    body           bytea    NOT NULL,
    etag           text,
    position       text,
    location       text
);
COMMENT ON COLUMN journal.movement.event_id IS 'The transaction''s first event: description and metadata are compared with its row in journal.personal.';
COMMENT ON COLUMN journal.movement.content IS 'BLAKE3 of what was asked for, without description and metadata, see docs/journal.md.';
COMMENT ON COLUMN journal.movement.has_personal IS 'Whether it had description or metadata, which may have been erased since.';

-- As events: facts. The function now names the table that it guards.
CREATE OR REPLACE FUNCTION journal.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.% is append-only: % refused', TG_TABLE_SCHEMA, TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER movement_is_append_only BEFORE UPDATE OR DELETE ON journal.movement
    FOR EACH ROW EXECUTE FUNCTION journal.refuse_change();
CREATE TRIGGER movement_is_never_truncated BEFORE TRUNCATE ON journal.movement
    FOR EACH STATEMENT EXECUTE FUNCTION journal.refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON journal.movement FROM PUBLIC, CURRENT_USER;

-- A currency of one's own keeps the exponent that it had first: another one would give all its amounts another meaning.
CREATE TABLE journal.currency (
    code     text     PRIMARY KEY,
    exponent smallint NOT NULL CHECK (exponent >= 0)
);
COMMENT ON TABLE journal.currency IS 'Currencies that the setting currencies has named, ever.';

-- What runs at an earlier version refuses the field external_id as an unknown one, and needs no currency but its own.
INSERT INTO journal.compatibility VALUES (4, 2);
