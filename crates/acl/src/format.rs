//! Formats: text with `%[fetch]` items and `%xx` aliases, as in header values, redirects, answers and log lines.
//!
//! Called by actions, and through [`LogFormat`] by config (compile) and frontend (write). In log lines what is undefined is
//! written as `-`, elsewhere as nothing. Invariant: no text of a peer ends the line or field value it stands in, and writing
//! allocates nothing once the buffers of the [`Ctx`] are warm.

mod alias;
mod cbor;
mod date;
mod encode;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

pub use alias::{ALIASES, Alias};
use encode::{Cast, Flags, Out, Use, hex, json, json_string};

use crate::acl::Acls;
use crate::cond::Scope;
use crate::ctx::{Ctx, Phase};
use crate::error::{Fault, RuleError, code};
use crate::expr::Expr;
use crate::library::Env;
use crate::sample::{Sample, Type};
use crate::word::Word;

/// A log line, or a unique id, as configured.
#[derive(Clone)]
pub struct LogFormat {
    text: Arc<str>,
    format: Format,
}

impl LogFormat {
    /// `option httplog`.
    pub const HTTP: &'static str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc \
                                    %sq/%bq %hr %hs %{+Q}r";
    /// `option httpslog`.
    pub const HTTPS: &'static str = "%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %ac/%fc/%bc/%sc/%rc \
                                     %sq/%bq %hr %hs %{+Q}r %[fc_err]/%[ssl_fc_err,hex]/%[ssl_c_err]/%[ssl_c_ca_err]/\
                                     %[ssl_fc_is_resumed] %[ssl_fc_sni]/%sslv/%sslc";
    /// `option httplog clf`.
    pub const HTTP_CLF: &'static str = "%{+Q}o %{-Q}ci - - [%trg] %r %ST %B \"\" \"\" %cp %ms %ft %b %s %TR %Tw %Tc %Tr %Ta \
                                        %tsc %ac %fc %bc %sc %rc %sq %bq %CC %CS %hrl %hsl";
    /// `option tcplog`.
    pub const TCP: &'static str = "%ci:%cp [%t] %ft %b/%s %Tw/%Tc/%Tt %B %ts %ac/%fc/%bc/%sc/%rc %sq/%bq";
    /// `option tcplog clf`.
    pub const TCP_CLF: &'static str = "%{+Q}o %{-Q}ci - - [%T] \"TCP \" 000 %B \"\" \"\" %cp %ms %ft %b %s %Th %Tw %Tc %Tt %U \
                                       %ts-- %ac %fc %bc %sc %rc %sq %bq \"\" \"\" ";

    /// Compiles `log-format`, `log-format-sd` or `error-log-format`: written at the end, so that all there is has data.
    pub fn compile(text: &str, env: &Env<'_>) -> Result<LogFormat, Vec<RuleError>> {
        LogFormat::parse(text, env, Phase::Done, Use::Log)
    }

    /// Compiles `unique-id-format`: written when the request is there, and fit for a field value.
    pub fn compile_id(text: &str, env: &Env<'_>) -> Result<LogFormat, Vec<RuleError>> {
        LogFormat::parse(text, env, Phase::Request, Use::Id)
    }

    fn parse(text: &str, env: &Env<'_>, phase: Phase, usage: Use) -> Result<LogFormat, Vec<RuleError>> {
        let acls = Acls::default();
        let scope = Scope { text, phase, kind: None, acls: &acls, env: *env };
        if text.trim().is_empty() {
            let fault = Fault::new(code::EMPTY, 0..text.len(), "the format is empty").hint("leave the key out");
            return Err(vec![fault.at(0)]);
        }
        match parse::parse(&Word::verbatim(text), &scope, usage) {
            Ok(format) => Ok(LogFormat { text: text.into(), format }),
            Err(fault) => Err(vec![fault.at(0)]),
        }
    }

    /// As written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends the line, without a line end.
    pub fn write(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        self.format.write(ctx, out);
    }
}

impl PartialEq for LogFormat {
    /// What the names in it refer to is not compared: tables and proxies are compared for themselves.
    fn eq(&self, other: &LogFormat) -> bool {
        self.text == other.text && self.format.usage == other.format.usage
    }
}

impl fmt::Debug for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LogFormat").field(&self.text).finish()
    }
}

/// Compiled text with items.
#[derive(Clone, Debug)]
pub(crate) struct Format {
    usage: Use,
    /// `%{+json}o`, `%{+cbor}o`: the named items make one JSON object or CBOR map, and all else is left out.
    object: Option<Flags>,
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
enum Piece {
    Text(Vec<u8>),
    /// One blank, unless the line begins here or a blank stands before it.
    Blank,
    Item(Box<Item>),
}

#[derive(Clone, Debug)]
struct Item {
    what: What,
    flags: Flags,
    name: Option<Box<str>>,
    cast: Option<Cast>,
}

#[derive(Clone, Debug)]
enum What {
    Sample(Expr),
    Alias(&'static Alias),
}

impl Format {
    /// A field value, a path, the name of a backend. In samples control bytes become `%HH`, as in HAProxy.
    pub(crate) fn parse(word: &Word, scope: &Scope<'_>) -> Result<Format, Fault> {
        parse::parse(word, scope, Use::Value)
    }

    /// The body of an answer (`lf-string`, `lf-file`): as a value, and its own text may have line breaks.
    pub(crate) fn parse_body(word: &Word, scope: &Scope<'_>) -> Result<Format, Fault> {
        parse::parse(word, scope, Use::Body)
    }

