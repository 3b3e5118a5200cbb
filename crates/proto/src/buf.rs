//! x
/// b
#[derive(Debug)] pub struct Buf;
