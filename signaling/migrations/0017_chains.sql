-- Tokens that have given each other: all of a chain are counted as the first of them, whose number
-- each has. And the log says whose name it is that somebody acted under.

ALTER TABLE tokens ADD COLUMN first_of_chain INTEGER;

WITH RECURSIVE chain (id, first) AS (
    SELECT id, id FROM tokens
    WHERE giver IS NULL OR giver NOT IN (SELECT 'token:' || id FROM tokens)
    UNION
    SELECT tokens.id, chain.first FROM tokens JOIN chain ON tokens.giver = 'token:' || chain.id
)
UPDATE tokens SET first_of_chain = (SELECT first FROM chain WHERE chain.id = tokens.id);

-- The user or token that has done it, such as 'user:1'; unknown for what was written before.
ALTER TABLE audit ADD COLUMN subject TEXT;
