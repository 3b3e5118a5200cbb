//! The head of a message: a request or a response, over the bytes it was received in.
//!
//! The transaction owns one per direction and keeps it for the next message; rules, balancing and the log look at it.
//! Fields are spans over the received block, so case and order of names stay as received; an edit appends to a small
//! arena and a removal sets a flag, so no byte moves. Bytes of the block before [`Head::surplus`] must not be changed
//! by anybody else while the head is in use. Parsing is in `parse`, edits in `edit`, writing in `encode`.

use std::fmt;

use crate::target::Target;
use crate::{Buf, FieldName, Framing, Limits, Malformed, Method, Parsed, Version, name};

/// A request or response head; empty until it is parsed.
#[derive(Clone, Default)]
pub struct Head {
    pub(crate) block: Buf,
    /// Bytes that were not received: the lines of added fields, a changed target, method or reason.
    pub(crate) edits: Vec<u8>,
    pub(crate) fields: Vec<Field>,
    /// Length of the head in the block; 0 until it is complete.
    pub(crate) length: usize,
    /// How far the search for the end of the head went, and the size at which a partial head is parsed again.
    pub(crate) scanned: usize,
    pub(crate) next_try: usize,
    pub(crate) line: StartLine,
    pub(crate) version: Version,
    pub(crate) framing: Framing,
    /// The known names among `fields`; a bit may stay set after a removal.
    pub(crate) seen: u64,
    /// The known names that came more than once.
    pub(crate) repeated: u64,
    pub(crate) wishes: Wishes,
}

/// Where some bytes are: in the block, or in the edits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) edited: bool,
}

/// One field line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    /// The line, from the first byte of the name past its CR LF.
    pub(crate) start: u32,
    pub(crate) end: u32,
    pub(crate) name_end: u32,
    pub(crate) value: u32,
    pub(crate) value_end: u32,
    /// A number of [`name`].
    pub(crate) id: u8,
    pub(crate) flags: u8,
}

impl Field {
    /// Ends at this hop: not written as a plain field.
    pub(crate) const HOP: u8 = 1;
    /// Removed by an edit.
    pub(crate) const GONE: u8 = 2;
    /// The spans are over the edits.
    pub(crate) const EDIT: u8 = 4;
    /// Not written as `name: value CR LF`; the encoder does so.
    pub(crate) const LOOSE: u8 = 8;
    /// The one field that says the framing, in a form that may be sent again.
    pub(crate) const FRAMES: u8 = 16;
}

/// The start line of either kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StartLine {
    pub(crate) method: Method,
    pub(crate) method_bytes: Span,
    pub(crate) target: Span,
    pub(crate) original_target: Span,
    pub(crate) status: u16,
    pub(crate) reason: Span,
    /// Length of the line in the block with its CR LF, when it can be sent as it was received; else 0.
    pub(crate) verbatim: u32,
}

/// What the peer asks of the connection.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wishes {
    pub(crate) keep_alive: bool,
    pub(crate) upgrade: bool,
    pub(crate) expects_continue: bool,
}

impl Head {
    /// An empty head with a block of capacity 0.
    #[must_use]
    pub fn new() -> Head {
        Head::default()
    }

    /// Forgets everything but keeps the allocations: block, edits and fields.
    #[inline]
    pub fn reset(&mut self) {
        self.block.clear();
        self.forget();
    }

    /// Forgets the parsed head and makes the bytes behind it the start of the next message: after an interim response,
    /// or for a pipelined request.
    pub fn keep_surplus(&mut self) {
        self.block.consume(self.length);
        self.block.compact();
        self.forget();
    }

    #[inline]
    fn forget(&mut self) {
        self.edits.clear();
        self.fields.clear();
        self.length = 0;
        self.scanned = 0;
        self.next_try = 0;
        self.line = StartLine::default();
        self.version = Version::Http11;
        self.framing = Framing::Empty;
        self.seen = 0;
        self.repeated = 0;
        self.wishes = Wishes::default();
    }

    /// The received bytes.
    #[inline]
    #[must_use]
    pub fn block(&self) -> &Buf {
        &self.block
    }

    /// The received bytes, to read more into. Only the part after the head may be changed once it is parsed.
    #[inline]
    pub fn block_mut(&mut self) -> &mut Buf {
        &mut self.block
    }

