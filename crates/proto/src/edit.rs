//! Changes to a head: fields, target, method, status.
//!
//! Called by rules and by the transaction. Whatever is accepted here can be written without checking again: no edit can
//! split a message or change its framing. Edits of one message are bounded by [`MAX_EDITS`].

use std::fmt;

use crate::head::{Field, Head, Span};
use crate::target::{self, Target};
use crate::{FieldName, Method, Version, name};

/// The most bytes that edits may add to one message.
pub const MAX_EDITS: usize = 32 * 1024;

/// Why an edit was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadEdit {
    /// The field name or method is no token.
    BadName,
    /// The value holds a control character.
    BadValue,
    /// The field belongs to the connection; the encoder writes it.
    HopByHop,
    /// The target is empty, has bytes outside VCHAR, or has a form its method does not allow.
    BadTarget,
    /// The status is not in 100 to 599.
    BadStatus,
    /// All edits together would pass [`MAX_EDITS`].
    TooLarge,
}

impl BadEdit {
    /// What is wrong, as a sentence without a subject.
    #[must_use]
    pub fn sentence(self) -> &'static str {
        match self {
            BadEdit::BadName => "has a name that is not a token",
            BadEdit::BadValue => "has a control character in its value",
            BadEdit::HopByHop => "names a field that belongs to the connection",
            BadEdit::BadTarget => "has an invalid request target",
            BadEdit::BadStatus => "has a status outside 100 to 599",
            BadEdit::TooLarge => "makes the message larger than the limit",
        }
    }
}

impl fmt::Display for BadEdit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the change {}", self.sentence())
    }
}

impl std::error::Error for BadEdit {}

impl Head {
    /// Adds a field after all others. Blanks around the value are dropped.
    ///
    /// # Errors
    /// The name is no token or belongs to the connection, the value has a control character, or there were too many
    /// edits. Nothing changed then.
    pub fn add(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadEdit> {
        let id = name::check(name)?;
        self.push(id, name, value)
    }

    /// As [`Head::add`], with a name known before.
    ///
    /// # Errors
    /// As [`Head::add`].
    pub fn add_named(&mut self, name: &FieldName, value: &[u8]) -> Result<(), BadEdit> {
        self.push(name.check()?, name.as_bytes(), value)
    }

    /// As [`Head::add`], with a line known before.
    ///
    /// # Errors
    /// There were too many edits. Nothing changed then.
    pub fn add_line(&mut self, line: &FieldLine) -> Result<(), BadEdit> {
        let field = self.copy_line(line)?;
        self.take(field);
        Ok(())
    }

    /// Removes all fields of that name and adds one. Host in a request with an absolute-form target changes the target
    /// too, as the two must agree (RFC 9112 §3.2.2).
    ///
    /// # Errors
    /// As [`Head::add`].
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), BadEdit> {
        let id = name::check(name)?;
        let field = self.write_line(id, 0, name, value)?;
        self.replace_by(field, name, value)
    }

    /// As [`Head::set`], with a name known before.
    ///
    /// # Errors
    /// As [`Head::add`].
    pub fn set_named(&mut self, name: &FieldName, value: &[u8]) -> Result<(), BadEdit> {
        let field = self.write_line(name.check()?, 0, name.as_bytes(), value)?;
        self.replace_by(field, name.as_bytes(), value)
    }

    /// As [`Head::set`], with a line known before.
    ///
    /// # Errors
    /// There were too many edits, or the line is a Host that does not fit the target. Nothing changed then.
    pub fn set_line(&mut self, line: &FieldLine) -> Result<(), BadEdit> {
        let field = self.copy_line(line)?;
        self.replace_by(field, line.name(), line.value())
    }

    /// Removes all fields of that name and returns how many there were. The framing of the message does not change.
    pub fn remove(&mut self, name: &[u8]) -> usize {
        self.remove_first(self.fields.len(), name::classify(name), name)
    }

    /// As [`Head::remove`], with a name known before.
    pub fn remove_named(&mut self, name: &FieldName) -> usize {
        self.remove_first(self.fields.len(), name.id(), name.as_bytes())
    }

