//! User lists: who may come in, and how a password is checked.

use std::sync::Arc;

/// One `[userlist.NAME]` section.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UserList {
    /// Name of the section.
    pub name: Arc<str>,
    /// Its users.
    pub users: Vec<User>,
}

/// One user.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// Name.
    pub name: Arc<str>,
    /// Password.
    pub password: Password,
    /// The groups the user is in.
    pub groups: Vec<Arc<str>>,
}

/// A password as configured.
#[derive(Clone, Debug, PartialEq)]
pub enum Password {
    /// In clear (`insecure-password`).
    Plain(Arc<str>),
    /// A crypt(3) string: `$5$`, `$6$`, `$2b$`, `$y$`.
    Crypt(Arc<str>),
}
