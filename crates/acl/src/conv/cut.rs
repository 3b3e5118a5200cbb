//! Converters that take a part: of text by separators, of bytes by place.

use std::ops::Range;

use crate::conv::{conv_table, number, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const INDEX: Arg = Arg::one("index", ArgKind::Int);
const DELIMITERS: Arg = Arg::one("delimiters", ArgKind::Str);
const COUNT: Arg = Arg::maybe("count", ArgKind::Int);
const OFFSET: Arg = Arg::one("offset", ArgKind::IntOrVar);
const LENGTH: Arg = Arg::maybe("length", ArgKind::IntOrVar);

conv_table! {
    "bytes" "bytes(<offset>[,<length>])" [OFFSET, LENGTH] Bin -> Bin bytes,
        "The bytes from an offset (from 0), up to a length; nothing of them when the offset is outside. Both may be \
         variables.", "path,bytes(1,3)";
    "field" "field(<index>,<delimiters>[,<count>])" [INDEX, DELIMITERS, COUNT] Str -> Str field, prepare nonzero,
        "The field of that number, from 1 at the beginning or from -1 at the end, between any of the delimiting \
         characters; a count takes several fields, 0 all that follow. Empty fields count.",
        "req.hdr(host),field(-2,.)";
    "word" "word(<index>,<delimiters>[,<count>])" [INDEX, DELIMITERS, COUNT] Str -> Str word, prepare nonzero,
        "As field, but several delimiters in a row separate only once, and those at the ends are ignored; empty when \
         there is no such word.", "path,word(1,/)";
}

fn nonzero(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match Value::int(args, 0) {
        Some(0) => Err("the index is from 1 at the beginning, or from -1 at the end".into()),
        _ => Ok(()),
    }
}

fn bytes<'a>(sample: Sample<'a>, args: &'a [Value], ctx: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let bytes = text(sample)?;
    let offset = usize::try_from(number(args, 0, ctx)?).ok().filter(|offset| *offset <= bytes.len());
    let rest = offset.map_or(&b""[..], |offset| &bytes[offset..]);
    // A negative length is no limit.
    let length = match args.get(1) {
        Some(_) => usize::try_from(number(args, 1, ctx)?).unwrap_or(usize::MAX),
        None => usize::MAX,
    };
    Some(Sample::Bin(&rest[..length.min(rest.len())]))
}

fn field<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let text = text(sample)?;
    pick(text, args, false).map(|range| Sample::Str(&text[range]))
}

fn word<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let text = text(sample)?;
    Some(Sample::Str(pick(text, args, true).map_or(b"", |range| &text[range])))
}

/// Where the pieces that `args` ask for are; `skip_empty` for words.
fn pick(text: &[u8], args: &[Value], skip_empty: bool) -> Option<Range<usize>> {
    let (index, delimiters) = (Value::int(args, 0)?, Value::text(args, 1));
    let count = match Value::int(args, 2) {
        None => 1,
        Some(count) => usize::try_from(count).ok().filter(|count| *count > 0).unwrap_or(usize::MAX),
    };
    let nth = usize::try_from(index.unsigned_abs()).ok()?.checked_sub(1)?;
    if index > 0 {
        let mut pieces = pieces(text, delimiters, skip_empty).skip(nth);
        let first = pieces.next()?;
        if count == usize::MAX {
            return Some(first.start..text.len());
        }
        // Fewer words than asked for: the delimiters at the end belong to them, as in HAProxy.
        let mut last = first.clone();
        for _ in 1..count {
            match pieces.next() {
                Some(piece) => last = piece,
                None => return Some(first.start..text.len()),
            }
        }
        return Some(first.start..last.end);
    }
    let mut pieces = pieces_back(text, delimiters, skip_empty).skip(nth);
    let last = pieces.next()?;
    if count == usize::MAX {
        return Some(0..last.end);
    }
    let mut first = last.clone();
    for _ in 1..count {
        match pieces.next() {
            Some(piece) => first = piece,
            None => return Some(0..last.end),
        }
    }
    Some(first.start..last.end)
}

fn pieces<'t>(text: &'t [u8], delimiters: &'t [u8], skip_empty: bool) -> impl Iterator<Item = Range<usize>> + 't {
    let mut next = Some(0);
    std::iter::from_fn(move || {
        let start = next?;
        let end = text[start..].iter().position(|b| delimiters.contains(b)).map(|at| start + at);
        next = end.map(|end| end + 1);
        Some(start..end.unwrap_or(text.len()))
    })
    .filter(move |piece| !skip_empty || !piece.is_empty())
}

