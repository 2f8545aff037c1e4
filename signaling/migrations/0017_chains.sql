-- Tokens that have given each other. For the log, all of a chain are the first of them. For limits on
-- places and sessions, they are the first that is limited itself, by cameras or scopes: a token that
-- administers the whole server is trusted as a person is. And the log says whose name it is that
-- somebody acted under.

ALTER TABLE tokens ADD COLUMN first_of_chain INTEGER;

WITH RECURSIVE chain (id, first) AS (
    SELECT id, id FROM tokens
    WHERE giver IS NULL OR giver NOT IN (SELECT 'token:' || id FROM tokens)
    UNION
    SELECT tokens.id, chain.first FROM tokens JOIN chain ON tokens.giver = 'token:' || chain.id
)
UPDATE tokens SET first_of_chain = (SELECT first FROM chain WHERE chain.id = tokens.id);

ALTER TABLE tokens ADD COLUMN counted_as INTEGER;

WITH RECURSIVE limited_ones (subject) AS (
    SELECT 'token:' || id FROM tokens
    WHERE role <> 'admin' OR limited = 1 OR scopes IS NOT NULL
), chain (id, first) AS (
    SELECT id, id FROM tokens
    WHERE giver IS NULL OR giver NOT IN (SELECT subject FROM limited_ones)
    UNION
    SELECT tokens.id, chain.first FROM tokens JOIN chain ON tokens.giver = 'token:' || chain.id
    WHERE tokens.giver IN (SELECT subject FROM limited_ones)
)
UPDATE tokens SET counted_as = (SELECT first FROM chain WHERE chain.id = tokens.id);

-- The user or token that has done it, such as 'user:1'; unknown for what was written before.
ALTER TABLE audit ADD COLUMN subject TEXT;
