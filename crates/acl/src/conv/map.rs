//! Converters that look the sample up in a map.
//!
//! A file is read and indexed when the configuration is loaded, and shared by all who name it; edits at run time are seen
//! at once.

use std::ops::ControlFlow;
use std::sync::Arc;

use crate::conv::Conv;
use crate::ctx::Ctx;
use crate::library::Env;
use crate::pattern::{Kind, Shape, View};
use crate::sample::{Sample, Type};
use crate::value::{Arg, ArgKind, Value};
use crate::vars::Stored;

const FILE: Arg = Arg::one("file", ArgKind::Str);
const DEFAULT: Arg = Arg::maybe("default", ArgKind::Text);

/// What an argument list becomes: an index, and the default as a sample of the output's type.
struct Map {
    view: Arc<View>,
    default: Option<Stored>,
    output: Type,
}

/// Builds the entries of each way of comparing: value as text, as number, as address, and the key.
macro_rules! maps {
    ($($name:literal $input:ident $kind:ident, $doc:literal;)*) => {
        pub(super) static TABLE: &[Conv] = &[
            $(
                map!($name, "", $input, $kind, Str, $doc, "The value of the key that "),
                map!($name, "_str", $input, $kind, Str, $doc, "The value of the key that "),
                map!($name, "_int", $input, $kind, Int, $doc, "The value, as a number, of the key that "),
                map!($name, "_ip", $input, $kind, Ip, $doc, "The value, as an address, of the key that "),
                Conv {
                    run: find_key,
                    ..map!($name, "_key", $input, $kind, Str, $doc, "The key that ")
                },
            )*
            map!("map", "", Str, Str, Str, "equals the input", "The value of the key that "),
            Conv {
                run: find_regm,
                ..map!("map_regm", "", Str, Reg, Str,
                    "matches the input as a regular expression, with `\\1` to `\\9` in it replaced by the groups",
                    "The value of the first key that ")
            },
        ];
    };
}

macro_rules! map {
    ($name:expr, $suffix:expr, $input:ident, $kind:ident, $output:ident, $doc:expr, $what:expr) => {
        Conv {
            name: concat!($name, $suffix),
            syntax: concat!($name, $suffix, "(<file>[,<default>])"),
            args: &[FILE, DEFAULT],
            input: Type::$input,
            output: Type::$output,
            doc: concat!($what, $doc, "; the default, or nothing, when there is none."),
            example: concat!("path,", $name, $suffix, "(virt@names)"),
            prepare: Some(|args, env| load(args, env, Kind::$kind, Type::$output)),
            run: find,
        }
    };
}

maps! {
    "map_beg" Str Beg, "is the longest with which the input begins";
    "map_dir" Str Dir, "is in the input between slashes, the first in the file";
    "map_dom" Str Dom, "is in the input between dots, the first in the file";
    "map_end" Str End, "the input ends with, the first in the file";
    "map_int" Int Int, "is the input or a range around it, the first in the file";
    "map_ip" Ip Ip, "is the network with the longest mask around the input";
    "map_reg" Str Reg, "matches the input as a regular expression, the first in the file";
    "map_str" Str Str, "equals the input";
    "map_sub" Str Sub, "is in the input, the first in the file";
}

