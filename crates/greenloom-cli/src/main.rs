//! The `greenloom` program.
fn main() {}
