//! Porthole: your own camera cloud without the cloud.
fn main() {}
