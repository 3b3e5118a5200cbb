//! `[userlist.NAME]`.

use std::collections::HashMap;
use std::sync::Arc;

use evenkeel_acl::{Password, User, UserList};

use super::{Cx, arc};
use crate::codes;
use crate::nearest::did_you_mean;
use crate::shape::{Node, Val};

/// The users of one section.
pub(super) fn userlist(name: &str, node: &Node<'_>, cx: &mut Cx<'_>) -> UserList {
    let mut list = UserList { name: Arc::from(name), users: Vec::new() };
    for value in node.find("user").map(Val::list).unwrap_or_default() {
        let Some(table) = value.table() else { continue };
        let Some(name) = table.find("name").and_then(arc) else { continue };
        if list.users.iter().any(|user| user.name == name) {
            cx.sink.error(codes::BAD_USER, value.at, format!("there are two users `{name}`"));
        }
        let Some(password) = password(&name, table, cx) else { continue };
        let groups = table.find("groups").map(Val::list).unwrap_or_default();
        list.users.push(User { name, password, groups: groups.iter().filter_map(arc).collect() });
    }
    let mut groups: HashMap<&str, &Val<'_>> = HashMap::new();
    for value in node.find("group").map(Val::list).unwrap_or_default() {
        let Some(table) = value.table() else { continue };
        let Some(group) = table.find("name").and_then(Val::text) else { continue };
        if groups.insert(group, value).is_some() {
            cx.sink.error(codes::BAD_USER, value.at, format!("there are two groups `{group}`"));
        }
        for member in table.find("users").map(Val::list).unwrap_or_default() {
            let Some(name) = member.text() else { continue };
            match list.users.iter_mut().find(|user| *user.name == *name) {
                Some(user) if user.groups.iter().any(|known| **known == *group) => {}
                Some(user) => user.groups.push(Arc::from(group)),
                None => {
                    let hint = did_you_mean(name, list.users.iter().map(|user| &*user.name));
                    let message = format!("the userlist `{}` has no user `{name}`", list.name);
                    cx.sink.error(codes::UNKNOWN_NAME, member.at, message).maybe_hint(hint);
                }
            }
        }
    }
    list
}

fn password(name: &str, table: &Node<'_>, cx: &mut Cx<'_>) -> Option<Password> {
    match (table.find("password"), table.find("insecure-password")) {
        (Some(value), None) => {
            let text = value.text()?;
            let password = Password::Crypt(Arc::from(text));
            if let Err(why) = password.check() {
                cx.sink
                    .error(codes::BAD_USER, value.at, why)
                    .hint("`mkpasswd -m sha-512` prints one; a password in clear is an `insecure-password`");
            }
            Some(password)
        }
        (None, Some(value)) => arc(value).map(Password::Plain),
        (Some(_), Some(value)) => {
            let message = format!("the user `{name}` has two passwords");
            cx.sink.error(codes::BAD_USER, value.at, message).hint("leave one of them");
            None
        }
        (None, None) if table.faulty.is_empty() => {
            let message = format!("the user `{name}` has no password");
            cx.sink.error(codes::BAD_USER, table.at, message).hint("write `password` or `insecure-password`");
            None
        }
        (None, None) => None,
    }
}
