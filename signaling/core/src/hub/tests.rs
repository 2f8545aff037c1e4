mod random;
mod table;
mod world;
