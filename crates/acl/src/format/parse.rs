//! The parser of formats: text, `%[fetch]`, `%xx`, flags and names of items.
//!
//! Called by the constructors of [`Format`]. Everything is looked up here; an item whose data does not exist where the
//! format is used is a mistake of the file.

use std::ops::Range;

use super::alias::{self, ALIASES};
use super::encode::{Cast, Flags, Use};
use super::{Format, Item, Piece, What};
use crate::cond::{Scope, not_in_phase};
use crate::error::{Fault, code};
use crate::expr::Expr;
use crate::word::Word;

const LITERAL: &str = "write %% for a percent sign";

pub(super) fn parse(word: &Word, scope: &Scope<'_>, usage: Use) -> Result<Format, Fault> {
    let mut parser = Parser { word, scope, usage, flags: Flags::default(), object: None, pieces: Vec::new() };
    let bytes = &word.bytes;
    let mut pos = 0;
    while pos < bytes.len() {
        pos = match bytes[pos] {
            b'%' if bytes.get(pos + 1) == Some(&b'%') => {
                parser.text(b'%');
                pos + 2
            }
            b'%' => parser.item(pos)?,
            b' ' if usage.merges() => {
                parser.blank(pos)?;
                pos + 1
            }
            byte => {
                parser.check(byte, pos)?;
                parser.text(byte);
                pos + 1
            }
        };
    }
    if parser.object.is_some() {
        parser.pieces.retain(|piece| matches!(piece, Piece::Item(item) if item.name.is_some()));
    }
    Ok(Format { usage, object: parser.object, pieces: parser.pieces })
}

/// What an item is called, and its type in JSON.
type Name = (Option<Box<str>>, Option<Cast>);

struct Parser<'p> {
    word: &'p Word,
    scope: &'p Scope<'p>,
    usage: Use,
    /// What `%o` set for the items that follow.
    flags: Flags,
    object: Option<Flags>,
    pieces: Vec<Piece>,
}

