-- A projection whose rows or cursors were taken away notices, and fills itself again from the journal.

ALTER TABLE read_model.cursor ADD COLUMN refill_to bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN read_model.cursor.refill_to IS
    'While seq is below it, rows that had been there are being filled in again from the journal.';

-- Nothing of the projection deletes rows of other partitions than the one whose cursor it then writes. So whoever else
-- takes rows away takes the cursors of their partitions with them, in the same transaction: rows and cursor always agree.
CREATE FUNCTION read_model.forget_partitions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM read_model.cursor WHERE partition IN (SELECT partition FROM taken);
    RETURN NULL;
END $$;
CREATE FUNCTION read_model.forget_partitions_of_wallets() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM read_model.cursor WHERE partition IN (
        SELECT wallet.partition FROM taken JOIN read_model.wallet ON wallet.wallet_id = taken.wallet_id);
    RETURN NULL;
END $$;
CREATE FUNCTION read_model.forget_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM read_model.cursor;
    RETURN NULL;
END $$;

CREATE TRIGGER wallet_deleted AFTER DELETE ON read_model.wallet REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_partitions();
CREATE TRIGGER entry_deleted AFTER DELETE ON read_model.entry REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_partitions();
CREATE TRIGGER parked_deleted AFTER DELETE ON read_model.parked REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_partitions();
CREATE TRIGGER hold_deleted AFTER DELETE ON read_model.hold REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_partitions_of_wallets();
CREATE TRIGGER wallet_truncated AFTER TRUNCATE ON read_model.wallet
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_all();
CREATE TRIGGER entry_truncated AFTER TRUNCATE ON read_model.entry
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_all();
CREATE TRIGGER hold_truncated AFTER TRUNCATE ON read_model.hold
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_all();
CREATE TRIGGER parked_truncated AFTER TRUNCATE ON read_model.parked
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_all();

-- An erasure reaches entries of other partitions. Without its row these would be filled in again with personal data, so
-- everything is filled again, and the erasures with it.
CREATE FUNCTION read_model.forget_all_when_any() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM read_model.cursor WHERE EXISTS (SELECT 1 FROM taken);
    RETURN NULL;
END $$;
CREATE TRIGGER erasure_deleted AFTER DELETE ON read_model.erasure REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_all_when_any();
CREATE TRIGGER erasure_truncated AFTER TRUNCATE ON read_model.erasure
    FOR EACH STATEMENT EXECUTE FUNCTION read_model.forget_all();

-- An erasure of a parked wallet has no entries of its own to find the other side's by.
ALTER TABLE read_model.parked ADD COLUMN transaction_id uuid;
COMMENT ON COLUMN read_model.parked.transaction_id IS 'Finds the other side''s entries for an erasure; null in rows of before.';

INSERT INTO read_model.compatibility VALUES (4, 1);
