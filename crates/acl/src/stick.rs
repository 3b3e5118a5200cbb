//! stub
use std::sync::Arc;
#[derive(Clone, Debug, PartialEq)]
pub struct TableDef {
    pub name: Arc<str>,
}
#[derive(Debug)]
pub struct Table;
#[derive(Debug)]
pub struct Tracked;
