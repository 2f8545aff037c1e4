-- A gateway keeps the ids of cameras that it no longer has: the id alone means no other's camera.

ALTER TABLE cameras ADD COLUMN former INTEGER NOT NULL DEFAULT 0 CHECK (former IN (0, 1));
