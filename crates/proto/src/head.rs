//! x
/// h
#[derive(Debug)] pub struct Head;
