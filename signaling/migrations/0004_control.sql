-- Tokens of viewers may turn cameras.

ALTER TABLE tokens ADD COLUMN control INTEGER NOT NULL DEFAULT 0 CHECK (control IN (0, 1));