    /// Swaps the block, for pooling. Only on a reset head: what was parsed is forgotten.
    #[inline]
    pub fn replace_block(&mut self, block: Buf) -> Buf {
        debug_assert!(self.length == 0, "the block of a parsed head was taken away");
        self.forget();
        std::mem::replace(&mut self.block, block)
    }

    /// Moves the received bytes into `roomier`, so that more can be read behind them; the old block is returned. Nothing changes
    /// when they do not fit.
    pub fn move_block(&mut self, mut roomier: Buf) -> Buf {
        roomier.clear();
        if roomier.capacity() < self.block.len() {
            return roomier;
        }
        roomier.extend_from_slice(self.block.filled());
        std::mem::replace(&mut self.block, roomier)
    }

    /// Whether a head was parsed.
    #[inline]
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.length > 0
    }

    /// Length in bytes of the head as it was received; 0 before it is complete.
    #[inline]
    #[must_use]
    pub fn head_len(&self) -> usize {
        self.length
    }

    /// Bytes of the block after the head.
    #[inline]
    #[must_use]
    pub fn surplus(&self) -> &[u8] {
        self.block.filled().get(self.length..).unwrap_or_default()
    }

    /// [`Head::surplus`], for a decoder that works in place.
    #[inline]
    pub fn surplus_mut(&mut self) -> &mut [u8] {
        self.block.filled_mut().get_mut(self.length..).unwrap_or_default()
    }

    /// A request described in text, for tests and explanations. Lines may end with LF alone, and the empty line at the
    /// end may be missing.
    ///
    /// # Errors
    /// The text is no request within the default [`Limits`].
    pub fn request(text: &str) -> Result<Head, Malformed> {
        let mut head = Head::described(text);
        match head.parse_request(&Limits::default())? {
            Parsed::Complete => Ok(head),
            Parsed::Partial => Err(Malformed::HeadTooLarge),
        }
    }

    /// A response described in text, as [`Head::request`], to a request with this method.
    ///
    /// # Errors
    /// The text is no response within the default [`Limits`].
    pub fn response(text: &str, request: Method) -> Result<Head, Malformed> {
        let mut head = Head::described(text);
        match head.parse_response(&Limits::default(), request)? {
            Parsed::Complete => Ok(head),
            Parsed::Partial => Err(Malformed::HeadTooLarge),
        }
    }

    fn described(text: &str) -> Head {
        let mut bytes = text.replace("\r\n", "\n").replace('\n', "\r\n").into_bytes();
        if memchr::memmem::find(&bytes, b"\r\n\r\n").is_none() {
            let missing: &[u8] = if bytes.ends_with(b"\r\n") { b"\r\n" } else { b"\r\n\r\n" };
            bytes.extend_from_slice(missing);
        }
        let mut head = Head::new();
        head.block = Buf::with_capacity(bytes.len());
        head.block.extend_from_slice(&bytes);
        head
    }

    /// The method of a request; [`Method::Other`] for a response.
    #[inline]
    #[must_use]
    pub fn method(&self) -> Method {
        self.line.method
    }

    /// The method's name as it will be sent.
    #[inline]
    #[must_use]
    pub fn method_bytes(&self) -> &[u8] {
        self.bytes(self.line.method_bytes)
    }

    /// The target as it will be sent.
    #[inline]
    #[must_use]
    pub fn target(&self) -> &[u8] {
        self.bytes(self.line.target)
    }

    /// The target as it was received, for the log.
    #[inline]
    #[must_use]
    pub fn original_target(&self) -> &[u8] {
        self.bytes(self.line.original_target)
    }

    /// The path of [`Head::target`]: `/` for an absolute form without one, `*` and the authority of CONNECT as they are.
    #[inline]
    #[must_use]
    pub fn path(&self) -> &[u8] {
        Target::split(self.target(), self.line.method).path
    }

    /// What follows the first `?` of [`Head::target`].
    #[inline]
    #[must_use]
    pub fn query(&self) -> Option<&[u8]> {
        Target::split(self.target(), self.line.method).query
    }

    /// The authority of an absolute-form or CONNECT target, else the value of Host; nothing is stripped.
    #[inline]
    #[must_use]
    pub fn authority(&self) -> Option<&[u8]> {
        let target = self.target();
        if let Some(b'/' | b'*') | None = target.first() {
            return self.find(name::HOST);
        }
        Target::split(target, self.line.method).authority.or_else(|| self.find(name::HOST))
    }

    /// The status code of a response; 0 for a request.
    #[inline]
    #[must_use]
    pub fn status(&self) -> u16 {
        self.line.status
    }

    /// The reason phrase, maybe empty.
    #[inline]
    #[must_use]
    pub fn reason(&self) -> &[u8] {
        self.bytes(self.line.reason)
    }

    /// The version the peer wrote.
    #[inline]
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// How the body ends, as received.
    #[inline]
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the peer wants to keep the connection (RFC 9112 §9.3). A response that lasts until the close never does.
    #[inline]
    #[must_use]
    pub fn keep_alive(&self) -> bool {
        self.wishes.keep_alive
    }

    /// The Upgrade value when Connection nominates it. An HTTP/1.0 message cannot upgrade (RFC 9110 §7.8).
    #[inline]
    #[must_use]
    pub fn upgrade(&self) -> Option<&[u8]> {
        if self.wishes.upgrade { self.find(name::UPGRADE) } else { None }
    }

    /// Whether the client waits for 100 before it sends the body. HTTP/1.0 clients do not (RFC 9110 §10.1.1).
    #[inline]
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.wishes.expects_continue
    }

    /// The end-to-end fields that will be sent, in order, as (name, value).
    #[inline]
    pub fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.fields
            .iter()
            .filter(|f| f.flags & (Field::HOP | Field::GONE) == 0)
            .map(|f| (self.span(f, f.start, f.name_end), self.span(f, f.value, f.value_end)))
    }

    /// The value of the first field of that name, compared without case. Finds hop-by-hop fields too, as received.
    #[inline]
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.get_all(name).next()
    }

    /// The value of the last field of that name.
    #[inline]
    #[must_use]
    pub fn get_last(&self, name: &[u8]) -> Option<&[u8]> {
        let id = name::classify(name);
        self.fields.iter().rev().find(|f| self.is_named(f, id, name)).map(|f| self.span(f, f.value, f.value_end))
    }

    /// The values of all fields of that name, in order. A list in one value is not split.
    #[inline]
    pub fn get_all<'a, 'n>(&'a self, name: &'n [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.named(name::classify(name), name)
    }

    /// As [`Head::get_all`], with a name known before.
    #[inline]
    pub fn values<'a, 'n>(&'a self, name: &'n FieldName) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        self.named(name.id(), name.as_bytes())
    }

    #[inline]
    fn named<'a, 'n>(&'a self, id: u8, name: &'n [u8]) -> impl DoubleEndedIterator<Item = &'a [u8]> + use<'a, 'n> {
        let fields = if self.seen & name::bit(id) != 0 { &self.fields[..] } else { &[] };
        fields.iter().filter(move |f| self.is_named(f, id, name)).map(|f| self.span(f, f.value, f.value_end))
    }

    /// The first value of a known name.
    #[inline]
    pub(crate) fn find(&self, id: u8) -> Option<&[u8]> {
        if self.seen & name::bit(id) == 0 {
            return None;
        }
        self.fields
            .iter()
            .find(|f| f.id == id && f.flags & Field::GONE == 0)
            .map(|f| self.span(f, f.value, f.value_end))
    }

    #[inline]
    pub(crate) fn is_named(&self, field: &Field, id: u8, name: &[u8]) -> bool {
        field.id == id
            && field.flags & Field::GONE == 0
            && (id != name::OTHER
                || ((field.name_end - field.start) as usize == name.len()
                    && self.span(field, field.start, field.name_end).eq_ignore_ascii_case(name)))
    }

    /// Bytes of a field; none if the block was changed under the head.
    #[inline]
    pub(crate) fn span(&self, field: &Field, start: u32, end: u32) -> &[u8] {
        self.bytes(Span { start, end, edited: field.flags & Field::EDIT != 0 })
    }

    #[inline]
    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        let source = if span.edited { &self.edits[..] } else { self.block.filled() };
        source.get(span.start as usize..span.end as usize).unwrap_or_default()
    }
}

impl fmt::Debug for Head {
    /// The start line and the number of fields: values belong to users.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("Head");
        if self.line.status > 0 {
            out.field("status", &self.line.status);
        } else {
            out.field("method", &self.line.method).field("path", &String::from_utf8_lossy(self.path()));
        }
        out.field("framing", &self.framing).field("fields", &self.fields().count()).finish()
    }
}