fn pieces_back<'t>(text: &'t [u8], delimiters: &'t [u8], skip_empty: bool) -> impl Iterator<Item = Range<usize>> + 't {
    let mut next = Some(text.len());
    std::iter::from_fn(move || {
        let end = next?;
        let start = text[..end].iter().rposition(|b| delimiters.contains(b));
        next = start;
        Some(start.map_or(0, |start| start + 1)..end)
    })
    .filter(move |piece| !skip_empty || !piece.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::conv::testing::{check, convert, refused};
    use crate::testing::Rng;

    #[test]
    fn parts_are_those_of_haproxy() {
        for (input, steps, expected) in [
            ("f1_f2_f3__f5", "field(5,_)", Some("f5")),
            ("f1_f2_f3__f5", "field(2,_,0)", Some("f2_f3__f5")),
            ("f1_f2_f3__f5", "field(2,_,2)", Some("f2_f3")),
            ("f1_f2_f3__f5", "field(-2,_,3)", Some("f2_f3_")),
            ("f1_f2_f3__f5", "field(-3,_,0)", Some("f1_f2_f3")),
            ("f1_f2_f3__f5", "field(4,_)", Some("")),
            ("f1_f2_f3__f5", "field(6,_)", None),
            ("f1_f2_f3__f5", "field(-6,_)", None),
            ("f1_f2_f3__f5", "field(-5,_)", Some("f1")),
            ("f1_f2_f3__f5", "field(4,_,9)", Some("_f5")),
            ("f1_f2_f3__f5", "field(-1,_,9)", Some("f1_f2_f3__f5")),
            ("f1_f2_f3__f5", "field(2,_,-1)", Some("f2_f3__f5")),
            ("", "field(1,_)", Some("")),
            ("", "field(-1,_)", Some("")),
            ("", "field(2,_)", None),
            ("_", "field(1,_)", Some("")),
            ("_", "field(2,_)", Some("")),
            ("_", "field(-1,_)", Some("")),
            ("_", "field(-1,_,0)", Some("_")),
            ("_", "field(1,_,0)", Some("_")),
            ("_", "field(3,_)", None),
            ("f1_f2_f3__f5", "word(4,_)", Some("f5")),
            ("f1_f2_f3__f5", "word(2,_,0)", Some("f2_f3__f5")),
            ("f1_f2_f3__f5", "word(3,_,2)", Some("f3__f5")),
            ("f1_f2_f3__f5", "word(-2,_,3)", Some("f1_f2_f3")),
            ("f1_f2_f3__f5", "word(-3,_,0)", Some("f1_f2")),
            ("/f1/f2/f3/f4", "word(1,/)", Some("f1")),
            ("/f1/f2/f3/f4/", "word(-1,/)", Some("f4")),
            ("/f1/f2/f3/f4/", "word(1,/,0)", Some("f1/f2/f3/f4/")),
            ("//f1//f2//", "word(1,/,0)", Some("f1//f2//")),
            ("//f1//f2//", "word(1,/,2)", Some("f1//f2")),
            ("//f1//f2//", "word(1,/,3)", Some("f1//f2//")),
            ("//f1//f2//", "word(-1,/,0)", Some("//f1//f2")),
            ("//f1//f2//", "word(-1,/,2)", Some("f1//f2")),
            ("//f1//f2//", "word(-1,/,3)", Some("//f1//f2")),
            ("//f1//f2//", "word(3,/)", Some("")),
            ("//f1//f2//", "word(-3,/)", Some("")),
            ("//", "word(1,/)", Some("")),
            ("//", "word(-1,/)", Some("")),
            ("", "word(1,/)", Some("")),
            ("a/b", "word(2,/,5)", Some("b")),
            ("a.b/c", "word(2,./)", Some("b")),
            ("abc", "bytes(1)", Some("bc")),
            ("abc", "bytes(1,1)", Some("b")),
            ("abc", "bytes(3)", Some("")),
            ("abc", "bytes(4)", Some("")),
            ("abc", "bytes(-1)", Some("")),
            ("abc", "bytes(0,9)", Some("abc")),
            ("abc", "bytes(0,0)", Some("")),
            ("abc", "bytes(1,-1)", Some("bc")),
            ("abc", "bytes(txn.none)", None),
        ] {
            check(Sample::Str(input.as_bytes()), steps, expected);
        }
    }

    #[test]
    fn bad_arguments_are_refused() {
        for steps in ["field(0,_)", "word(0,/)", "word(1,)", "word(1)", "bytes()", "field(x,_)"] {
            refused(Sample::Str(b""), steps);
        }
    }

    /// Splitting into fields and joining them is the identity; words are the fields that are not empty.
    #[test]
    fn fields_and_words_agree_with_a_naive_model() {
        let seed = 0x5eed_0017;
        let mut rng = Rng::new(seed);
        for round in 0..400 {
            let input = rng.letters(9);
            let shown = String::from_utf8_lossy(&input).into_owned();
            let fields: Vec<&[u8]> = input.split(|b| *b == b'a' || *b == b'B').collect();
            let words: Vec<&[u8]> = fields.iter().copied().filter(|field| !field.is_empty()).collect();
            let get = |steps: String| convert(Sample::Str(&input), &steps);
            let note = |what: &str| format!("seed {seed:#x} round {round} {what} of {shown:?}");
            for index in 1..=fields.len() + 1 {
                let nth = |list: &[&[u8]], at: Option<usize>| {
                    at.and_then(|at| list.get(at)).map(|piece| String::from_utf8(piece.to_vec()).unwrap())
                };
                assert_eq!(get(format!("field({index},aB)")), nth(&fields, Some(index - 1)), "{}", note("field"));
                let back = nth(&fields, fields.len().checked_sub(index));
                assert_eq!(get(format!("field(-{index},aB)")), back, "{}", note("field from the end"));
                let word = nth(&words, Some(index - 1)).unwrap_or_default();
                assert_eq!(get(format!("word({index},aB)")), Some(word), "{}", note("word"));
                let word = nth(&words, words.len().checked_sub(index)).unwrap_or_default();
                assert_eq!(get(format!("word(-{index},aB)")), Some(word), "{}", note("word from the end"));
            }
        }
    }
}
