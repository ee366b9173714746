-- Holds are accounts of their own (`hold:<id>`). A captured hold makes two postings: what is taken, and what its wallet
-- gets back.

ALTER TABLE ledger.posting ADD COLUMN line smallint NOT NULL DEFAULT 1;
ALTER TABLE ledger.posting DROP CONSTRAINT posting_pkey;
ALTER TABLE ledger.posting ADD PRIMARY KEY (partition, seq, line);
COMMENT ON COLUMN ledger.posting.line IS '1, or 2 for what a captured hold gives back to its wallet.';

-- Postings of an account, newest first, from either side.
CREATE INDEX posting_source ON ledger.posting (source, recorded_at, partition, seq, line);
CREATE INDEX posting_destination ON ledger.posting (destination, recorded_at, partition, seq, line);

INSERT INTO ledger.compatibility VALUES (2, 1);
