//! Converters of JSON: escaping text for it, and reading one value out of it.
//!
//! A document is walked as far as the value asked for, without building it; its rest is not looked at.

use std::io::Write as _;
use std::sync::Arc;

use crate::conv::{bounded, conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const CODE: Arg = Arg::maybe("input-code", ArgKind::Word(&["ascii", "utf8", "utf8s", "utf8p", "utf8ps"]));
const PATH: Arg = Arg::one("json_path", ArgKind::Str);
const TYPE: Arg = Arg::maybe("output_type", ArgKind::Word(&["int"]));

conv_table! {
    "json" "json([<input-code>])" [CODE] Str -> Str json,
        "The text escaped as the inside of a JSON string, in ASCII. Read as bytes (`ascii`), or as UTF-8: then a character \
         that is malformed, not allowed or beyond U+FFFF makes it undefined, or is left out with `s`; with `p` overlong \
         forms are allowed.", "req.hdr(user-agent),json(utf8s)";
    "json_query" "json_query(<json_path>[,<output_type>])" [PATH, TYPE] Str -> Str json_query, prepare query_args,
        "The string, number, boolean or array at a path such as `$.users[0].name`; `\\.` is a dot in a name. A number is \
         text as C's `%g` writes it, or its whole part with `int`; a boolean is a boolean. Undefined for null, an object \
         and a path that leads nowhere.", "req.hdr(x-debug-id),json_query('$.id','int')";
}

fn json<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let input = text(sample)?;
    let code = Value::text(args, 0);
    if !code.starts_with(b"utf8") {
        input.iter().for_each(|byte| escape((*byte).into(), out));
        return bounded(out, input).map(Sample::Str);
    }
    let (permissive, silent) = (code.contains(&b'p'), code.ends_with(b"s"));
    let mut rest = input;
    while !rest.is_empty() {
        let (character, used) = character(rest, permissive);
        rest = &rest[used..];
        match character {
            Some(character) => escape(character, out),
            None if silent => {}
            None => return None,
        }
    }
    bounded(out, input).map(Sample::Str)
}

/// The first character of `text` and its bytes; `None` for one that JSON cannot have or that is malformed.
fn character(text: &[u8], permissive: bool) -> (Option<u32>, usize) {
    let lead = text[0];
    let (length, mut value, least) = match lead {
        0..=0x7f => return (Some(lead.into()), 1),
        0xc0..=0xdf => (2, u32::from(lead & 0x1f), 0x80),
        0xe0..=0xef => (3, u32::from(lead & 0x0f), 0x800),
        0xf0..=0xf7 => (4, u32::from(lead & 0x07), 0x1_0000),
        0xf8..=0xfb => (5, u32::from(lead & 0x03), 0x20_0000),
        0xfc..=0xfd => (6, u32::from(lead & 0x01), 0x400_0000),
        _ => return (None, 1),
    };
    for at in 1..length {
        match text.get(at) {
            Some(byte @ 0x80..=0xbf) => value = value << 6 | u32::from(byte & 0x3f),
            _ => return (None, at),
        }
    }
    // Surrogates, the two that are no characters, and what four digits cannot say.
    let allowed = !(0xd800..=0xdfff).contains(&value) && value < 0xfffe && (value >= least || permissive);
    (allowed.then_some(value), length)
}

fn escape(character: u32, out: &mut Vec<u8>) {
    match u8::try_from(character) {
        Ok(byte @ (b'"' | b'\\' | b'/')) => out.extend([b'\\', byte]),
        Ok(8) => out.extend(b"\\b"),
        Ok(b'\t') => out.extend(b"\\t"),
        Ok(b'\n') => out.extend(b"\\n"),
        Ok(12) => out.extend(b"\\f"),
        Ok(b'\r') => out.extend(b"\\r"),
        Ok(byte @ b' '..=b'~') => out.push(byte),
        _ => {
            // A Vec takes everything.
            let _ = write!(out, "\\u{character:04x}");
        }
    }
}

/// What to read out of a document.
#[derive(Debug, PartialEq)]
pub(super) struct Query {
    path: Vec<Part>,
    int: bool,
}

#[derive(Debug, PartialEq)]
enum Part {
    Key(Vec<u8>),
    Index(usize),
}

