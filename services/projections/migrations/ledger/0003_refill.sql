-- A projection whose rows or cursors were taken away notices, and fills itself again from the journal.

ALTER TABLE ledger.cursor ADD COLUMN refill_to bigint NOT NULL DEFAULT 0;
COMMENT ON COLUMN ledger.cursor.refill_to IS
    'While seq is below it, rows that had been there are being filled in again from the journal.';

-- Nothing of the projection deletes rows of other partitions than the one whose cursor it then writes. So whoever else
-- takes rows away takes the cursors of their partitions with them, in the same transaction: rows and cursor always agree.
CREATE FUNCTION ledger.forget_partitions() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM ledger.cursor WHERE partition IN (SELECT partition FROM taken);
    RETURN NULL;
END $$;
CREATE FUNCTION ledger.forget_all() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM ledger.cursor;
    RETURN NULL;
END $$;

CREATE TRIGGER posting_deleted AFTER DELETE ON ledger.posting REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.forget_partitions();
CREATE TRIGGER account_total_deleted AFTER DELETE ON ledger.account_total REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.forget_partitions();
CREATE TRIGGER parked_deleted AFTER DELETE ON ledger.parked REFERENCING OLD TABLE AS taken
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.forget_partitions();
CREATE TRIGGER posting_truncated AFTER TRUNCATE ON ledger.posting
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.forget_all();
CREATE TRIGGER account_total_truncated AFTER TRUNCATE ON ledger.account_total
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.forget_all();
CREATE TRIGGER parked_truncated AFTER TRUNCATE ON ledger.parked
    FOR EACH STATEMENT EXECUTE FUNCTION ledger.forget_all();

ALTER TABLE ledger.parked ADD COLUMN transaction_id uuid;

INSERT INTO ledger.compatibility VALUES (3, 1);
