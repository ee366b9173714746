-- Answers take less room: what renders one again, byte for byte, in a column of its own, packed (docs/journal.md says how).
-- Those that are there stay as they are, and age out. And what belongs to a partition says to which, so that partitions can
-- be moved one by one; NULL in rows from before.
--
-- What runs at an earlier version goes on with the procedure it knows, and writes answers in the old form. One that was
-- stored in the new form it cannot read: the request is answered 500, and moves nothing; sent again, it reaches a replica
-- that can.
--
-- Each try gives up after a tenth of a second, and leaves the writers a pause, as in version 7.
DO $$
BEGIN
    FOR try IN 1..1500 LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '100', true);
            ALTER TABLE journal.answer ADD COLUMN packed bytea, ADD COLUMN partition integer,
                ALTER COLUMN body DROP NOT NULL;
            ALTER TABLE journal.movement ADD COLUMN packed bytea, ALTER COLUMN body DROP NOT NULL;
            ALTER TABLE journal.hold ADD COLUMN partition integer;
            ALTER TABLE journal.personal ADD COLUMN partition integer;
            ALTER TABLE journal.reversed ADD COLUMN partition integer;
            -- New rows only: to look at those that are there would keep the tables locked.
            ALTER TABLE journal.answer ADD CONSTRAINT answer_has_one_form
                CHECK ((body IS NULL) <> (packed IS NULL)) NOT VALID;
            ALTER TABLE journal.movement ADD CONSTRAINT movement_has_one_form
                CHECK ((body IS NULL) <> (packed IS NULL)) NOT VALID;
            EXIT;
        EXCEPTION WHEN lock_not_available THEN
            IF try = 1500 THEN
                RAISE EXCEPTION 'somebody has read the tables of the schema journal for minutes: see pg_stat_activity'
                    USING ERRCODE = 'lock_not_available';
            END IF;
            PERFORM pg_sleep(0.1);
        END;
    END LOOP;
END $$;
COMMENT ON COLUMN journal.answer.packed IS 'ETag, position, location and body of the answer; then the columns of those names are NULL.';
COMMENT ON COLUMN journal.answer.partition IS 'Of the first wallet that the request names, the payer''s; NULL if none of them exists.';
COMMENT ON COLUMN journal.movement.packed IS 'As in journal.answer.';
COMMENT ON COLUMN journal.hold.partition IS 'The wallet''s.';
COMMENT ON COLUMN journal.personal.partition IS 'The event''s.';
COMMENT ON COLUMN journal.reversed.partition IS 'Of the transaction''s first event, the payer''s.';

