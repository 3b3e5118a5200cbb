//! Converters between bytes and their textual forms: base64, hexadecimal, decimal, percent-encoding.

use evenkeel_proto::base64;
pub(crate) use evenkeel_proto::base64::{
    decode as decode_base64, decode_url as decode_base64url, encode as encode_base64,
};

use crate::conv::{bounded, conv_table, text};
use crate::ctx::Ctx;
use crate::library::Env;
use crate::sample::Sample;
use crate::value::{Arg, ArgKind, Value};

const SEPARATOR: Arg = Arg::one("separator", ArgKind::Text);
const CHUNK: Arg = Arg::one("chunk_size", ArgKind::Int);
const MAYBE_SEPARATOR: Arg = Arg::maybe("separator", ArgKind::Text);
const MAYBE_CHUNK: Arg = Arg::maybe("chunk_size", ArgKind::Int);
const TRUNCATE: Arg = Arg::maybe("truncate", ArgKind::Int);
const IN_FORM: Arg = Arg::maybe("in_form", ArgKind::Int);
const ENC_TYPE: Arg = Arg::maybe("enc_type", ArgKind::Word(&["query"]));

conv_table! {
    "b64dec" "b64dec" [] Str -> Bin b64dec,
        "The bytes that base64 text stands for; undefined when it is not padded base64.",
        "req.hdr(authorization),word(2,' '),b64dec";
    "base2" "base2" [] Bin -> Str base2,
        "The bytes as digits 0 and 1, eight for each byte.", "src,base2";
    "base64" "base64" [] Bin -> Str base64,
        "The bytes as base64 text with padding.", "path,base64";
    "be2dec" "be2dec(<separator>,<chunk_size>[,<truncate>])" [SEPARATOR, CHUNK, TRUNCATE] Bin -> Str be2dec,
        prepare decimal_chunks,
        "Chunks of 1 to 8 bytes as decimal numbers, the first byte of a chunk being the greatest part, with a separator \
         between them; with a truncate of 1 an incomplete chunk at the end is left out.", "src,be2dec(-,1)";
    "be2hex" "be2hex([<separator>],[<chunk_size>],[<truncate>])" [MAYBE_SEPARATOR, MAYBE_CHUNK, TRUNCATE] Bin -> Str be2hex,
        prepare hex_chunks,
        "The bytes in upper-case hexadecimal, with a separator between chunks of that many bytes; with a truncate of 1 \
         an incomplete chunk at the end is left out.", "src,be2hex(:,1)";
    "hex" "hex" [] Bin -> Str hex,
        "The bytes in upper-case hexadecimal.", "src,hex";
    "hex2i" "hex2i" [] Str -> Int hex2i,
        "The number that hexadecimal text stands for, 0 for no text; undefined when there is another character.",
        "req.hdr(x-debug-id),hex2i";
    "htonl" "htonl" [] Int -> Bin htonl,
        "The lower 32 bits of the number as four bytes in network order.", "dst_port,htonl,hex";
    "le2dec" "le2dec(<separator>,<chunk_size>[,<truncate>])" [SEPARATOR, CHUNK, TRUNCATE] Bin -> Str le2dec,
        prepare decimal_chunks,
        "As be2dec, the first byte of a chunk being the smallest part.", "src,le2dec(-,1)";
    "ub64dec" "ub64dec" [] Str -> Bin ub64dec,
        "The bytes that base64url text without padding stands for (RFC 4648 section 5); undefined when it is none.",
        "req.hdr(authorization),word(2,.),ub64dec";
    "ub64enc" "ub64enc" [] Bin -> Str ub64enc,
        "The bytes as base64url text without padding (RFC 4648 section 5).", "path,ub64enc";
    "url_dec" "url_dec([<in_form>])" [IN_FORM] Str -> Str url_dec,
        "Percent-encoding undone; undefined when an escape is not two hexadecimal digits. `+` is a blank behind the first \
         `?`, and with an argument other than 0 everywhere.", "query,url_dec(1)";
    "url_enc" "url_enc([<enc_type>])" [ENC_TYPE] Str -> Str url_enc,
        "Everything but letters, digits and `-._~` percent-encoded (RFC 3986 section 2.3).", "path,url_enc";
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

fn base64<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let bytes = text(sample)?;
    encode_base64(bytes, out);
    bounded(out, bytes).map(Sample::Str)
}

fn ub64enc<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let bytes = text(sample)?;
    base64::encode_url(bytes, out);
    bounded(out, bytes).map(Sample::Str)
}

fn b64dec<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    decode_base64(text(sample)?, out).then_some(Sample::Bin(out))
}

fn ub64dec<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    decode_base64url(text(sample)?, out).then_some(Sample::Bin(out))
}

fn base2<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let bytes = text(sample)?;
    out.extend(bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| b'0' + (byte >> bit & 1))));
    bounded(out, bytes).map(Sample::Str)
}

/// Appends `bytes` in upper-case hexadecimal.
fn to_hex(bytes: &[u8], out: &mut Vec<u8>) {
    out.extend(bytes.iter().flat_map(|b| [HEX[usize::from(b >> 4)], HEX[usize::from(b & 15)]]));
}

