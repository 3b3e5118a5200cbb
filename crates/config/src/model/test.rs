//! `[[test]]`: a request, the state it meets, and what must become of it.
//!
//! Checked against the rest of the file when it is loaded; run by `evenkeel test`, by `evenkeel check --strict` and before a
//! reload. What is not given is not looked at.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Place;
use crate::handshake::Handshake;

/// One `[[test]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// Its name; what it asks for when it has none: `GET https://www.example.com/`.
    pub name: Arc<str>,
    /// Where it was written.
    pub place: Place,
    /// The request.
    pub request: TestRequest,
    /// The state it meets.
    pub given: Given,
    /// What must become of it.
    pub expect: Expected,
}

/// `test.request`.
#[derive(Clone, Debug, PartialEq)]
pub struct TestRequest {
    /// Method.
    pub method: Arc<str>,
    /// The URL as written: `https://www.example.com/a?b=1`, or a path.
    pub url: Arc<str>,
    /// `https` in the URL: the connection is encrypted.
    pub tls: bool,
    /// What its handshake came to.
    pub handshake: Handshake,
    /// Host and port of the URL, which the `Host` field gets; empty when the URL is a path.
    pub host: Arc<str>,
    /// The request target: path and query, `/` when the URL has none.
    pub target: Arc<str>,
    /// Further fields, in order.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Client address and port.
    pub src: SocketAddr,
    /// The address the client connected to; `None`: the first bind of the frontend.
    pub dst: Option<SocketAddr>,
    /// The frontend that takes it; always the name of one.
    pub frontend: Arc<str>,
    /// Body.
    pub body: Arc<str>,
    /// When it comes, seconds since 1970 (UTC).
    pub time: i64,
}

/// `test.given`: the state the request meets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Given {
    /// Servers that are not simply up: backend, server, state.
    pub servers: Vec<(Arc<str>, Arc<str>, GivenState)>,
    /// Entries of stick tables.
    pub tables: Vec<GivenEntry>,
    /// Variables by name with scope: `txn.user`.
    pub vars: Vec<(Arc<str>, Arc<str>)>,
    /// What name servers answer, by name in small letters.
    pub addresses: Vec<(Arc<str>, IpAddr)>,
    /// What the server answers; `None`: 200 without fields.
    pub response: Option<GivenResponse>,
}

/// The state of a server in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenState {
    /// It takes requests.
    Up,
    /// Its check fails.
    Down,
    /// It takes only requests bound to it.
    Drain,
    /// The operator took it out.
    Maint,
}

/// An entry of a stick table in a test.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenEntry {
    /// Index of the table in [`Config::tables`](super::Config::tables).
    pub table: usize,
    /// Its key as text.
    pub key: Arc<str>,
    /// Data type, its index for arrays, and value; a rate counts the events of its present period.
    pub data: Vec<(Arc<str>, u64)>,
}

/// The answer of the server in a test.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenResponse {
    /// Status.
    pub status: u16,
    /// Fields, in order.
    pub headers: Vec<(Arc<str>, Arc<str>)>,
    /// Body.
    pub body: Arc<str>,
}

/// `test.expect`: what must become of the request; everything given must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// The backend it is sent to.
    pub backend: Option<Arc<str>>,
    /// The server it is sent to, or one of several.
    pub server: Vec<Arc<str>>,
    /// Where it is sent when its server stands at the destination of the connection.
    pub destination: Option<SocketAddr>,
    /// The status the client gets.
    pub status: Option<u16>,
    /// Fields of the answer to the client.
    pub headers: Vec<(Arc<str>, ExpectedField)>,
    /// Text that the body of the answer contains.
    pub body: Option<Arc<str>>,
    /// How it ends.
    pub action: Option<ExpectedAction>,
    /// The request as the server gets it.
    pub sent: Option<ExpectedSent>,
    /// Texts that the access log line contains.
    pub log: Vec<Arc<str>>,
    /// Entries of stick tables that it tracks, with some of their data.
    pub tracked: Vec<GivenEntry>,
}

/// What is expected of a field.
#[derive(Clone, Debug, PartialEq)]
pub enum ExpectedField {
    /// One line of the field is this.
    Is(Arc<str>),
    /// It is there.
    Present,
    /// It is not.
    Absent,
}

/// The request as the server gets it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExpectedSent {
    /// Method.
    pub method: Option<Arc<str>>,
    /// Path and query.
    pub target: Option<Arc<str>>,
    /// Fields.
    pub headers: Vec<(Arc<str>, ExpectedField)>,
}

/// How a request ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedAction {
    /// It is sent to a server.
    Forward,
    /// `deny`.
    Deny,
    /// `tarpit`.
    Tarpit,
    /// `auth`.
    Auth,
    /// `redirect`.
    Redirect,
    /// `return`.
    Return,
    /// `reject`.
    Reject,
    /// `silent-drop`.
    SilentDrop,
}
