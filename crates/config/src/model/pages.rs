//! What is sent instead of the built-in error pages.
//!
//! Built from `errorfile`, `errorfiles`, `errorloc` and `http-error`. Whoever answers asks the backend's pages first, then the
//! frontend's, then takes the built-in one.

use std::sync::Arc;

use evenkeel_acl::ErrorReply;

/// The pages of one proxy, by status.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ErrorPages {
    pages: Vec<(u16, ErrorPage)>,
}

/// One page.
#[derive(Clone, Debug, PartialEq)]
pub enum ErrorPage {
    /// A whole message: status line, fields, blank line, body.
    Message(Arc<[u8]>),
    /// An empty file: the connection is closed without a word.
    Silent,
    /// `errorloc`, `errorloc302`, `errorloc303`: a redirect with this status.
    Redirect {
        /// 302 or 303.
        status: u16,
        /// The `Location`.
        location: Arc<str>,
    },
    /// `http-error`: made per answer, with its items filled in; needs a request that came whole.
    Reply {
        /// As written.
        text: Arc<str>,
        /// Compiled.
        reply: Arc<ErrorReply>,
    },
}

impl ErrorPage {
    /// Whether the two are the same, wherever in the file they stand.
    fn same(&self, other: &ErrorPage) -> bool {
        match (self, other) {
            (ErrorPage::Reply { text: one, .. }, ErrorPage::Reply { text: other, .. }) => one == other,
            _ => self == other,
        }
    }
}

impl ErrorPages {
    /// The statuses a page can be given for: those Evenkeel answers by itself.
    pub const STATUSES: &'static [u16] =
        &[200, 400, 401, 403, 404, 405, 407, 408, 410, 413, 414, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504];

    /// The page of a status.
    pub fn get(&self, status: u16) -> Option<&ErrorPage> {
        let at = self.pages.binary_search_by_key(&status, |(status, _)| *status).ok()?;
        Some(&self.pages[at].1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pages.is_empty()
    }

    /// Every page, by rising status.
    pub fn iter(&self) -> impl Iterator<Item = (u16, &ErrorPage)> {
        self.pages.iter().map(|(status, page)| (*status, page))
    }

    /// Whether the pages are the same, wherever in the file they stand.
    pub fn same(&self, other: &ErrorPages) -> bool {
        let each = || self.pages.iter().zip(&other.pages);
        self.pages.len() == other.pages.len() && each().all(|(one, other)| one.0 == other.0 && one.1.same(&other.1))
    }

    /// Sets a page in place of any before it.
    pub(crate) fn set(&mut self, status: u16, page: ErrorPage) {
        match self.pages.binary_search_by_key(&status, |(status, _)| *status) {
            Ok(at) => self.pages[at].1 = page,
            Err(at) => self.pages.insert(at, (status, page)),
        }
    }
}