impl Parser<'_> {
    fn text(&mut self, byte: u8) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(byte),
            _ => self.pieces.push(Piece::Text(vec![byte])),
        }
    }

    /// Blanks side by side are one, and none begins a line.
    fn blank(&mut self, pos: usize) -> Result<(), Fault> {
        match self.pieces.last() {
            None | Some(Piece::Blank) => {}
            // In haproxy.cfg a backslash protects the blank from ending the word; here it would be logged.
            Some(Piece::Text(text)) if text.ends_with(b"\\") => {
                let fault = self.fault(pos - 1..pos + 1, "a blank needs no backslash here");
                return Err(fault.hint("leave the backslash out"));
            }
            Some(_) => self.pieces.push(Piece::Blank),
        }
        Ok(())
    }

    /// Whether `byte` of the text may stand where the format goes.
    fn check(&self, byte: u8, pos: usize) -> Result<(), Fault> {
        let at = self.word.span(pos..pos + 1);
        let broken = matches!(byte, b'\r' | b'\n' | 0);
        match self.usage {
            Use::Value | Use::Id if broken => {
                Err(Fault::new(code::HEADER, at, "a field value holds no line break and no NUL"))
            }
            Use::Log if broken => Err(Fault::new(code::FORMAT, at, "a log line holds no line break and no NUL")),
            _ => Ok(()),
        }
    }

    fn fault(&self, part: Range<usize>, message: impl Into<String>) -> Fault {
        Fault::new(code::FORMAT, self.word.span(part), message)
    }

    /// Reads the item whose percent sign stands at `start`; where the text goes on.
    fn item(&mut self, start: usize) -> Result<usize, Fault> {
        let bytes = &self.word.bytes;
        let mut pos = start + 1;
        let (mut name, mut cast) = (None, None);
        if bytes.get(pos) == Some(&b'(') {
            let inside = self.enclosed(pos, b')', "the name is never closed", "write %(name)item")?;
            pos = inside.end + 1;
            (name, cast) = self.name(inside)?;
        }
        let mut flags = self.flags;
        if bytes.get(pos) == Some(&b'{') {
            let inside = self.enclosed(pos, b'}', "the flags are never closed", "write %{+Q}item")?;
            pos = inside.end + 1;
            self.set_flags(inside, &mut flags)?;
        }
        match bytes.get(pos) {
            None => Err(self.fault(start..bytes.len(), "the item after `%` is missing").hint(LITERAL)),
            Some(b'[') => {
                let Some(length) = closing_bracket(&bytes[pos + 1..]) else {
                    return Err(self
                        .fault(start..bytes.len(), "the item is never closed")
                        .hint("end it with `]`; an item with blanks is quoted as a whole"));
                };
                let (inside, end) = (pos + 1..pos + 1 + length, pos + 2 + length);
                let expr = Expr::parse_one(self.word, inside, &self.scope.env)?;
                if !expr.exists_in(self.scope.phase) {
                    return Err(not_in_phase(expr.name(), self.scope.phase, self.word.span(start..end)));
                }
                self.pieces.push(Piece::Item(Box::new(Item { what: What::Sample(expr), flags, name, cast })));
                Ok(end)
            }
            Some(_) => {
                let length = bytes[pos..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                let end = pos + length;
                let found = &bytes[pos..end];
                if found == b"o" {
                    self.flags = flags;
                    self.object = flags.encodes().then_some(flags);
                    return Ok(end);
                }
                let Some(alias) = alias::find(found) else {
                    return Err(self.unknown(start, pos..end));
                };
                if !alias.phases.contains(&self.scope.phase) {
                    let shown = format!("%{}", alias.name);
                    return Err(not_in_phase(&shown, self.scope.phase, self.word.span(start..end)));
                }
                self.pieces.push(Piece::Item(Box::new(Item { what: What::Alias(alias), flags, name, cast })));
                Ok(end)
            }
        }
    }

    fn unknown(&self, start: usize, part: Range<usize>) -> Fault {
        let name = String::from_utf8_lossy(&self.word.bytes[part.clone()]).into_owned();
        if name.is_empty() && part.start > start + 1 {
            return self.fault(start..part.end, "flags or a name stand before no item").hint("write %{+Q}item");
        }
        let fault = self.fault(start..part.end.max(start + 1), format!("there is no item `%{name}`"));
        // Case makes the difference between most of the names: the nearest one is told only when it is the only one.
        let mut like = ALIASES.iter().filter(|alias| alias.name.eq_ignore_ascii_case(&name));
        match (like.next(), like.next()) {
            (Some(alias), None) => fault.hint(format!("did you mean `%{}`?", alias.name)),
            _ => fault.hint(format!("{LITERAL}, or %[...] for a fetch")),
        }
    }

    /// What stands between the bracket at `open` and the next `close`.
    fn enclosed(&self, open: usize, close: u8, message: &str, hint: &str) -> Result<Range<usize>, Fault> {
        let bytes = &self.word.bytes;
        match memchr::memchr(close, &bytes[open..]) {
            Some(length) => Ok(open + 1..open + length),
            None => Err(self.fault(open..bytes.len(), message).hint(hint)),
        }
    }

    /// `name`, `name:type`, `:type`.
    fn name(&self, part: Range<usize>) -> Result<Name, Fault> {
        let text = String::from_utf8_lossy(&self.word.bytes[part.clone()]);
        let (name, kind) = text.split_once(':').map_or((&*text, None), |(name, kind)| (name, Some(kind)));
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)) {
            let message = format!("`{name}` is no name of an item");
            return Err(self.fault(part, message).hint("a name is made of letters, digits, -, _ and ."));
        }
        if name.is_empty() && kind.is_none() {
            return Err(self.fault(part.start - 1..part.end + 1, "the name of the item is empty"));
        }
        let cast = match kind {
            None => None,
            Some(kind) => match Cast::ALL.into_iter().find(|cast| cast.name() == kind) {
                Some(cast) => Some(cast),
                None => {
                    let message = format!("`{kind}` is no type of an item");
                    return Err(self.fault(part, message).hint("the types are str, sint and bool"));
                }
            },
        };
        Ok(((!name.is_empty()).then(|| name.into()), cast))
    }

    fn set_flags(&self, part: Range<usize>, flags: &mut Flags) -> Result<(), Fault> {
        let mut start = part.start;
        for piece in self.word.bytes[part.clone()].split(|&byte| byte == b',') {
            let range = start..start + piece.len();
            start = range.end + 1;
            let text = String::from_utf8_lossy(piece);
            let text = text.trim();
            let known = "the flags are +Q, +X, +E, +json, +cbor and +bin, and the same with - to turn them off";
            let (on, name) = match (text.strip_prefix('+'), text.strip_prefix('-')) {
                (Some(name), _) => (true, name),
                (None, Some(name)) => (false, name),
                (None, None) if text.is_empty() && part.len() == piece.len() => continue,
                (None, None) => {
                    return Err(self.fault(range, format!("`{text}` begins with neither + nor -")).hint(known));
                }
            };
            if !Flags::NAMES.contains(&name) {
                return Err(self.fault(range, format!("there is no flag `{name}`")).hint(known));
            }
            flags.set(name, on);
        }
        if flags.bin && !flags.cbor {
            return Err(self.fault(part, "the flag `bin` goes with `cbor`").hint("write +cbor,+bin"));
        }
        if flags.bin && matches!(self.usage, Use::Value | Use::Id) {
            return Err(self.fault(part, "a field value holds no bytes as they are").hint("leave +bin out"));
        }
        Ok(())
    }
}

/// Where the item ends: at a bracket outside the arguments of fetch and converters, which are read as `Expr` reads them.
fn closing_bracket(bytes: &[u8]) -> Option<usize> {
    let (mut inside, mut quote) = (false, None);
    let mut pos = 0;
    while pos < bytes.len() {
        match (bytes[pos], quote) {
            (b']', _) if !inside => return Some(pos),
            (b'(', _) if !inside => inside = true,
            (b'\\', None | Some(b'"')) if inside => pos += 1,
            (byte, Some(open)) if byte == open => quote = None,
            (byte @ (b'\'' | b'"'), None) if inside => quote = Some(byte),
            (b')', None) => inside = false,
            _ => {}
        }
        pos += 1;
    }
    None
}
