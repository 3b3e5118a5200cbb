//! stub
#[derive(Debug, Default)]
pub struct Stores;
