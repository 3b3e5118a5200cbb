//! Sample fetches: the table, and the functions behind it.
//!
//! A fetch looks at a [`Ctx`] and hands each occurrence of what it finds to a visitor, in order, until the visitor has
//! seen enough; an undefined sample is no occurrence. Called through [`Expr`](crate::expr::Expr). Never edits a message;
//! what it has to write goes to a buffer of the worker. A new fetch is one entry of a table in one of the modules below,
//! and its function where it needs one.
#![allow(clippy::ptr_arg, reason = "every `prepare` has one type, and some add arguments")]

use std::ops::ControlFlow;
use std::sync::LazyLock;

use evenkeel_proto::Head;

use crate::conv::Prepare;
use crate::ctx::{Ctx, Phase};
use crate::sample::{Sample, Type};
use crate::value::{Arg, Value};

mod auth;
mod connection;
mod constant;
mod cookie;
mod header;
mod hello;
mod named;
mod param;
mod payload;
mod process;
mod request;
mod response;
mod server;
mod sticky;
mod tls;
mod transaction;

pub use connection::ProxyFacts;
pub(crate) use header::element_end;
pub use hello::{ja3, ja4};
pub(crate) use request::path_and_query;
pub use tls::{CertFacts, Dn, TlsFacts};

/// Takes one occurrence; `Break` when no more are wanted.
pub(crate) type Visit<'v> = dyn FnMut(Sample<'_>) -> ControlFlow<()> + 'v;
/// The one sample of a fetch that never gives more and writes into no buffer.
pub(crate) type Single = for<'c> fn(&'c Ctx<'_>, &'c [Value]) -> Option<Sample<'c>>;
/// `run(ctx, args, visit)`.
pub(crate) type Run = fn(&Ctx<'_>, &[Value], &mut Visit<'_>) -> ControlFlow<()>;

/// Which occurrence stands for the sample where only one is wanted, as in a `%[...]` item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The first.
    First,
    /// The last.
    Last,
}

/// One entry of the table of fetches.
#[derive(Debug)]
pub struct Fetch {
    /// Name.
    pub name: &'static str,
    /// Name with its arguments, for the reference.
    pub syntax: &'static str,
    /// Arguments, in order.
    pub args: &'static [Arg],
    /// Type of the sample.
    pub output: Type,
    /// Which occurrence is taken outside acls; `Last` only where the second argument is the occurrence.
    pub pick: Pick,
    /// Phases in which its data exists.
    pub phases: &'static [Phase],
    /// One sentence.
    pub doc: &'static str,
    /// An acl that uses it.
    pub example: &'static str,
    /// What it says of its arguments beyond their types.
    pub(crate) prepare: Option<Prepare>,
    pub(crate) run: Run,
    /// The short way to what `run` gives.
    pub(crate) single: Option<Single>,
}

/// Data that exists from the accepted connection on.
pub(crate) const SINCE_ACCEPT: &[Phase] =
    &[Phase::Accept, Phase::Hello, Phase::Request, Phase::Body, Phase::Server, Phase::Response, Phase::Done];
/// Data that exists once PROXY header and TLS handshake are through.
pub(crate) const SINCE_HELLO: &[Phase] =
    &[Phase::Hello, Phase::Request, Phase::Body, Phase::Server, Phase::Response, Phase::Done];
/// Data that exists once there is a request (in tcp mode: data of the client).
pub(crate) const SINCE_REQUEST: &[Phase] = &[Phase::Request, Phase::Body, Phase::Server, Phase::Response, Phase::Done];
/// Data that exists once a server was chosen.
pub(crate) const SINCE_SERVER: &[Phase] = &[Phase::Server, Phase::Response, Phase::Done];
/// Data that exists once there is a response.
pub(crate) const SINCE_RESPONSE: &[Phase] = &[Phase::Response, Phase::Done];
/// Data that exists at the end only.
pub(crate) const AT_END: &[Phase] = &[Phase::Done];

