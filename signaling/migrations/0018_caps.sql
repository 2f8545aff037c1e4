-- The most that each gateway sends at a time for a token, or for all who use a share link, in
-- kbit/s; no limit without. Those that exist go on without.

ALTER TABLE tokens ADD COLUMN max_kbit_per_s INTEGER;

-- The first token with a limit among those that have given each other, this one included. What it
-- may have is for all of them together.
ALTER TABLE tokens ADD COLUMN capped_as INTEGER;

ALTER TABLE shares ADD COLUMN max_kbit_per_s INTEGER;
