-- Tokens may be without the sound of cameras. Those that exist go on hearing them.

ALTER TABLE tokens ADD COLUMN listen INTEGER NOT NULL DEFAULT 1 CHECK (listen IN (0, 1));
