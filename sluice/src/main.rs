//! The one binary a person installs.
fn main() {}
