-- The scopes of an access token, with a blank between two; all that its role may do if there are
-- none. Those that exist go on with all.

ALTER TABLE tokens ADD COLUMN scopes TEXT;