fn hex<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let bytes = text(sample)?;
    to_hex(bytes, out);
    bounded(out, bytes).map(Sample::Str)
}

fn hex_chunks(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match (Value::text(args, 0).is_empty(), Value::int(args, 1)) {
        (_, Some(1..)) | (true, None) => Ok(()),
        _ => Err("a separator needs a chunk size of 1 or more".into()),
    }
}

fn decimal_chunks(args: &mut Vec<Value>, _: &Env<'_>) -> Result<(), String> {
    match Value::int(args, 1) {
        Some(1..=8) => Ok(()),
        _ => Err("the chunk size is from 1 to 8".into()),
    }
}

fn be2hex<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    chunks(text(sample)?, args, out, to_hex).map(Sample::Str)
}

fn be2dec<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let write = |chunk: &[u8], out: &mut Vec<u8>| {
        decimal(chunk.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), out);
    };
    chunks(text(sample)?, args, out, write).map(Sample::Str)
}

fn le2dec<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let write = |chunk: &[u8], out: &mut Vec<u8>| {
        decimal(chunk.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)), out);
    };
    chunks(text(sample)?, args, out, write).map(Sample::Str)
}

fn chunks<'a>(
    bytes: &[u8],
    args: &[Value],
    out: &'a mut Vec<u8>,
    write: impl Fn(&[u8], &mut Vec<u8>),
) -> Option<&'a [u8]> {
    let size = Value::int(args, 1).and_then(|size| usize::try_from(size).ok()).unwrap_or(usize::MAX).max(1);
    let truncate = Value::int(args, 2).is_some_and(|flag| flag != 0);
    for (at, chunk) in bytes.chunks(size).enumerate() {
        if truncate && chunk.len() < size && size != usize::MAX {
            break;
        }
        if at > 0 {
            out.extend_from_slice(Value::text(args, 0));
        }
        write(chunk, out);
        // A long separator multiplies the input: stop where it is too much anyway.
        bounded(out, bytes)?;
    }
    Some(out)
}

fn decimal(value: u64, out: &mut Vec<u8>) {
    let start = out.len();
    let mut rest = value;
    loop {
        out.push(b'0' + (rest % 10) as u8);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out[start..].reverse();
}

fn nibble(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

fn hex2i<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    // More than 16 digits push the first ones out.
    let add = |value: u64, byte: &u8| Some(value << 4 | u64::from(nibble(*byte)?));
    text(sample)?.iter().try_fold(0, add).map(|value| Sample::Int(value.cast_signed()))
}

fn htonl<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    out.extend_from_slice(&(sample.as_int()? as u32).to_be_bytes());
    Some(Sample::Bin(out))
}

fn url_dec<'a>(sample: Sample<'a>, args: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let in_form = Value::int(args, 0).is_some_and(|flag| flag != 0);
    url_decode(text(sample)?, in_form, out).then_some(Sample::Str(out))
}

/// Appends `text` with percent-encoding undone; `false` when an escape is wrong.
pub(crate) fn url_decode(text: &[u8], in_form: bool, out: &mut Vec<u8>) -> bool {
    let mut in_query = in_form;
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'%' => match (rest.next().and_then(|b| nibble(*b)), rest.next().and_then(|b| nibble(*b))) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return false,
            },
            b'+' if in_query => b' ',
            b'?' => {
                in_query = true;
                byte
            }
            _ => byte,
        });
    }
    true
}

fn url_enc<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    let text = text(sample)?;
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte);
        } else {
            out.push(b'%');
            to_hex(&[byte], out);
        }
    }
    bounded(out, text).map(Sample::Str)
}

#[cfg(test)]
mod tests {
    use crate::conv::OUTPUT;
    use crate::conv::testing::{check, convert, refused};
    use crate::sample::Sample;
    use crate::testing::Rng;