fn load(args: &mut Vec<Value>, env: &Env<'_>, kind: Kind, output: Type) -> Result<(), String> {
    let name = String::from_utf8_lossy(Value::text(args, 0)).into_owned();
    let store = env.library.stores.borrow().load(&name, Shape::Pairs, &*env.library.read);
    let store = store.map_err(|why| why.to_string())?;
    let view = store.view(kind, false).map_err(|problems| match problems.first() {
        Some(first) => format!("{}:{}: {}", store.name(), first.line, first.message),
        None => format!("`{}` cannot be compared so", store.name()),
    })?;
    if output != Type::Str {
        let mut wrong = None;
        store.for_each(|entry| match read(entry.value, output) {
            Some(_) => ControlFlow::Continue(()),
            None => {
                wrong = Some((entry.line, format!("the value `{}` is no {output}", text(entry.value))));
                ControlFlow::Break(())
            }
        });
        if let Some((line, why)) = wrong {
            return Err(format!("{}:{line}: {why}", store.name()));
        }
    }
    let default = match args.get(1) {
        Some(Value::Str(value)) => {
            let sample = read(value, output).ok_or_else(|| format!("the default `{}` is no {output}", text(value)))?;
            Some(Stored::of(&sample))
        }
        _ => None,
    };
    *args = vec![Value::Ready(Arc::new(Map { view, default, output }))];
    Ok(())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A value of a map as a sample of the type the converter gives. A number is one from end to end, unlike in a cast.
fn read(value: &[u8], output: Type) -> Option<Sample<'_>> {
    match output {
        Type::Int => std::str::from_utf8(value).ok()?.parse().ok().map(Sample::Int),
        Type::Ip => std::str::from_utf8(value).ok()?.parse().ok().map(Sample::Ip),
        _ => Some(Sample::Str(value)),
    }
}

/// What was found, or the default.
fn found_or_default<'a>(map: &'a Map, found: Option<Option<Sample<'a>>>) -> Option<Sample<'a>> {
    // A value edited at run time may not be of the type: then there is none.
    found.unwrap_or_else(|| map.default.as_ref().map(Stored::sample))
}

fn find<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let map = Value::ready::<Map>(args, 0)?;
    let found = map.view.find(&sample, |found| out.extend_from_slice(found.value));
    found_or_default(map, found.map(|()| read(out, map.output)))
}

fn find_key<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let map = Value::ready::<Map>(args, 0)?;
    let found = map.view.find(&sample, |found| out.extend_from_slice(found.key));
    found_or_default(map, found.map(|()| Some(Sample::Str(out))))
}

