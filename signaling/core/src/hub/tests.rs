#![expect(clippy::wildcard_enum_match_arm, reason = "a test picks out what it looks for")]

mod admission;
mod caps;
mod changes;
mod crowd;
mod manage;
mod random;
mod removal;
mod revoked;
mod rights;
mod sound;
mod table;
mod turn_users;
mod whep;
mod world;