impl Query {
    /// From the arguments path and type at `at`.
    pub(super) fn parse(args: &[Value], at: usize) -> Result<Query, String> {
        let text = Value::text(args, at);
        let bad = |why: &str| format!("`{}` is no path of JSON: {why}", text.escape_ascii());
        let Some(mut rest) = text.strip_prefix(b"$") else { return Err(bad("it begins with `$`")) };
        let mut path = Vec::new();
        while let Some((&first, after)) = rest.split_first() {
            match first {
                b'.' => {
                    let (mut key, mut used) = (Vec::new(), 0);
                    while let Some(&byte) = after.get(used) {
                        match byte {
                            b'.' | b'[' => break,
                            b'\\' if used + 1 < after.len() => {
                                key.push(after[used + 1]);
                                used += 2;
                            }
                            _ => {
                                key.push(byte);
                                used += 1;
                            }
                        }
                    }
                    if key.is_empty() {
                        return Err(bad("a name is empty"));
                    }
                    path.push(Part::Key(key));
                    rest = &after[used..];
                }
                b'[' => {
                    let end = memchr::memchr(b']', after).ok_or_else(|| bad("a bracket is never closed"))?;
                    let index = std::str::from_utf8(&after[..end]).ok().and_then(|digits| digits.parse().ok());
                    path.push(Part::Index(index.ok_or_else(|| bad("a number stands between brackets"))?));
                    rest = &after[end + 1..];
                }
                _ => return Err(bad("a dot or a bracket comes next")),
            }
        }
        Ok(Query { path, int: !Value::text(args, at + 1).is_empty() })
    }

    /// The value in `document`; text is written to `out`.
    pub(super) fn run<'o>(&self, document: &[u8], out: &'o mut Vec<u8>) -> Option<Sample<'o>> {
        let mut reader = Reader { text: document, at: 0 };
        for part in &self.path {
            match part {
                Part::Key(key) => reader.enter_key(key)?,
                Part::Index(index) => reader.enter_index(*index)?,
            }
        }
        reader.blanks();
        let start = reader.at;
        match *reader.text.get(start)? {
            b'"' => {
                let raw = reader.string()?;
                unescape(raw, out)?;
                Some(Sample::Str(out))
            }
            b'[' => {
                reader.value()?;
                out.extend_from_slice(&document[start..reader.at]);
                Some(Sample::Str(out))
            }
            b't' => reader.word(b"true").map(|()| Sample::Bool(true)),
            b'f' => reader.word(b"false").map(|()| Sample::Bool(false)),
            b'-' | b'0'..=b'9' => {
                let number = reader.number()?;
                if self.int {
                    let digits =
                        number.iter().skip(1).position(|b| !b.is_ascii_digit()).map_or(number.len(), |at| at + 1);
                    return std::str::from_utf8(&number[..digits]).ok()?.parse().ok().map(Sample::Int);
                }
                write_g(std::str::from_utf8(number).ok()?.parse().ok()?, out);
                Some(Sample::Str(out))
            }
            _ => None,
        }
    }
}

/// Hands each member of the object `document` to `visit`, its name and its value as they are written; `None` when it is no
/// object, something follows it, a name has an escape, or `visit` gives that.
pub(super) fn members<'t>(document: &'t [u8], visit: &mut dyn FnMut(&'t [u8], &'t [u8]) -> Option<()>) -> Option<()> {
    let mut reader = Reader { text: document, at: 0 };
    reader.take(b'{')?;
    if reader.take(b'}').is_none() {
        loop {
            let name = reader.string().filter(|name| !name.contains(&b'\\'))?;
            reader.take(b':')?;
            reader.blanks();
            let start = reader.at;
            reader.value()?;
            visit(name, &document[start..reader.at])?;
            if reader.take(b',').is_none() {
                break reader.take(b'}')?;
            }
        }
    }
    reader.blanks();
    (reader.at == document.len()).then_some(())
}

/// What is between the quotes of a string without escapes.
pub(super) fn plain_string(value: &[u8]) -> Option<&[u8]> {
    let text = value.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    (!text.contains(&b'\\')).then_some(text)
}

/// A walk over a document.
struct Reader<'t> {
    text: &'t [u8],
    at: usize,
}

