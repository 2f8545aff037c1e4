-- Gateways can be renamed, show when they were last seen, and can be replaced by another.

-- Whether a person has named it, so that the name in its own configuration does not count.
ALTER TABLE gateways ADD COLUMN renamed INTEGER NOT NULL DEFAULT 0 CHECK (renamed IN (0, 1));
ALTER TABLE gateways ADD COLUMN seen_s INTEGER;

-- The gateway whose name and rights the new one takes over.
ALTER TABLE claims ADD COLUMN replaces TEXT REFERENCES gateways (id) ON DELETE CASCADE;
