-- Command processes that are alive, so that they can agree on who writes. Nothing but speed depends on it. Unlogged: a
-- heartbeat flushes nothing and waits for no standby, and after a crash of the server everybody reports anew.
CREATE UNLOGGED TABLE journal.writer (
    writer_id  uuid PRIMARY KEY,
    address    text        NOT NULL,
    -- Whoever can read it may hand commands on to this process.
    token      bytea       NOT NULL CHECK (octet_length(token) = 32),
    protocol   integer     NOT NULL,
    version    text        NOT NULL,
    since      timestamptz NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE journal.writer IS 'Command processes that are alive, and where others reach them.';

-- What runs at an earlier version does not notice.
INSERT INTO journal.compatibility
SELECT 9, compatible_from FROM journal.compatibility ORDER BY version DESC LIMIT 1;