-- As in version 10, but for the columns above. That one stays, under the same name, for what runs at an earlier version:
-- arguments are passed by name, and theirs differ.
CREATE PROCEDURE journal.append(
    -- Where the answers go, and the batch's time in microseconds since 1970.
    IN slot smallint, IN batch_time bigint,
    -- In one trip: how far the time may be from the clock, in microseconds; when the first hold of the batch's wallets
    -- becomes due; for how many milliseconds to wait for a lock. NULL where the transaction holds the locks.
    IN leeway bigint, IN not_due_before bigint, IN lock_timeout integer,
    -- The partitions as they were when the batch was decided.
    IN remembered_id integer[], IN remembered_last_seq bigint[], IN remembered_head_hash bytea[],
    IN remembered_last_recorded_at bigint[], IN remembered_open boolean[],
    -- What the batch assumes is free: names of movements and of wallets, ids of holds.
    IN movement_names text[], IN wallet_names text[], IN hold_ids uuid[],
    IN answers_caller text[], IN answers_key text[], IN answers_fingerprint bytea[], IN answers_status smallint[],
    IN answers_packed bytea[], IN answers_partition integer[],
    IN created_wallet_id uuid[], IN created_partition integer[], IN created_version bigint[],
    IN created_currency text[], IN created_balance bigint[], IN created_held bigint[],
    IN created_overdraft_limit bigint[], IN created_status text[], IN created_external_id text[],
    -- `loaded` is the version that is replaced.
    IN changed_wallet_id uuid[], IN changed_loaded bigint[], IN changed_version bigint[], IN changed_balance bigint[],
    IN changed_held bigint[], IN changed_overdraft_limit bigint[], IN changed_status text[],
    IN personal_event_id uuid[], IN personal_wallet_id uuid[], IN personal_salt bytea[], IN personal_data bytea[],
    IN personal_partition integer[],
    IN events_event_id uuid[], IN events_transaction_id uuid[], IN events_partition integer[], IN events_seq bigint[],
    IN events_wallet_id uuid[], IN events_version bigint[], IN events_event_type text[],
    IN events_schema_version smallint[], IN events_recorded_at bigint[], IN events_actor text[],
    IN events_traceparent text[], IN events_payload bytea[], IN events_hash bytea[],
    IN moved_id integer[], IN moved_last_seq bigint[], IN moved_head_hash bytea[], IN moved_last_recorded_at bigint[],
    IN placed_hold_id uuid[], IN placed_wallet_id uuid[], IN placed_amount bigint[], IN placed_expires_at bigint[],
    IN placed_status text[], IN placed_partition integer[],
    IN holds_hold_id uuid[], IN holds_expires_at bigint[], IN holds_status text[],
    IN reversed_transaction_id uuid[], IN reversed_amount bigint[], IN reversed_partition integer[],
    IN details_wallet_id uuid[], IN details_owner bigint[], IN details_description bigint[],
    IN details_metadata bigint[],
    IN erasures_event_id uuid[], IN erasures_wallet_id uuid[], IN erasures_version bigint[],
    IN movements_external_id text[], IN movements_transaction_id uuid[], IN movements_event_id uuid[],
    IN movements_content bytea[], IN movements_has_personal boolean[], IN movements_status smallint[],
    IN movements_packed bytea[],
    -- In one trip: the clock after the commit.
    INOUT clock bigint
) LANGUAGE plpgsql AS $$
#variable_conflict use_variable
DECLARE
    in_one_trip CONSTANT boolean := leeway IS NOT NULL;
    differing text;
    is_early boolean;
    tries integer := 0;
    written bigint;