    /// Lets `change` rewrite the value of each field of that name: it sees the value, and says whether what it wrote into
    /// the buffer takes its place. Names, their case and the order of the fields stay. Returns how many were changed.
    ///
    /// # Errors
    /// As [`Head::add`]. Nothing changed then.
    pub fn rewrite(
        &mut self,
        name: &[u8],
        mut change: impl FnMut(&[u8], &mut Vec<u8>) -> bool,
    ) -> Result<usize, BadEdit> {
        let id = name::check(name)?;
        let before = self.edits.len();
        let mut value = Vec::new();
        let mut changed: Vec<(usize, Field)> = Vec::new();
        for at in 0..self.fields.len() {
            let field = self.fields[at];
            value.clear();
            if !self.is_named(&field, id, name) || !change(self.span(&field, field.value, field.value_end), &mut value)
            {
                continue;
            }
            if id == name::HOST {
                // There is only one, and the target follows it.
                return self.set(name, &value).map(|()| 1);
            }
            let spelling = self.span(&field, field.start, field.name_end).to_vec();
            match self.write_line(id, field.flags & Field::HOP, &spelling, &value) {
                Ok(field) => changed.push((at, field)),
                Err(why) => {
                    self.edits.truncate(before);
                    return Err(why);
                }
            }
        }
        for (at, field) in &changed {
            self.fields[*at] = *field;
        }
        Ok(changed.len())
    }

