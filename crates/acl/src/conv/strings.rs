//! Converters of text: case, trimming, lengths.

use crate::conv::conv_table;
use crate::ctx::Ctx;
use crate::sample::Sample;
use crate::value::Value;

conv_table! {
    "length" "length" [] Str -> Int length,
        "The length in bytes.", "req.hdr(host),length";
    "lower" "lower" [] Str -> Str lower,
        "Upper-case ASCII letters made lower case.", "req.hdr(host),lower";
    "upper" "upper" [] Str -> Str upper,
        "Lower-case ASCII letters made upper case.", "req.hdr(host),upper";
}

fn text<'a>(sample: Sample<'a>) -> Option<&'a [u8]> {
    match sample {
        Sample::Str(text) | Sample::Bin(text) => Some(text),
        Sample::Bool(_) | Sample::Int(_) | Sample::Ip(_) => None,
    }
}

fn length<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, _: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    text(sample).map(|text| Sample::Int(i64::try_from(text.len()).unwrap_or(i64::MAX)))
}

fn lower<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    out.extend(text(sample)?.iter().map(u8::to_ascii_lowercase));
    Some(Sample::Str(out))
}

fn upper<'a>(sample: Sample<'a>, _: &'a [Value], _: &'a Ctx<'_>, out: &'a mut Vec<u8>) -> Option<Sample<'a>> {
    out.extend(text(sample)?.iter().map(u8::to_ascii_uppercase));
    Some(Sample::Str(out))
}
