//! Converters of text: case, trimming, lengths, joining. Text is bytes: only ASCII letters have a case.

use crate::conv::{bounded, conv_table, text};
use crate::ctx::Ctx;
use crate::sample::{Sample, Scratch};
use crate::value::{Arg, ArgKind, Value};

const CHARS: Arg = Arg::one("chars", ArgKind::Str);
const START: Arg = Arg::maybe("start", ArgKind::Text);
const VAR: Arg = Arg::maybe("var", ArgKind::Var);
const END: Arg = Arg::maybe("end", ArgKind::Text);
const DELIMITER: Arg = Arg::one("delim", ArgKind::Text);
const SUFFIX: Arg = Arg::maybe("suff", ArgKind::Text);

conv_table! {
    "add_item" "add_item(<delim>,[<var>][,<suff>])" [DELIMITER, VAR, SUFFIX] Str -> Str add_item, prepare add_item_args,
        "The input, a delimiter, the value of a variable and a suffix; the delimiter only between two things that are \
         not empty.", "req.hdr(host),add_item(-,txn.tag,x)";
    "concat" "concat([<start>],[<var>],[<end>])" [START, VAR, END] Str -> Str concat,
        "The input followed by a text, the value of a variable and another text; a variable that is not set adds nothing.",
        "path,concat(<,txn.tag,>)";
    "cut_crlf" "cut_crlf" [] Str -> Str cut_crlf,
        "The input up to its first carriage return or line feed.", "req.hdr(host),cut_crlf";
    "has_ctl" "has_ctl" [] Str -> Bool has_ctl,
        "True when there is a control character: a byte below 32, or 127.", "path,has_ctl";
    "length" "length" [] Str -> Int length,
        "The length in bytes.", "req.hdr(host),length";
    "lower" "lower" [] Str -> Str lower,
        "Upper-case ASCII letters made lower case.", "req.hdr(host),lower";
    "ltrim" "ltrim(<chars>)" [CHARS] Str -> Str ltrim,
        "The input without those characters at its beginning.", "path,ltrim(/)";
    "reverse" "reverse" [] Str -> Str reverse,
        "The bytes in reverse order.", "path,reverse";
    "reverse_dom" "reverse_dom" [] Str -> Str reverse_dom,
        "The labels of a host name in reverse order: `www.example.com` gives `com.example.www`.",
        "req.hdr(host),host_only,reverse_dom";
    "rtrim" "rtrim(<chars>)" [CHARS] Str -> Str rtrim,
        "The input without those characters at its end.", "path,rtrim(/)";
    "upper" "upper" [] Str -> Str upper,
        "Lower-case ASCII letters made upper case.", "req.hdr(host),upper";
}

fn length<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    text(sample).map(|text| Sample::Int(i64::try_from(text.len()).unwrap_or(i64::MAX)))
}

fn lower<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    out.extend_from_slice(text(sample)?);
    // Eight at a time: most names are too short for vectors.
    let (words, rest) = out.as_chunks_mut::<8>();
    words.iter_mut().for_each(|word| word.make_ascii_lowercase());
    rest.make_ascii_lowercase();
    Some(Sample::Str(out))
}

fn upper<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    out.extend_from_slice(text(sample)?);
    out.make_ascii_uppercase();
    Some(Sample::Str(out))
}

fn has_ctl<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    text(sample).map(|text| Sample::Bool(text.iter().any(u8::is_ascii_control)))
}

fn cut_crlf<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let text = text(sample)?;
    Some(Sample::Str(&text[..memchr::memchr2(b'\r', b'\n', text).unwrap_or(text.len())]))
}

fn ltrim<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (text, chars) = (text(sample)?, Value::text(args, 0));
    let start = text.iter().position(|b| !chars.contains(b)).unwrap_or(text.len());
    Some(Sample::Str(&text[start..]))
}

fn rtrim<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let (text, chars) = (text(sample)?, Value::text(args, 0));
    let end = text.iter().rposition(|b| !chars.contains(b)).map_or(0, |at| at + 1);
    Some(Sample::Str(&text[..end]))
}

fn reverse<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    out.extend(text(sample)?.iter().rev());
    Some(Sample::Str(out))
}

fn reverse_dom<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    for (at, label) in text(sample)?.rsplit(|b| *b == b'.').enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        out.extend_from_slice(label);
    }
    Some(Sample::Str(out))
}

/// Appends the value of the variable of argument `at`.
fn append_var(args: &[Value], at: usize, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
    if let Some(name) = Value::var(args, at) {
        ctx.var(name, |stored| out.extend_from_slice(stored.sample().as_bytes(&mut Scratch::new())));
    }
}

