-- Holds, reversals, status and erasure. What runs at version 1 meanwhile is not disturbed: everything here is added.

ALTER TABLE journal.head ADD CONSTRAINT head_status_check CHECK (status IN ('active', 'frozen', 'closed'));

-- A reversal finds the wallets of its transaction here. Ids are ordered by time, so inserts stay at one edge.
CREATE INDEX event_transaction ON journal.event (transaction_id);

-- Money set aside. Ended holds stay, so that a late command on one learns what became of it.
CREATE TABLE journal.hold (
    hold_id    uuid   PRIMARY KEY,
    wallet_id  uuid   NOT NULL REFERENCES journal.head (wallet_id),
    amount     bigint NOT NULL CHECK (amount > 0),
    expires_at bigint,
    status     text   NOT NULL CHECK (status IN ('open', 'captured', 'released', 'expired'))
) WITH (fillfactor = 90);
CREATE INDEX hold_due ON journal.hold (expires_at, wallet_id) WHERE status = 'open' AND expires_at IS NOT NULL;
CREATE INDEX hold_wallet_due ON journal.hold (wallet_id, expires_at) WHERE status = 'open' AND expires_at IS NOT NULL;
COMMENT ON COLUMN journal.hold.expires_at IS 'From this time on the hold cannot be captured, whether its expiry event is written or not.';

-- How much of a transaction has been taken back.
CREATE TABLE journal.reversed (
    transaction_id uuid   PRIMARY KEY,
    amount         bigint NOT NULL CHECK (amount > 0)
) WITH (fillfactor = 90);

-- Erasures that are decided and whose rows in journal.personal are still being removed, in small steps: a wallet
-- with a million movements must not hold its partition for as long as that takes.
CREATE TABLE journal.erasure (
    event_id     uuid   PRIMARY KEY,
    wallet_id    uuid   NOT NULL,
    version      bigint NOT NULL,
    done_version bigint NOT NULL DEFAULT 0
);
CREATE INDEX erasure_wallet ON journal.erasure (wallet_id);
COMMENT ON COLUMN journal.erasure.version IS 'The wallet''s version at the erasure: older events lose their personal data, on both sides of a movement.';
COMMENT ON COLUMN journal.erasure.done_version IS 'Up to which version (inclusive) that is done.';

-- A binary of version 1 cannot read a frozen or closed wallet.
INSERT INTO journal.compatibility VALUES (2, 2);