impl<'t> Reader<'t> {
    fn blanks(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.iter().position(|b| !b" \t\r\n".contains(b)).unwrap_or(rest.len());
    }

    /// Steps over `byte` after blanks; whether it was there.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.blanks();
        (*self.text.get(self.at)? == byte).then(|| self.at += 1)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text[self.at..].starts_with(word).then(|| self.at += word.len())
    }

    /// Steps over a string; what stands between its quotes.
    fn string(&mut self) -> Option<&'t [u8]> {
        self.take(b'"')?;
        let start = self.at;
        loop {
            self.at += memchr::memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            match self.text[self.at] {
                b'"' => break,
                _ => self.at += 2,
            }
        }
        self.at += 1;
        Some(&self.text[start..self.at - 1])
    }

    fn number(&mut self) -> Option<&'t [u8]> {
        let start = self.at;
        let rest = &self.text[start..];
        self.at += rest.iter().position(|b| !b.is_ascii_digit() && !b"+-.eE".contains(b)).unwrap_or(rest.len());
        Some(&self.text[start..self.at])
    }

    /// Steps over one value, whatever it is: brackets are counted, so that depth costs nothing.
    fn value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            self.blanks();
            match *self.text.get(self.at)? {
                b'"' => {
                    self.string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' if depth > 0 => self.at += 1,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                }
                _ => return None,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Steps to the value of the first member `key` of the object that comes next.
    fn enter_key(&mut self, key: &[u8]) -> Option<()> {
        self.take(b'{')?;
        loop {
            let name = self.string()?;
            self.take(b':')?;
            if name == key {
                return Some(());
            }
            self.value()?;
            self.take(b',')?;
        }
    }

    /// Steps to element `index` of the array that comes next.
    fn enter_index(&mut self, index: usize) -> Option<()> {
        self.take(b'[')?;
        for _ in 0..index {
            self.value()?;
            self.take(b',')?;
        }
        Some(())
    }
}

/// Appends what stands between the quotes of a string as UTF-8; `None` for an escape that JSON does not have.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut rest = raw.iter().copied();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        out.push(match rest.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let mut unit = || (0..4).try_fold(0, |sum, _| Some(sum << 4 | char::from(rest.next()?).to_digit(16)?));
                let mut code = unit()?;
                // Two escapes make a character beyond U+FFFF (RFC 8259 section 7).
                if (0xd800..=0xdbff).contains(&code) {
                    if (rest.next()?, rest.next()?) != (b'\\', b'u') {
                        return None;
                    }
                    let mut unit =
                        || (0..4).try_fold(0, |sum, _| Some(sum << 4 | char::from(rest.next()?).to_digit(16)?));
                    let low = unit()?.checked_sub(0xdc00).filter(|low| *low < 0x400)?;
                    code = 0x1_0000 + ((code - 0xd800) << 10) + low;
                }
                out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        });
    }
    Some(())
}