fn concat<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let input = text(sample)?;
    out.extend_from_slice(input);
    out.extend_from_slice(Value::text(args, 0));
    append_var(args, 1, ctx, out);
    out.extend_from_slice(Value::text(args, 2));
    bounded(out, input).map(Sample::Str)
}

fn add_item_args(args: &mut Vec<Value>, _: &crate::library::Env<'_>) -> Result<(), String> {
    match Value::var(args, 1).is_none() && Value::text(args, 2).is_empty() {
        true => Err("there is nothing to add: name a variable, or give a suffix".into()),
        false => Ok(()),
    }
}

fn add_item<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let input = text(sample)?;
    out.extend_from_slice(input);
    if !input.is_empty() {
        out.extend_from_slice(Value::text(args, 0));
    }
    let before = out.len();
    append_var(args, 1, ctx, out);
    out.extend_from_slice(Value::text(args, 2));
    if out.len() == before {
        out.truncate(input.len());
    }
    bounded(out, input).map(Sample::Str)
}

#[cfg(test)]
mod tests {
    use crate::conv::testing::{check, check_with, refused};
    use crate::sample::Sample;
    use crate::vars::VarRef;

    #[test]
    fn text_is_changed_as_in_haproxy() {
        for (input, steps, expected) in [
            ("aBc\u{e9}", "lower", "abc\u{e9}"),
            ("aBc", "upper", "ABC"),
            ("aBc", "length", "3"),
            ("abc", "ltrim(ab)", "c"),
            ("", "ltrim(ab)", ""),
            ("aab", "ltrim(ab)", ""),
            ("abc", "rtrim(bc)", "a"),
            ("ab\nc\r", "cut_crlf", "ab"),
            ("ab\r\nc", "cut_crlf", "ab"),
            ("ab", "cut_crlf", "ab"),
            ("abc", "reverse", "cba"),
            ("www.example.com", "reverse_dom", "com.example.www"),
            ("com", "reverse_dom", "com"),
            ("", "reverse_dom", ""),
            ("a\tb", "has_ctl", "1"),
            ("a\u{7f}", "has_ctl", "1"),
            ("a b", "has_ctl", "0"),
        ] {
            check(Sample::Str(input.as_bytes()), steps, Some(expected));
        }
        check(Sample::Int(1000), "rtrim(0)", Some("1"));
    }

    #[test]
    fn joining_takes_variables() {
        let str = |text: &'static str| Sample::Str(text.as_bytes());
        check_with(
            |ctx| {
                for (name, value) in [
                    ("txn.i", Sample::Int(7)),
                    ("txn.b", Sample::Bool(true)),
                    ("txn.ip", Sample::Ip([1, 2, 3, 4].into())),
                    ("txn.str", Sample::Str(b"abc")),
                    ("txn.empty", Sample::Str(b"")),
                ] {
                    assert!(VarRef::parse(name).is_ok_and(|name| ctx.set_var(&name, &value)));
                }
            },
            &[
                (str("a"), "concat(b,,c)", Some("abc")),
                (str("a"), "concat(b,txn.none,c)", Some("abc")),
                (str("a"), "concat()", Some("a")),
                (str("a"), "concat(b)", Some("ab")),
                (str(""), "concat(,txn.i,)", Some("7")),
                (str("a"), "concat(<,txn.i,>)", Some("a<7>")),
                (str("a"), "concat(<,txn.b,>)", Some("a<1>")),
                (str("a"), "concat(<,txn.ip,>)", Some("a<1.2.3.4>")),
                (str("a"), "concat(<,txn.str,>)", Some("a<abc>")),
                (str("a"), "add_item(-,txn.str)", Some("a-abc")),
                (str(""), "add_item(-,txn.str)", Some("abc")),
                (str("a"), "add_item(-,txn.none)", Some("a")),
                (str("a"), "add_item(-,txn.none,x)", Some("a-x")),
                (str("a"), "add_item(-,,x)", Some("a-x")),
                (str("a"), "add_item(-,txn.str,x)", Some("a-abcx")),
                (str("a"), "add_item(-,txn.i,x)", Some("a-7x")),
                (str("a"), "add_item(-,txn.empty)", Some("a")),
                (str("a"), "add_item(-,txn.empty,x)", Some("a-x")),
                (str("a"), "add_item(',',txn.str)", Some("a,abc")),
            ],
        );
        refused(str("a"), "add_item(-)");
        refused(str("a"), "add_item(-,,)");
    }
}