    /// The value of a variable (`set-var-fmt`): bytes stay as they are.
    pub(crate) fn parse_var(word: &Word, scope: &Scope<'_>) -> Result<Format, Fault> {
        parse::parse(word, scope, Use::Var)
    }

    /// The text, when there is no item in it.
    pub(crate) fn literal(&self) -> Option<&[u8]> {
        match self.pieces.as_slice() {
            _ if self.object.is_some() => None,
            [] => Some(b""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// Appends the text with its items filled in.
    pub(crate) fn write(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        match self.object {
            None => {}
            Some(flags) if flags.cbor => return cbor_into(flags, ctx, out, |out| self.write_map(ctx, out)),
            Some(_) => return self.write_object(ctx, out),
        }
        let mut blank = true;
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => {
                    out.extend_from_slice(text);
                    blank = false;
                }
                Piece::Blank if blank => {}
                Piece::Blank => {
                    out.push(b' ');
                    blank = true;
                }
                Piece::Item(item) => blank &= !item.write(ctx, self.usage, out),
            }
        }
    }

    fn named(&self) -> impl Iterator<Item = (&str, &Item)> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Item(item) => Some((item.name.as_deref()?, &**item)),
            Piece::Text(_) | Piece::Blank => None,
        })
    }

    fn write_map(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        out.push(cbor::MAP);
        for (name, item) in self.named() {
            cbor::text(name.as_bytes(), out);
            item.write_value(ctx, cbor::value, out);
        }
        out.push(cbor::BREAK);
    }

    fn write_object(&self, ctx: &Ctx<'_>, out: &mut Vec<u8>) {
        out.push(b'{');
        for (at, (name, item)) in self.named().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            json_string(name.as_bytes(), out);
            out.extend_from_slice(b": ");
            item.write_value(ctx, json, out);
        }
        out.push(b'}');
    }
}

/// How a value is written as data.
type Encode = fn(Option<Sample<'_>>, Option<Cast>, &mut Vec<u8>);

/// CBOR as it is, or in digits.
fn cbor_into(flags: Flags, ctx: &Ctx<'_>, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    match flags.bin {
        true => write(out),
        false => ctx.buffers.with(|bytes| {
            write(bytes);
            hex(bytes, out);
        }),
    }
}

impl Item {
    /// Whether it stands for something, be it nothing at all.
    fn write(&self, ctx: &Ctx<'_>, usage: Use, bytes: &mut Vec<u8>) -> bool {
        if self.flags.encodes() {
            match self.flags.cbor {
                true => cbor_into(self.flags, ctx, bytes, |bytes| self.write_value(ctx, cbor::value, bytes)),
                false => self.write_value(ctx, json, bytes),
            }
            return true;
        }
        let mut out = Out::new(bytes, self.flags, usage);
        match &self.what {
            What::Alias(alias) => (alias.run)(ctx, &mut out),
            What::Sample(expr) => {
                if expr.one(ctx, |sample| out.sample(Some(sample))).is_none() {
                    out.sample(None);
                }
            }
        }
        !out.is_skipped()
    }

    fn write_value(&self, ctx: &Ctx<'_>, encode: Encode, bytes: &mut Vec<u8>) {
        match &self.what {
            What::Sample(expr) => {
                if expr.one(ctx, |sample| encode(Some(sample), self.cast, bytes)).is_none() {
                    encode(None, self.cast, bytes);
                }
            }
            What::Alias(alias) => ctx.buffers.with(|text| {
                let mut out = Out::bare(text);
                (alias.run)(ctx, &mut out);
                let absent = out.is_absent();
                let sample = match Sample::Str(text) {
                    _ if absent => None,
                    text if alias.output == Type::Int => text.as_int().map(Sample::Int),
                    text => Some(text),
                };
                encode(sample, self.cast, bytes);
            }),
        }
    }
}

/// Canonical text: parsed again it is the same format.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(flags) = self.object {
            f.write_str(match (flags.cbor, flags.bin) {
                (false, _) => "%{+json}o",
                (true, false) => "%{+cbor}o",
                (true, true) => "%{+cbor,+bin}o",
            })?;
        }
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => f.write_str(&String::from_utf8_lossy(text).replace('%', "%%"))?,
                Piece::Blank => f.write_str(" ")?,
                Piece::Item(item) => item.print(self.object.unwrap_or_default(), f)?,
            }
        }
        Ok(())
    }
}

impl Item {
    /// `above`: the flags that make one object of all items.
    fn print(&self, above: Flags, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("%")?;
        match (&self.name, self.cast) {
            (None, None) => {}
            (name, cast) => {
                write!(f, "({}", name.as_deref().unwrap_or_default())?;
                match cast {
                    Some(cast) => write!(f, ":{})", cast.name())?,
                    None => f.write_str(")")?,
                }
            }
        }
        let above = Flags { json: above.json, cbor: above.cbor, bin: above.bin, ..Flags::default() };
        let changed = Flags::NAMES.into_iter().filter(|name| self.flags.get(name) != above.get(name));
        let list: Vec<String> =
            changed.map(|name| format!("{}{name}", if self.flags.get(name) { '+' } else { '-' })).collect();
        if !list.is_empty() {
            write!(f, "{{{}}}", list.join(","))?;
        }
        match &self.what {
            What::Sample(expr) => write!(f, "[{}]", expr.source()),
            What::Alias(alias) => f.write_str(alias.name),
        }
    }
}
