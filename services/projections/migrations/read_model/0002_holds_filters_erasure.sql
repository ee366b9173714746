-- Holds, the filters of histories, balances at a time, and erasure.

ALTER TABLE read_model.entry
    ADD COLUMN held_change     bigint NOT NULL DEFAULT 0,
    ADD COLUMN held_after      bigint NOT NULL DEFAULT 0,
    ADD COLUMN overdraft_limit bigint,
    ADD COLUMN hold_id         uuid,
    ADD COLUMN reverses        uuid;
COMMENT ON COLUMN read_model.entry.held_change IS 'Signed change of what holds have set aside.';
COMMENT ON COLUMN read_model.entry.held_after IS 'What holds have set aside after the event.';
COMMENT ON COLUMN read_model.entry.overdraft_limit IS 'The new limit, where the event sets one.';
COMMENT ON COLUMN read_model.entry.reverses IS 'The transaction that a reversal takes back.';

-- A wallet's times grow with its versions: this finds its state at a time, and the bounds of a period.
CREATE INDEX entry_time ON read_model.entry (wallet_id, recorded_at, version);
CREATE INDEX entry_type ON read_model.entry (wallet_id, type, version);
CREATE INDEX entry_reference ON read_model.entry (wallet_id, reference, version) WHERE reference IS NOT NULL;
CREATE INDEX entry_counterparty ON read_model.entry (wallet_id, counterparty, version) WHERE counterparty IS NOT NULL;

CREATE TABLE read_model.hold (
    hold_id    uuid    PRIMARY KEY,
    wallet_id  uuid    NOT NULL,
    amount     bigint  NOT NULL,
    captured   bigint  NOT NULL DEFAULT 0,
    currency   text    NOT NULL,
    status     text    NOT NULL,
    expires_at bigint,
    reference  text,
    version    bigint  NOT NULL,
    created_at bigint  NOT NULL,
    updated_at bigint  NOT NULL
) WITH (fillfactor = 80);
COMMENT ON COLUMN read_model.hold.version IS 'The wallet''s version when the hold was placed; a wallet''s holds are listed by it.';
CREATE INDEX hold_wallet ON read_model.hold (wallet_id, version);
CREATE INDEX hold_status ON read_model.hold (wallet_id, status, version);

-- Erasures that have been applied, so that the other side of a movement, which another replica may be writing at this
-- moment, learns of them.
CREATE TABLE read_model.erasure (
    wallet_id uuid    PRIMARY KEY,
    partition integer NOT NULL,
    seq       bigint  NOT NULL
);
COMMENT ON COLUMN read_model.erasure.seq IS 'Seq of the wallet''s last erasure: personal data of its events up to there is gone, on both sides.';

INSERT INTO read_model.compatibility VALUES (2, 1);