/// Builds the `TABLE` of a module. Where `=> (...)` stands in place of a function, that gives the one sample there is.
macro_rules! fetch_table {
    ($($name:literal $syntax:literal [$($arg:expr),*] $output:ident $pick:ident $phases:ident
        $(=> ($single:expr))? $($run:expr)? $(, prepare $prepare:path)?, $doc:literal, $example:literal;)*) => {
        pub(in crate::fetch) static TABLE: &[$crate::fetch::Fetch] = &[$($crate::fetch::Fetch {
            name: $name, syntax: $syntax, args: &[$($arg),*], output: $crate::sample::Type::$output,
            pick: $crate::fetch::Pick::$pick, phases: $phases, doc: $doc, example: $example,
            prepare: $crate::conv::prepare!($($prepare)?),
            run: $crate::fetch::run!($($single)?; $($run)?), single: $crate::fetch::single!($($single)?),
        }),*];
    };
}
/// The function of an entry, made of the short way where that is all there is.
macro_rules! run {
    ($single:expr;) => {
        |ctx, args, visit| {
            const SINGLE: $crate::fetch::Single = $single;
            $crate::fetch::give(SINGLE(ctx, args), visit)
        }
    };
    (; $run:expr) => {
        $run
    };
}
macro_rules! single {
    () => {
        None
    };
    ($single:expr) => {
        Some($single)
    };
}
pub(crate) use {fetch_table, run, single};

static ALL: LazyLock<Vec<&'static Fetch>> = LazyLock::new(|| {
    let tables = [
        auth::TABLE,
        connection::TABLE,
        constant::TABLE,
        cookie::TABLE,
        header::TABLE,
        named::TABLE,
        param::TABLE,
        payload::TABLE,
        process::TABLE,
        request::TABLE,
        response::TABLE,
        server::TABLE,
        sticky::TABLE,
        tls::TABLE,
        tls::cert::client::TABLE,
        tls::cert::of_client::TABLE,
        tls::cert::of_frontend::TABLE,
        tls::cert::of_server::TABLE,
        tls::offer::TABLE,
        tls::server::TABLE,
        transaction::TABLE,
    ];
    let mut all: Vec<&'static Fetch> = tables.into_iter().flatten().collect();
    all.sort_unstable_by_key(|fetch| fetch.name);
    all
});

/// The head of the request, when it is there.
fn request<'c>(ctx: &'c Ctx<'_>) -> Option<&'c Head> {
    ctx.request_head()
}

/// The head of the response, when it is there.
fn response<'c>(ctx: &'c Ctx<'_>) -> Option<&'c Head> {
    ctx.response.as_deref().filter(|head| head.is_complete())
}

/// The head that the rule is about.
fn message<'c>(ctx: &'c Ctx<'_>) -> Option<&'c Head> {
    match ctx.response {
        Some(_) => Some(ctx.message()).filter(|head| head.is_complete()),
        None => ctx.request_head(),
    }
}

/// Hands on the one sample, if there is one.
pub(crate) fn give(sample: Option<Sample<'_>>, visit: &mut Visit<'_>) -> ControlFlow<()> {
    match sample {
        Some(sample) => visit(sample),
        None => ControlFlow::Continue(()),
    }
}

/// Every fetch, sorted by name.
pub fn fetches() -> &'static [&'static Fetch] {
    &ALL
}

/// The fetch named `name`.
pub(crate) fn find(name: &str) -> Option<&'static Fetch> {
    ALL.binary_search_by(|fetch| fetch.name.cmp(name)).ok().map(|index| ALL[index])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::ArgKind;

    #[test]
    fn the_table_is_complete() {
        assert!(fetches().windows(2).all(|pair| pair[0].name < pair[1].name));
        for fetch in fetches() {
            assert!(fetch.syntax.starts_with(fetch.name) && !fetch.phases.is_empty(), "{}", fetch.name);
            assert!(fetch.doc.ends_with('.') && fetch.example.starts_with(fetch.name), "{}", fetch.name);
            assert_eq!(fetch.syntax.contains('('), !fetch.args.is_empty(), "{}", fetch.name);
            let by_number = fetch.args.get(1).is_some_and(|arg| arg.kind == ArgKind::Int);
            assert!(fetch.pick == Pick::First || by_number, "{}", fetch.name);
        }
    }
}
