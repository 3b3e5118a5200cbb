//! Fetches of the Authorization header: Basic and Bearer.
//!
//! `http_auth` and `http_auth_group` check the password; the others hand on what the client says.

use std::ops::ControlFlow;

use crate::auth::User;
use crate::conv::encode::decode_base64;
use crate::ctx::Ctx;
use crate::fetch::{SINCE_REQUEST, Visit, fetch_table, give, request};
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const USERS: Arg = Arg::one("userlist", ArgKind::Users);

fetch_table! {
    "http_auth" "http_auth(<userlist>)" [USERS] Bool First SINCE_REQUEST
        |ctx, args, visit| verified(ctx, args, |user| match user {
            Some(user) => visit(Sample::Bool(user.is_ok())),
            None => ControlFlow::Continue(()),
        }),
        "Whether the client sent a name and password (Basic) of the user list; undefined when it sent none.",
        "http_auth(staff)";
    "http_auth_bearer" "http_auth_bearer([<header>])" [Arg::maybe("header", ArgKind::Str)] Str First SINCE_REQUEST bearer,
        "The token of the scheme Bearer in the Authorization header, or in the header given.", "http_auth_bearer -m found";
    "http_auth_group" "http_auth_group(<userlist>)" [USERS] Str First SINCE_REQUEST
        |ctx, args, visit| verified(ctx, args, |user| match user {
            Some(Ok(user)) => user.groups.iter().try_for_each(|group| visit(Sample::Str(group.as_bytes()))),
            Some(Err(_)) | None => ControlFlow::Continue(()),
        }),
        "Each group of the user whose name and password the client sent, when they are right.",
        "http_auth_group(staff) ops";
    "http_auth_pass" "http_auth_pass" [] Str First SINCE_REQUEST
        |ctx, _, visit| basic(ctx, |given| give(given.map(|(_, password)| Sample::Str(password)), visit)),
        "The password the client sent (Basic); not checked.", "http_auth_pass -m len gt 8";
    "http_auth_type" "http_auth_type" [] Str First SINCE_REQUEST scheme,
        "The scheme of the Authorization header, `Basic` or `Bearer`; undefined when it is another or cannot be read.",
        "http_auth_type Basic";
    "http_auth_user" "http_auth_user" [] Str First SINCE_REQUEST
        |ctx, _, visit| basic(ctx, |given| give(given.map(|(user, _)| Sample::Str(user)), visit)),
        "The user name the client sent (Basic); not checked.", "http_auth_user ann";
}

/// What follows the scheme, whose name has no case (RFC 9110, 11.1).
fn credentials<'h>(value: &'h [u8], scheme: &[u8]) -> Option<&'h [u8]> {
    let (name, rest) = value.split_at_checked(scheme.len())?;
    let given = rest.trim_ascii();
    (name.eq_ignore_ascii_case(scheme) && rest.first() == Some(&b' ') && !given.is_empty()).then_some(given)
}

/// Hands the name and password of Basic to `f`, when there are any.
fn basic<R>(ctx: &Ctx<'_>, f: impl FnOnce(Option<(&[u8], &[u8])>) -> R) -> R {
    let given = request(ctx).and_then(|head| credentials(head.get(b"authorization")?, b"Basic"));
    let Some(given) = given else { return f(None) };
    ctx.buffers.with(|out| {
        if !decode_base64(given, out) {
            return f(None);
        }
        match memchr::memchr(b':', out) {
            Some(at) => f(Some((&out[..at], &out[at + 1..]))),
            None => f(None),
        }
    })
}

/// A name and password were sent, and they are wrong.
struct Wrong;

fn verified<R>(ctx: &Ctx<'_>, args: &[Value], f: impl FnOnce(Option<Result<&User, Wrong>>) -> R) -> R {
    let Some(Value::Users(list)) = args.first() else { return f(None) };
    basic(ctx, |given| f(given.map(|(name, password)| list.verify(name, password).ok_or(Wrong))))
}

fn token<'c>(ctx: &'c Ctx<'_>, header: &[u8]) -> Option<&'c [u8]> {
    credentials(request(ctx)?.get(header)?, b"Bearer")
}

fn bearer(ctx: &Ctx<'_>, args: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    let header = match Value::text(args, 0) {
        b"" => b"authorization",
        header => header,
    };
    give(token(ctx, header).map(Sample::Str), visit)
}

fn scheme(ctx: &Ctx<'_>, _: &[Value], visit: &mut Visit<'_>) -> ControlFlow<()> {
    if token(ctx, b"authorization").is_some() {
        return visit(Sample::Str(b"Bearer"));
    }
    if basic(ctx, |given| given.is_some()) { visit(Sample::Str(b"Basic")) } else { ControlFlow::Continue(()) }
}

#[cfg(test)]
mod tests {
    use crate::ctx::Phase;
    use crate::testing::{every, refused, scene, show};

    /// Answers of HAProxy 2.6; the groups differ, of which it shows the user name.
    #[test]
    fn the_header_is_read_as_in_haproxy() {
        let texts = ["http_auth(staff)", "http_auth_user", "http_auth_pass", "http_auth_type", "http_auth_bearer"];
        // `ann:secret`, `bob:p:w`, `apw`, `ann:`.
        for (value, expected) in [
            ("Basic YW5uOnNlY3JldA==", ["1", "ann", "secret", "Basic", "-"]),
            ("basic YW5uOnNlY3JldA==", ["1", "ann", "secret", "Basic", "-"]),
            ("BASIC   YW5uOnNlY3JldA==", ["1", "ann", "secret", "Basic", "-"]),
            ("Basic YW5uOnNlY3JldA", ["-", "-", "-", "-", "-"]),
            ("Basic Ym9iOnA6dw==", ["1", "bob", "p:w", "Basic", "-"]),
            ("Basic YXB3", ["-", "-", "-", "-", "-"]),
            ("Basic YW5uOg==", ["0", "ann", "", "Basic", "-"]),
            ("Basic", ["-", "-", "-", "-", "-"]),
            ("Basic !!!!", ["-", "-", "-", "-", "-"]),
            ("Bearer tok.en", ["-", "-", "-", "Bearer", "tok.en"]),
            ("bearer tok.en", ["-", "-", "-", "Bearer", "tok.en"]),
            ("Bearer   tok en ", ["-", "-", "-", "Bearer", "tok en"]),
            ("Digest x", ["-", "-", "-", "-", "-"]),
        ] {
            let mut scene = scene(&format!("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: {value}\r\n\r\n"));
            let found = texts.map(|text| show(&mut scene, Phase::Request, text));
            assert_eq!(found, expected, "{value}");
        }
        let mut scene = scene("GET / HTTP/1.1\r\nHost: h\r\nX-T: Bearer  x\r\n\r\n");
        assert_eq!(show(&mut scene, Phase::Request, "http_auth_bearer(X-T)"), "x");
        assert_eq!(show(&mut scene, Phase::Request, "http_auth(staff)"), "-");
        assert!(refused("http_auth") && refused("http_auth(none)"));
    }

    #[test]
    fn groups_are_those_of_a_user_who_is_who_he_says() {
        for (value, groups) in
            [("YW5uOnNlY3JldA==", vec!["ops", "dev"]), ("Ym9iOnA6dw==", vec!["dev"]), ("YW5uOg==", vec![])]
        {
            let mut scene = scene(&format!("GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic {value}\r\n\r\n"));
            assert_eq!(every(&mut scene, Phase::Request, "http_auth_group(staff)"), groups, "{value}");
        }
    }
}
