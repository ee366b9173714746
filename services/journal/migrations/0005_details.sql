-- Where a wallet's owner, description and metadata stand: for each the version of the last event that says it. A wallet
-- without a row has all of them from its creation. What they are is personal, and stands in journal.personal alone.
-- No foreign key: making one would lock journal.head against all writers until a vacuum of it ends. `wallex verify`
-- looks for rows without a wallet.

CREATE TABLE journal.details (
    wallet_id   uuid   PRIMARY KEY,
    owner       bigint NOT NULL CHECK (owner > 0),
    description bigint NOT NULL CHECK (description > 0),
    metadata    bigint NOT NULL CHECK (metadata > 0)
) WITH (fillfactor = 90);

-- What runs at an earlier version changes no wallet so, and goes on showing what it was created with.
INSERT INTO journal.compatibility VALUES (5, 2);