    /// Changes the target; Host follows when the new one has the absolute form.
    ///
    /// # Errors
    /// The target is invalid for the method, or there were too many edits. Nothing changed then.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), BadEdit> {
        let authority = Target::check(target, self.line.method).map_err(|_| BadEdit::BadTarget)?;
        if let Some(authority) = authority
            && authority.scheme.is_some()
            && self.find(name::HOST) != Some(authority.bytes)
        {
            self.room(target.len() + authority.bytes.len() + 8)?;
            let before = self.fields.len();
            self.push(name::HOST, b"Host", authority.bytes)?;
            self.remove_first(before, name::HOST, b"Host");
        }
        self.append_target(target)
    }

    /// Takes scheme and authority off a target in absolute form; Host keeps what they said.
    pub fn set_origin_form(&mut self) {
        let line = &mut self.line;
        let source = if line.target.edited { &self.edits[..] } else { self.block.filled() };
        let Some(target) = source.get(line.target.start as usize..line.target.end as usize) else { return };
        let parts = Target::split(target, line.method);
        if parts.scheme.is_none() {
            return;
        }
        let path = match (parts.path, parts.query) {
            // An absolute form without a path has nothing to point to: "/" is ours to say.
            (b"/", _) if !target.ends_with(b"/") && !target.contains(&b'?') => None,
            (path, query) => {
                let length = path.len() + query.map_or(0, |query| query.len() + 1);
                target.len().checked_sub(length).filter(|&at| target.get(at) == Some(&b'/'))
            }
        };
        match path {
            Some(at) => line.target.start += at as u32,
            None => {
                let target =
                    [&b"/"[..], parts.query.map_or(&b""[..], |_| &b"?"[..]), parts.query.unwrap_or_default()].concat();
                // A head that is full of edits keeps the form it has.
                let _ = self.append_target(&target);
            }
        }
        self.line.verbatim = 0;
    }

    /// Says what the peer really spoke, where its message was translated. What is written is HTTP/1.1 all the same.
    pub fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Changes the method. The target is not looked at again.
    ///
    /// # Errors
    /// The method is no token, or there were too many edits. CONNECT can neither be set nor changed: it has another form
    /// of target and another meaning of the body.
    pub fn set_method(&mut self, method: &[u8]) -> Result<(), BadEdit> {
        let kind = Method::from_bytes(method);
        if !name::is_token(method) || (kind == Method::Connect) != (self.line.method == Method::Connect) {
            return Err(BadEdit::BadName);
        }
        self.line.method_bytes = self.append(method)?;
        self.line.method = kind;
        self.line.verbatim = 0;
        Ok(())
    }

    /// Changes the status and the reason of a response. The framing does not change, so the new status must allow a body
    /// exactly when the old one did.
    ///
    /// # Errors
    /// The status is out of range or contradicts the framing, the reason has a control character, or there were too many
    /// edits.
    pub fn set_status(&mut self, status: u16, reason: &[u8]) -> Result<(), BadEdit> {
        let bodiless = |s: u16| matches!(s, 100..=199 | 204 | 304);
        if !(100..=599).contains(&status) || bodiless(status) != bodiless(self.line.status) {
            return Err(BadEdit::BadStatus);
        }
        if !name::is_value(reason) {
            return Err(BadEdit::BadValue);
        }
        self.line.reason = self.append(reason)?;
        self.line.status = status;
        self.line.verbatim = 0;
        Ok(())
    }

    fn push(&mut self, id: u8, name: &[u8], value: &[u8]) -> Result<(), BadEdit> {
        let field = self.write_line(id, 0, name, value)?;
        self.take(field);
        Ok(())
    }

    #[inline]
    fn take(&mut self, field: Field) {
        self.seen |= name::bit(field.id);
        self.fields.push(field);
    }

    /// Puts a field that was just written in the place of all others of its name.
    fn replace_by(&mut self, field: Field, name: &[u8], value: &[u8]) -> Result<(), BadEdit> {
        if field.id == name::HOST
            && let Some(target) = target::with_authority(self.target(), name::trim(value))
        {
            self.append_target(&target)?;
        }
        self.remove_first(self.fields.len(), field.id, name);
        self.take(field);
        Ok(())
    }

    fn copy_line(&mut self, line: &FieldLine) -> Result<Field, BadEdit> {
        self.room(line.text.len())?;
        let start = self.edits.len() as u32;
        self.edits.extend_from_slice(&line.text);
        let (name_end, end) = (start + line.name_len, start + line.text.len() as u32);
        let (value, value_end) = (name_end + 2, end - 2);
        Ok(Field { start, end, name_end, value, value_end, id: line.id, flags: Field::EDIT })
    }

    fn write_line(&mut self, id: u8, flags: u8, name: &[u8], value: &[u8]) -> Result<Field, BadEdit> {
        let value = name::trim(value);
        if !name::is_value(value) {
            return Err(BadEdit::BadValue);
        }
        let length = name.len() + value.len() + 4;
        self.room(length)?;
        self.edits.reserve(length);
        let start = self.edits.len() as u32;
        let name_end = start + name.len() as u32;
        let value_end = name_end + 2 + value.len() as u32;
        self.edits.extend_from_slice(name);
        self.edits.extend_from_slice(b": ");
        self.edits.extend_from_slice(value);
        self.edits.extend_from_slice(b"\r\n");
        let end = value_end + 2;
        Ok(Field { start, end, name_end, value: name_end + 2, value_end, id, flags: Field::EDIT | flags })
    }

    /// Flags the fields of that name among the first `n`.
    fn remove_first(&mut self, n: usize, id: u8, name: &[u8]) -> usize {
        if self.seen & name::bit(id) == 0 {
            return 0;
        }
        let mut removed = 0;
        for i in 0..n.min(self.fields.len()) {
            if self.is_named(&self.fields[i], id, name) {
                self.fields[i].flags |= Field::GONE;
                removed += 1;
            }
        }
        removed
    }

    fn append_target(&mut self, target: &[u8]) -> Result<(), BadEdit> {
        if !target::is_plain(target) {
            return Err(BadEdit::BadTarget);
        }
        self.line.target = self.append(target)?;
        self.line.verbatim = 0;
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<Span, BadEdit> {
        self.room(bytes.len())?;
        let start = self.edits.len() as u32;
        self.edits.extend_from_slice(bytes);
        Ok(Span { start, end: self.edits.len() as u32, edited: true })
    }

    fn room(&self, bytes: usize) -> Result<(), BadEdit> {
        if bytes <= MAX_EDITS - self.edits.len().min(MAX_EDITS) { Ok(()) } else { Err(BadEdit::TooLarge) }
    }
}

/// A whole field line known before the message it is put into.
#[derive(Clone, Debug)]
pub struct FieldLine {
    /// `name: value`, CR LF.
    text: Box<[u8]>,
    name_len: u32,
    id: u8,
}

impl FieldLine {
    /// The line of that name and value. Blanks around the value are dropped.
    ///
    /// # Errors
    /// As [`Head::add`].
    pub fn new(name: &FieldName, value: &[u8]) -> Result<FieldLine, BadEdit> {
        let id = name.check()?;
        let value = name::trim(value);
        if !name::is_value(value) {
            return Err(BadEdit::BadValue);
        }
        let text: Box<[u8]> = [name.as_bytes(), b": ", value, b"\r\n"].concat().into();
        if text.len() > MAX_EDITS {
            return Err(BadEdit::TooLarge);
        }
        Ok(FieldLine { text, name_len: name.as_bytes().len() as u32, id })
    }

    fn name(&self) -> &[u8] {
        &self.text[..self.name_len as usize]
    }

    fn value(&self) -> &[u8] {
        &self.text[self.name_len as usize + 2..self.text.len() - 2]
    }
}
