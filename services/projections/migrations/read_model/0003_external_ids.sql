-- The caller's own name of a movement, on the entries of all its legs.

ALTER TABLE read_model.entry ADD COLUMN external_id text;
CREATE INDEX entry_external_id ON read_model.entry (external_id) WHERE external_id IS NOT NULL;

INSERT INTO read_model.compatibility VALUES (3, 1);