fn find_regm<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let map = Value::ready::<Map>(args, 0)?;
    let found = map.view.find_regm(&sample, out);
    found_or_default(map, found.then_some(Some(Sample::Str(out))))
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::path::Path;

    use crate::conv::testing::{convert_with, refused_with};
    use crate::library::Library;
    use crate::sample::Sample;
    use crate::testing::{REQUEST, with_ctx};

    const FILES: &[(&str, &str)] = &[
        ("text", "a 1\nb 10.0.0.1\nab x y z  \nabc 7x\nempty\n/api/ api\n/api/v2 v2\n/a root\n"),
        ("nets", "10.0.0.0/8 ten\n10.1.0.0/16 tenone\n10.1.2.3 host\n2001:db8::/32 doc\n"),
        ("numbers", "10:20 range\n15 fifteen\n5 five\n"),
        ("regexes", "^/api/([a-z]+)/([0-9]+) x\\2-\\1-\\0-\\3\n^/api all\n"),
        ("ends", ".com com\n.example.com ex\n"),
        ("ints", "a 1\nb -7\n"),
        ("ips", "a 10.0.0.1\nb 2001:db8::1\n"),
        ("mixed", "a 1\nb 7x\n"),
        ("badnet", "10.0.0.0/8 x\n10.0.0.0/99 y\n"),
    ];

    fn library() -> Library {
        let read = |path: &Path| {
            let file = FILES.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| text.as_bytes().to_vec()).ok_or(io::Error::from(io::ErrorKind::NotFound))
        };
        Library { read: Box::new(read), ..Library::default() }
    }

    #[test]
    fn maps_answer_as_in_haproxy() {
        let library = library();
        let str = |text: &'static str| Sample::Str(text.as_bytes());
        let ip = |text: &str| Sample::Ip(text.parse().unwrap_or_else(|why| panic!("{why}")));
        for (sample, steps, expected) in [
            (str("a"), "map(text)", Some("1")),
            (str("z"), "map(text)", None),
            (str("z"), "map(text,def)", Some("def")),
            (str("z"), "map(text,)", Some("")),
            (str("ab"), "map_str(text)", Some("x y z")),
            (str("empty"), "map_str(text)", Some("")),
            (str("5"), "map_str(numbers)", Some("five")),
            (Sample::Int(5), "map_str(numbers)", Some("five")),
            (Sample::Int(5), "map_int(numbers)", Some("five")),
            (Sample::Int(15), "map_int(numbers)", Some("range")),
            (Sample::Int(21), "map_int(numbers,none)", Some("none")),
            (str("/api/v2/x"), "map_beg(text)", Some("v2")),
            (str("/api/x"), "map_beg(text)", Some("api")),
            (str("/axy"), "map_beg(text)", Some("root")),
            (str("www.example.com"), "map_end(ends)", Some("com")),
            (ip("10.1.2.3"), "map_ip(nets)", Some("host")),
            (ip("10.1.2.4"), "map_ip(nets)", Some("tenone")),
            (ip("10.2.2.4"), "map_ip(nets)", Some("ten")),
            (ip("2001:db8::5"), "map_ip(nets)", Some("doc")),
            (str("10.1.2.3"), "map_ip(nets)", Some("host")),
            (str("/api/users/42"), "map_regm(regexes)", Some("x42-users-/api/users/42-")),
            (str("/api/users/42"), "map_reg(regexes)", Some("x\\2-\\1-\\0-\\3")),
            (str("/apix"), "map_regm(regexes)", Some("all")),
            (str("/x"), "map_regm(regexes,no)", Some("no")),
            (str("b"), "map_str_int(ints),add(1)", Some("-6")),
            (str("z"), "map_str_int(ints,12)", Some("12")),
            (str("b"), "map_str_ip(ips)", Some("2001:db8::1")),
            (str("z"), "map_str_ip(ips,1.2.3.4),ipmask(8)", Some("1.0.0.0")),
            (str("/api/v2/x"), "map_beg_key(text)", Some("/api/v2")),
            (ip("10.1.2.4"), "map_ip_key(nets)", Some("10.1.0.0/16")),
            (str("z"), "map_str_key(text,none)", Some("none")),
            (str("z"), "map(virt@z,empty)", Some("empty")),
            (str("z"), "map(opt@missing,empty)", Some("empty")),
        ] {
            let found = with_ctx(REQUEST, |ctx| convert_with(&library, ctx, sample, steps));
            assert_eq!(found.as_deref(), expected, "{sample:?},{steps}");
        }
    }

    #[test]
    fn bad_files_and_defaults_are_refused() {
        let library = library();
        for (steps, why) in [
            ("map(missing)", "no such file"),
            ("map_str_int(mixed)", "mixed:2: the value `7x` is no int"),
            ("map_str_ip(ints)", "ints:1: the value `1` is no ip"),
            ("map_str_int(ints,x)", "the default `x`"),
            ("map_str_ip(ips,12)", "the default `12`"),
            ("map_ip(badnet)", "badnet:2"),
            ("map(a,b,c)", "at most 2"),
        ] {
            let message = refused_with(&library, Sample::Str(b""), steps);
            assert!(message.contains(why), "{steps}: {message}");
        }
    }

    /// An edit of the store is seen by the next request; a value that is no number then is none.
    #[test]
    fn edits_are_seen() {
        let library = library();
        let look = |steps: &str| with_ctx(REQUEST, |ctx| convert_with(&library, ctx, Sample::Str(b"a"), steps));
        assert_eq!(look("map_str_int(ints,9)").as_deref(), Some("1"));
        let store = library.stores.borrow().get("ints").unwrap_or_else(|| panic!("the file was loaded"));
        assert!(store.set(b"a", b"2").is_ok());
        assert_eq!(look("map_str_int(ints,9)").as_deref(), Some("2"));
        let found = with_ctx(REQUEST, |ctx| {
            let expr = crate::conv::testing::compile_with(&library, Sample::Str(b"a"), "map_str_int(ints,9)");
            assert!(store.set(b"a", b"x").is_ok());
            expr.map(|expr| crate::conv::chain(Sample::Str(b"a"), expr.steps(), ctx, &mut |_| ()))
        });
        assert_eq!(found, Ok(None));
    }
}
