-- The foreign key from event to head costs more than all the rest of an event's insert. A batch proves under its locks
-- that the wallet has a head in the partition, and `wallex verify` compares every head with the events.
--
-- Both tables are locked for a moment. Somebody who reads them for long (a backup) would make that wait, and everybody
-- who writes would wait behind it; so each try gives up after a tenth of a second, and leaves the writers a pause.
DO $$
BEGIN
    FOR try IN 1..1500 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '100', true);
            ALTER TABLE journal.event DROP CONSTRAINT event_wallet_id_partition_fkey;
            ALTER TABLE journal.head DROP CONSTRAINT head_wallet_id_partition_key;
            RETURN;
        EXCEPTION WHEN lock_not_available THEN
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
    RAISE EXCEPTION 'somebody has read journal.event or journal.head for minutes: see pg_stat_activity'
        USING ERRCODE = 'lock_not_available';
END $$;

-- What runs at an earlier version does not notice.
INSERT INTO journal.compatibility VALUES (7, 2);