BEGIN
    IF in_one_trip THEN
        LOOP
            -- For this transaction only: neither a role's defaults nor a pooler changes what a batch means. Plans are made
            -- once per connection and use indexes, however small the tables were then.
            PERFORM set_config('synchronous_commit',
                    CASE WHEN current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN 'on'
                         ELSE current_setting('synchronous_commit') END, true),
                set_config('lock_timeout', append.lock_timeout::text, true),
                set_config('plan_cache_mode', 'force_generic_plan', true), set_config('enable_seqscan', 'off', true),
                set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
                set_config('enable_bitmapscan', 'off', true), set_config('enable_sort', 'off', true),
                set_config('jit', 'off', true);

            WITH locked AS MATERIALIZED (
                SELECT p.id, p.last_seq, p.head_hash, p.last_recorded_at, p.open FROM journal.partition p
                WHERE p.id = ANY (remembered_id) ORDER BY p.id FOR UPDATE
            )
            SELECT string_agg(r.id::text, ','), bool_and(coalesce(locked.last_seq < r.last_seq, false))
            INTO differing, is_early
            FROM unnest(remembered_id, remembered_last_seq, remembered_head_hash, remembered_last_recorded_at,
                remembered_open) AS r (id, last_seq, head_hash, last_recorded_at, open)
            LEFT JOIN locked ON locked.id = r.id
            WHERE (locked.last_seq, locked.head_hash, locked.last_recorded_at, locked.open)
                IS DISTINCT FROM (r.last_seq, r.head_hash, r.last_recorded_at, r.open);
            EXIT WHEN differing IS NULL;
            -- The batch was decided on what the one before it leaves, and has overtaken that on its way: the two come by
            -- different connections. It makes room, for some 10 ms at most.
            IF NOT is_early OR tries = 20 THEN
                RAISE EXCEPTION 'somebody else has written to partitions %', differing
                    USING ERRCODE = 'WX001', DETAIL = differing;
            END IF;
            tries := tries + 1;
            ROLLBACK;
            PERFORM pg_sleep(0.0005);
        END LOOP;

        clock := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
        IF abs(clock - batch_time) > leeway OR clock >= not_due_before THEN
            RAISE EXCEPTION 'the batch was decided % microseconds ago', clock - batch_time
                USING ERRCODE = 'WX003', DETAIL = clock::text;
        END IF;

        SELECT string_agg(k.n::text, ',') INTO differing
        FROM unnest(answers_caller, answers_key) WITH ORDINALITY AS k (caller, key, n)
        JOIN journal.answer a ON a.caller = k.caller AND a.key = k.key;
        IF differing IS NOT NULL THEN
            RAISE EXCEPTION 'keys have answers already' USING ERRCODE = 'WX002', DETAIL = differing;
        END IF;
        IF cardinality(movement_names) > 0 THEN
            PERFORM FROM unnest(movement_names) AS n (name) JOIN journal.movement m ON m.external_id = n.name;
            IF FOUND THEN
                RAISE EXCEPTION 'the name of a movement is taken' USING ERRCODE = 'WX002';
            END IF;
        END IF;
        IF cardinality(wallet_names) > 0 THEN
            PERFORM FROM unnest(wallet_names) AS n (name) JOIN journal.head h ON h.external_id = n.name;
            IF FOUND THEN
                RAISE EXCEPTION 'the name of a wallet is taken' USING ERRCODE = 'WX002';
            END IF;
        END IF;
        IF cardinality(hold_ids) > 0 THEN
            PERFORM FROM unnest(hold_ids) AS n (id) JOIN journal.hold h ON h.hold_id = n.id;
            IF FOUND THEN
                RAISE EXCEPTION 'the id of a hold is taken' USING ERRCODE = 'WX002';
            END IF;
        END IF;
    END IF;

    INSERT INTO journal.answer (slot, created_at, caller, key, fingerprint, status, packed, partition)
    SELECT append.slot, batch_time, unnest(answers_caller), unnest(answers_key), unnest(answers_fingerprint),
        unnest(answers_status), unnest(answers_packed), unnest(answers_partition);
    IF cardinality(created_wallet_id) > 0 THEN
        INSERT INTO journal.head (wallet_id, partition, version, currency, balance, held, overdraft_limit, status,
            external_id)
        SELECT * FROM unnest(created_wallet_id, created_partition, created_version, created_currency, created_balance,
            created_held, created_overdraft_limit, created_status, created_external_id);
    END IF;
    UPDATE journal.head h SET version = c.version, balance = c.balance, held = c.held,
        overdraft_limit = c.overdraft_limit, status = c.status
    FROM (SELECT unnest(changed_wallet_id), unnest(changed_loaded), unnest(changed_version), unnest(changed_balance),
        unnest(changed_held), unnest(changed_overdraft_limit), unnest(changed_status))
        AS c (wallet_id, loaded, version, balance, held, overdraft_limit, status)
    WHERE h.wallet_id = c.wallet_id AND h.version = c.loaded;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(changed_wallet_id) THEN
        -- Somebody wrote without the lock. Never commit on top of that.
        RAISE EXCEPTION 'heads changed: % instead of %', written, cardinality(changed_wallet_id)
            USING ERRCODE = 'WX004';
    END IF;
    INSERT INTO journal.event (event_id, transaction_id, partition, seq, wallet_id, version, type, schema_version,
        recorded_at, actor, traceparent, payload, hash)
    SELECT unnest(events_event_id), unnest(events_transaction_id), unnest(events_partition), unnest(events_seq),
        unnest(events_wallet_id), unnest(events_version), unnest(events_event_type), unnest(events_schema_version),
        unnest(events_recorded_at), unnest(events_actor), unnest(events_traceparent), unnest(events_payload),
        unnest(events_hash);
    UPDATE journal.partition p SET last_seq = m.last_seq, head_hash = m.head_hash,
        last_recorded_at = m.last_recorded_at
    FROM unnest(moved_id, moved_last_seq, moved_head_hash, moved_last_recorded_at)
        AS m (id, last_seq, head_hash, last_recorded_at)
    WHERE p.id = m.id;
    GET DIAGNOSTICS written = ROW_COUNT;
    IF written <> cardinality(moved_id) THEN
        RAISE EXCEPTION 'partitions moved: % instead of %', written, cardinality(moved_id) USING ERRCODE = 'WX004';
    END IF;

    -- What few batches have. After the heads: a hold refers to its wallet's head.
    IF cardinality(personal_event_id) > 0 THEN
        INSERT INTO journal.personal (event_id, wallet_id, salt, data, partition)
        SELECT * FROM unnest(personal_event_id, personal_wallet_id, personal_salt, personal_data, personal_partition);
    END IF;
    IF cardinality(placed_hold_id) > 0 THEN
        INSERT INTO journal.hold (hold_id, wallet_id, amount, expires_at, status, partition)
        SELECT * FROM unnest(placed_hold_id, placed_wallet_id, placed_amount, placed_expires_at, placed_status,
            placed_partition);
    END IF;
    IF cardinality(holds_hold_id) > 0 THEN
        UPDATE journal.hold h SET status = c.status, expires_at = c.expires_at
        FROM unnest(holds_hold_id, holds_expires_at, holds_status) AS c (hold_id, expires_at, status)
        WHERE h.hold_id = c.hold_id AND h.status = 'open';
        GET DIAGNOSTICS written = ROW_COUNT;
        IF written <> cardinality(holds_hold_id) THEN
            RAISE EXCEPTION 'holds changed: % instead of %', written, cardinality(holds_hold_id)
                USING ERRCODE = 'WX004';
        END IF;
    END IF;
    IF cardinality(reversed_transaction_id) > 0 THEN
        INSERT INTO journal.reversed AS r (transaction_id, amount, partition)
        SELECT * FROM unnest(reversed_transaction_id, reversed_amount, reversed_partition)
        ON CONFLICT ON CONSTRAINT reversed_pkey DO UPDATE SET amount = excluded.amount;
    END IF;
    IF cardinality(details_wallet_id) > 0 THEN
        -- Versions only grow, and 1 is the first.
        INSERT INTO journal.details AS d (wallet_id, owner, description, metadata)
        SELECT * FROM unnest(details_wallet_id, details_owner, details_description, details_metadata)
        ON CONFLICT ON CONSTRAINT details_pkey DO UPDATE SET owner = greatest(d.owner, excluded.owner),
            description = greatest(d.description, excluded.description),
            metadata = greatest(d.metadata, excluded.metadata);
    END IF;
    IF cardinality(erasures_event_id) > 0 THEN
        INSERT INTO journal.erasure (event_id, wallet_id, version)
        SELECT * FROM unnest(erasures_event_id, erasures_wallet_id, erasures_version);
    END IF;
    IF cardinality(movements_external_id) > 0 THEN
        INSERT INTO journal.movement (external_id, transaction_id, event_id, content, has_personal, status, packed)
        SELECT * FROM unnest(movements_external_id, movements_transaction_id, movements_event_id, movements_content,
            movements_has_personal, movements_status, movements_packed);
    END IF;

    IF in_one_trip THEN
        COMMIT;
        clock := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    END IF;
END $$;

INSERT INTO journal.compatibility
SELECT 11, compatible_from FROM journal.compatibility ORDER BY version DESC LIMIT 1;