    #[test]
    fn codes_are_those_of_haproxy() {
        for (input, steps, expected) in [
            (&b"hello"[..], "base64", Some("aGVsbG8=")),
            (b"\x00\xff\x10", "base64", Some("AP8Q")),
            (b"", "base64", Some("")),
            (b"\xfb\xff", "base64", Some("+/8=")),
            (b"aGVsbG8=", "b64dec", Some("hello")),
            (b"aGVsbG8", "b64dec", None),
            (b"aGVsbG8h", "b64dec", Some("hello!")),
            (b"aGV sbG8=", "b64dec", None),
            (b"aGV*bG8=", "b64dec", None),
            (b"aGVsbG9=", "b64dec", Some("hello")),
            (b"====", "b64dec", None),
            (b"aGVsbA==", "b64dec", Some("hell")),
            (b"aGVsbA=", "b64dec", None),
            (b"", "b64dec", Some("")),
            (b"\xfb\xff\x10", "ub64enc", Some("-_8Q")),
            (b"\xfb\xff", "ub64enc", Some("-_8")),
            (b"-_8", "ub64dec,hex", Some("FBFF")),
            (b"-_8QA", "ub64dec,hex", None),
            (b"+/8", "ub64dec,hex", None),
            (b"a", "ub64dec,hex", None),
            (b"ab", "ub64dec,hex", Some("69")),
            (b"abc", "hex", Some("616263")),
            (b"", "hex", Some("")),
            (b"2a", "hex2i", Some("42")),
            (b"", "hex2i", Some("0")),
            (b"zz", "hex2i", None),
            (b"2az", "hex2i", None),
            (b"0x2a", "hex2i", None),
            (b"ffffffffffffffff", "hex2i", Some("-1")),
            (b"1ffffffffffffffff", "hex2i", Some("-1")),
            (b"7fffffffffffffff", "hex2i", Some("9223372036854775807")),
            (b"\x01\x02\x03\x04\x05\x06\x07", "be2dec(:,2)", Some("258:772:1286:7")),
            (b"\x01\x02\x03\x04\x05\x06\x07", "be2dec(-,2,1)", Some("258-772-1286")),
            (b"\x01\x02\x03\x04\x05\x06\x07", "be2dec(,2,1)", Some("2587721286")),
            (b"\x7f\x00\x00\x01", "be2dec(.,1)", Some("127.0.0.1")),
            (b"\xff\xff\xff\xff\xff\xff\xff\xff", "be2dec(.,8)", Some("18446744073709551615")),
            (b"\x01\x02\x03\x04\x05\x06\x07", "le2dec(:,2)", Some("513:1027:1541:7")),
            (b"\x01\x02\x03\x04\x05\x06\x07", "be2hex", Some("01020304050607")),
            (b"\x01\x02\x03\x04\x05\x06\x07", "be2hex(:,2)", Some("0102:0304:0506:07")),
            (b"\x01\x02\x03\x04\x05\x06\x07", "be2hex(--,2,1)", Some("0102--0304--0506")),
            (b"\x01\x02\x03\x04\x05\x06\x07\x08", "be2hex(,3,1)", Some("010203040506")),
            (b"\x01\x02\x03\x04\xff", "base2", Some("0000000100000010000000110000010011111111")),
            (b"a%20b+c?d+e%2fx", "url_dec", Some("a b+c?d e/x")),
            (b"a%20b+c?d+e%2fx", "url_dec(0)", Some("a b+c?d e/x")),
            (b"a%20b+c?d+e", "url_dec(1)", Some("a b c?d e")),
            (b"%41%4a%4A", "url_dec", Some("AJJ")),
            (b"a%00b", "url_dec", Some("a\0b")),
            (b"%zz", "url_dec", None),
            (b"%4g", "url_dec", None),
            (b"a%4", "url_dec", None),
            (b"a%", "url_dec", None),
            (b"a b&c/d?e=1", "url_enc", Some("a%20b%26c%2Fd%3Fe%3D1")),
            (b"\xe9\xff~\x7f_-.!*()[]:;@", "url_enc", Some("%E9%FF~%7F_-.%21%2A%28%29%5B%5D%3A%3B%40")),
            (b"a", "url_enc(query)", Some("a")),
        ] {
            check(Sample::Bin(input), steps, expected);
        }
        check(Sample::Int(1), "htonl,hex", Some("00000001"));
        check(Sample::Int(-1), "htonl,hex", Some("FFFFFFFF"));
        check(Sample::Int(4_294_967_297), "htonl,hex", Some("00000001"));
        check(Sample::Int(5), "hex", Some("0000000000000005"));
        check(Sample::Ip([1, 2, 3, 4].into()), "hex", Some("01020304"));
    }

    #[test]
    fn bad_arguments_are_refused() {
        for steps in ["be2dec(.,9)", "be2dec(.,0)", "be2hex(:,0)", "be2hex(:)", "be2hex(:,-1)", "url_enc(path)"] {
            refused(Sample::Bin(b""), steps);
        }
    }

    /// What is encoded and decoded is what it was; decoders take any bytes.
    #[test]
    fn codes_come_back() {
        let seed = 0x5eed_0018;
        let mut rng = Rng::new(seed);
        for round in 0..500 {
            let input: Vec<u8> =
                (0..rng.below(40)).map(|_| b" %+/=?-_azAZ09\x00\xff"[rng.below(16) as usize]).collect();
            let hex = convert(Sample::Bin(&input), "hex");
            for steps in ["base64,b64dec,hex", "ub64enc,ub64dec,hex", "url_enc,url_dec,hex"] {
                assert_eq!(
                    convert(Sample::Bin(&input), steps),
                    hex,
                    "seed {seed:#x} round {round} {steps} of {input:?}"
                );
            }
            for steps in ["b64dec", "ub64dec", "url_dec", "hex2i"] {
                convert(Sample::Str(&input), steps);
            }
        }
    }

    #[test]
    fn output_is_bounded() {
        let long = vec![b' '; OUTPUT / 2 + 1];
        for steps in ["hex", "url_enc", "base2", "be2hex(----,1)", "be2dec(----,1)"] {
            check(Sample::Bin(&long), steps, None);
        }
        assert!(convert(Sample::Bin(&long), "base64").is_some());
    }
}
