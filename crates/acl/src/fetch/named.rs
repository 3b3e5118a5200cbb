//! The fetch of named acls: conditions as samples.

use std::sync::Arc;

use crate::acl::{Acl, Acls};
use crate::ctx::Ctx;
use crate::fetch::{SINCE_ACCEPT, fetch_table};
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};
use crate::word::Word;

const MORE: Arg = Arg::maybe("name", ArgKind::Str);

fetch_table! {
    "acl" "acl(<name>[,<name>...])"
        [Arg::one("name", ArgKind::Str), MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE, MORE]
        Bool First SINCE_ACCEPT => (holds), prepare find,
        "Whether all of up to twelve named acls hold, each turned around by a `!` before it; those of the section, and predefined ones.",
        "acl(METH_GET,!HTTP_1.0)";
}

/// An acl, and whether it must hold.
struct Named(bool, Arc<Acl>);

fn find(args: &mut Vec<Value>, env: &Env<'_>) -> Result<(), String> {
    let all = env.library.acls.borrow();
    let none = Acls::default();
    let acls = all.get(env.proxy).unwrap_or(&none);
    let mut named = Vec::new();
    for at in 0..args.len() {
        let text = Value::text(args, at);
        let (wanted, name) = match text.strip_prefix(b"!") {
            Some(name) => (false, name),
            None => (true, text),
        };
        let word = Word::literal(name, 0..name.len());
        let (acl, _) = acls.find(&word, env).map_err(|fault| match fault.hint {
            Some(hint) if hint.starts_with("did you mean") => format!("{}: {hint}", fault.message),
            _ => fault.message,
        })?;
        named.push(Named(wanted, acl));
    }
    args.push(Value::Ready(Arc::new(named)));
    Ok(())
}

fn holds<'c>(ctx: &'c Ctx<'_>, args: &'c [Value]) -> Option<Sample<'c>> {
    let named: &Vec<Named> = Value::ready(args, args.len().checked_sub(1)?)?;
    Some(Sample::Bool(named.iter().all(|Named(wanted, acl)| acl.holds(ctx) == *wanted)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::acl::AclDef;
    use crate::ctx::Phase;
    use crate::expr::Expr;
    use crate::testing::{REQUEST, library, scene};
    use crate::word;

    #[test]
    fn all_of_them_must_hold() {
        let library = Box::leak(Box::new(library()));
        let env = Env { library, proxy: "web" };
        let defs = [("api", "path_beg /api/"), ("old", "path_beg /old"), ("old", "method POST")];
        let defs = defs.map(|(name, text)| AclDef { name, text });
        let (acls, errors) = Acls::compile(&defs, &env);
        assert!(errors.is_empty());
        library.acls.borrow_mut().insert("web".into(), acls);
        let read = |text: &str| {
            let words = word::split(text).unwrap();
            Expr::parse_one(&words[0], 0..words[0].bytes.len(), &env)
        };
        let mut scene = scene(REQUEST);
        for (text, expected) in [
            ("acl(api)", "1"),
            ("acl(!api)", "0"),
            ("acl(api,old)", "1"),
            ("acl(api,!METH_GET)", "1"),
            ("acl(api,METH_GET)", "0"),
            ("acl(api),iif(yes,no)", "yes"),
        ] {
            let mut out = Vec::new();
            let expr = read(text).unwrap();
            scene.at(Phase::Request, |ctx| expr.write(ctx, &mut out));
            assert_eq!(String::from_utf8_lossy(&out), expected, "{text}");
        }
        let error = read("acl(apy)").unwrap_err();
        assert!(error.message.contains("no acl `apy`"), "{}", error.message);
        for text in ["acl", "acl()", "acl(!)"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
