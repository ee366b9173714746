-- All open holds of a wallet, to be counted when one more is placed; those that expire come first in each, in the order
-- of their time, as in the index this one replaces. Builds of version 2 find their due holds through it as well.
CREATE INDEX hold_wallet_open ON journal.hold (wallet_id, expires_at) WHERE status = 'open';
DROP INDEX journal.hold_wallet_due;

INSERT INTO journal.compatibility VALUES (3, 2);