/// Appends `value` as C's `%g`: six digits that count, without zeros at the end.
fn write_g(value: f64, out: &mut Vec<u8>) {
    if value == 0.0 {
        out.extend_from_slice(if value.is_sign_negative() { b"-0" } else { b"0" });
        return;
    }
    let start = out.len();
    // A Vec takes everything.
    let _ = write!(out, "{value:.5e}");
    let written = String::from_utf8_lossy(&out[start..]).into_owned();
    out.truncate(start);
    let Some((mantissa, exponent)) = written.split_once('e') else {
        // Too great for a float.
        out.extend_from_slice(written.as_bytes());
        return;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| text.trim_end_matches('0').trim_end_matches('.').to_owned();
    let _ = if (-4..6).contains(&exponent) {
        let decimals = usize::try_from(5 - exponent).unwrap_or(0);
        let plain = format!("{value:.decimals$}");
        write!(out, "{}", if decimals > 0 { trim(&plain) } else { plain })
    } else {
        write!(out, "{}e{}{:02}", trim(mantissa), if exponent < 0 { '-' } else { '+' }, exponent.abs())
    };
}

fn query_args(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    let query = Query::parse(args, 0)?;
    *args = vec![Value::Ready(Arc::new(query))];
    Ok(())
}

fn json_query<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    Value::ready::<Query>(args, 0)?.run(text(sample)?, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conv::testing::{check, convert, refused};
    use crate::testing::Rng;

    #[test]
    fn text_is_escaped_as_in_haproxy() {
        for (input, steps, expected) in [
            (&b"a\"b\\c/"[..], "json", Some(r#"a\"b\\c\/"#)),
            (b"a\x08\t\n\x0c\r\x1f\x7f\x80\xff", "json", Some("a\\b\\t\\n\\f\\r\\u001f\\u007f\\u0080\\u00ff")),
            (b"a\xc3\xa9\xe2\x82\xac", "json", Some("a\\u00c3\\u00a9\\u00e2\\u0082\\u00ac")),
            (b"a\xc3\xa9\xe2\x82\xac", "json(utf8)", Some("a\\u00e9\\u20ac")),
            (b"a\xf0\x9f\x98\x80", "json(utf8)", None),
            (b"a\xf0\x9f\x98\x80b", "json(utf8s)", Some("ab")),
            (b"a\xf0\x9f\x98\x80b", "json(utf8p)", None),
            (b"a\xf0\x9f\x98\x80b", "json(utf8ps)", Some("ab")),
            (b"a\xffb", "json(utf8)", None),
            (b"a\xffb", "json(utf8s)", Some("ab")),
            (b"a\xc0\xafb", "json(utf8s)", Some("ab")),
            (b"a\xc0\xafb", "json(utf8p)", Some("a\\/b")),
            (b"a\xc0\xafb", "json(utf8ps)", Some("a\\/b")),
            (b"a\xc0\xafb", "json(utf8)", None),
            (b"a\xc3b", "json(utf8s)", Some("ab")),
            (b"a\xc3", "json(utf8ps)", Some("a")),
            (b"a\xe2\x82b", "json(utf8s)", Some("ab")),
            (b"a\xed\xa0\x80b", "json(utf8s)", Some("ab")),
            (b"a\xed\xa0\x80b", "json(utf8)", None),
            (b"a\xed\x80\xbfb", "json(utf8)", Some("a\\ud03fb")),
            (b"a\xef\xbf\xbeb", "json(utf8s)", Some("ab")),
            (b"a\xf8\x88\x80\x80\x80bc", "json(utf8s)", Some("abc")),
            (b"a\xfc\x84\x80\x80\x80\x80b", "json(utf8ps)", Some("ab")),
            (b"a\xfe\x80b", "json(utf8s)", Some("ab")),
        ] {
            check(Sample::Bin(input), steps, expected);
        }
        check(Sample::Int(7), "json", Some("7"));
        refused(Sample::Str(b""), "json(foo)");
    }

    const DOCUMENT: &str = r#"{"a":{"b":[10,-2.5,"x\"y\u00e9\u20ac\/\n",true,false,null,1e3,{"c":"d"}]},"my.key":"v","s":"","f":1.0,"big":12345678901234567890,"n":-7,"t":" t ","d":0.1,"e":1.5e-3,"num":"12x","k k":"sp","a":1,"l":100000000,"m":1234567.891,"z":-0.0,"y":123456,"u":"\ud83d\ude00","bad":"\x","half":"\ud83d"}"#;

    #[test]
    fn values_are_found_as_in_haproxy() {
        for (steps, expected) in [
            ("json_query('$.a.b[0]')", Some("10")),
            ("json_query('$.a.b[0]','int')", Some("10")),
            ("json_query('$.a.b[1]')", Some("-2.5")),
            ("json_query('$.a.b[1]','int')", Some("-2")),
            ("json_query('$.a.b[2]')", Some("x\"y\u{e9}\u{20ac}/\n")),
            ("json_query('$.a.b[3]')", Some("1")),
            ("json_query('$.a.b[3]','int')", Some("1")),
            ("json_query('$.a.b[4]')", Some("0")),
            ("json_query('$.a.b[5]')", None),
            ("json_query('$.a.b[6]')", Some("1000")),
            ("json_query('$.a.b[6]','int')", Some("1")),
            ("json_query('$.a.b[7]')", None),
            ("json_query('$.a.b[7].c')", Some("d")),
            ("json_query('$.a.b[8]')", None),
            ("json_query('$.a')", None),
            ("json_query('$')", None),
            (r"json_query('$.my\.key')", Some("v")),
            ("json_query('$.s')", Some("")),
            ("json_query('$.s','int')", Some("")),
            ("json_query('$.f')", Some("1")),
            ("json_query('$.big')", Some("1.23457e+19")),
            ("json_query('$.big','int')", None),
            ("json_query('$.n')", Some("-7")),
            ("json_query('$.t')", Some(" t ")),
            ("json_query('$.d')", Some("0.1")),
            ("json_query('$.e')", Some("0.0015")),
            ("json_query('$.l')", Some("1e+08")),
            ("json_query('$.m')", Some("1.23457e+06")),
            ("json_query('$.z')", Some("-0")),
            ("json_query('$.y')", Some("123456")),
            ("json_query('$.num')", Some("12x")),
            ("json_query('$.num','int'),add(1)", Some("13")),
            ("json_query('$.none')", None),
            ("json_query('$.k k')", Some("sp")),
            ("json_query('$.u')", Some("\u{1f600}")),
            ("json_query('$.bad')", None),
            ("json_query('$.half')", None),
        ] {
            check(Sample::Str(DOCUMENT.as_bytes()), steps, expected);
        }
        for (document, steps, expected) in [
            (r#"[1,"two",[3]]"#, "json_query('$[1]')", Some("two")),
            (r#"[1,"two",[3]]"#, "json_query('$[2][0]')", Some("3")),
            (r#"[1,"two",[3, 4]]"#, "json_query('$[2]')", Some("[3, 4]")),
            (r#""x""#, "json_query('$')", Some("x")),
            (r#"{"a":1}x"#, "json_query('$.a')", Some("1")),
            (r#"{"a":tru}"#, "json_query('$.a')", None),
            (r#"{"a":1,"b"}"#, "json_query('$.a')", Some("1")),
            (r#"{"ab":1}"#, "json_query('$.a')", None),
            (r#"{"a":{"x":5},"x":6}"#, "json_query('$.x')", Some("6")),
            (r#" {"a" : 1 } "#, "json_query('$.a')", Some("1")),
            (r#"{"a":1,"a":2}"#, "json_query('$.a')", Some("1")),
            (r#"{"a":"1"}"#, "json_query('$.a','int'),add(1)", Some("2")),
            (r#"{"a":"#, "json_query('$.a')", None),
            ("[]", "json_query('$[0]')", None),
            (r#"["\""#, "json_query('$[0]')", None),
            (r#"["\"#, "json_query('$[0]')", None),
        ] {
            check(Sample::Bin(document.as_bytes()), steps, expected);
        }
        for steps in [
            "json_query(a)",
            "json_query('')",
            "json_query('$.a..b')",
            "json_query('$.a','str')",
            "json_query('$[*]')",
            "json_query('$[-1]')",
            "json_query('$x')",
            "json_query('$[1')",
        ] {
            refused(Sample::Str(b""), steps);
        }
    }

    /// Escaping and reading back is the identity, and no bytes make the reader fail otherwise than with nothing.
    #[test]
    fn strings_come_back_and_any_bytes_are_taken() {
        let seed = 0x5eed_0022;
        let mut rng = Rng::new(seed);
        for round in 0..500 {
            let input: String = (0..rng.below(12))
                .map(|_| ['a', '"', '\\', '/', '\n', '\u{e9}', '\u{20ac}', '\0'][rng.below(8) as usize])
                .collect();
            let escaped = convert(Sample::Str(input.as_bytes()), "json(utf8)").unwrap_or_default();
            let document = format!("{{\"x\":[1,\"{escaped}\"]}}");
            let found = convert(Sample::Str(document.as_bytes()), "json_query('$.x[1]')");
            assert_eq!(found, Some(input), "seed {seed:#x} round {round}");
            let noise: Vec<u8> = (0..rng.below(16)).map(|_| b"{}[]\"\\:,x1-tfn u"[rng.below(16) as usize]).collect();
            for steps in ["json_query('$.x[1]')", "json_query('$')", "json_query('$[1].x','int')"] {
                convert(Sample::Bin(&noise), steps);
            }
        }
    }
}
