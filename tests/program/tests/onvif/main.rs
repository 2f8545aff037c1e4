//! Cameras: `porthole discover` and `porthole probe` with fake cameras, odd and hostile ones among
//! them.

mod discover;
mod probe;
