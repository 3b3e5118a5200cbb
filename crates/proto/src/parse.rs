//! From received bytes to a [`Head`]: httparse for the syntax, then what it leaves open.
//!
//! httparse starts over on every call, so a head that arrives in pieces is parsed when its end was found, and before
//! that only each time its size doubled, to refuse garbage early; the search for the end never looks at a byte twice.
//! Invariant: the verdict depends on the bytes, not on how they were split (a head in pieces may be refused later, never
//! otherwise), and a refused prefix stays refused. For that, the first of "a line ends with LF alone" and "httparse
//! refuses" decides, by position; everything else is judged on the complete head.

use std::mem::MaybeUninit;

use httparse::{Error, Header, Request, Response, Status};

use crate::framing::Fields;
use crate::head::{Field, Head, Span, StartLine};
use crate::target::{Host, Target};
use crate::{Framing, Limits, MAX_FIELDS, Malformed, Method, Parsed, Version, name};

/// More connection options than this serve only to keep the proxy busy.
const MAX_CONNECTION_OPTIONS: usize = 32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Request,
    Response,
}

/// Where the head stops.
enum Stop {
    /// Behind the empty line.
    End(usize),
    /// Behind an LF without CR.
    BareLf(usize),
}

/// What the field names are, and whether every line ends with CR LF, as httparse does not insist.
#[derive(Clone, Copy)]
struct Names {
    seen: u64,
    repeated: u64,
    strict: bool,
}

/// What httparse says about some bytes.
enum Syntax {
    Complete { length: usize, names: Names },
    Partial,
    Refused(Malformed),
}

impl Head {
    /// Parses the bytes of the block as a request. Call it again after reading more; on `Partial` the block has room.
    ///
    /// # Errors
    /// The bytes can never become an acceptable request.
    pub fn parse_request(&mut self, limits: &Limits) -> Result<Parsed, Malformed> {
        if self.length > 0 {
            return Ok(Parsed::Complete);
        }
        // An empty line before the request line is the trace of an old client's body (RFC 9112 §2.2).
        while self.scanned == 0 && self.block.filled().starts_with(b"\r\n") {
            self.block.consume(2);
        }
        match self.block.filled() {
            [] | b"\r" => return self.wait(),
            [b'\n', ..] => return Err(Malformed::BareLf),
            _ => {}
        }
        let parsed = self.parse(Kind::Request, limits)?;
        if parsed == Parsed::Complete {
            self.judge_request(limits).inspect_err(|_| self.length = 0)?;
        }
        Ok(parsed)
    }

    /// Parses the bytes of the block as a response to a request with the method `request`, which decides whether there is
    /// a body.
    ///
    /// # Errors
    /// The bytes can never become an acceptable response.
    pub fn parse_response(&mut self, limits: &Limits, request: Method) -> Result<Parsed, Malformed> {
        if self.length > 0 {
            return Ok(Parsed::Complete);
        }
        match self.block.filled() {
            [] => return self.wait(),
            [b'\r' | b'\n', ..] => return Err(Malformed::BadStatusLine),
            _ => {}
        }
        let parsed = self.parse(Kind::Response, limits)?;
        if parsed == Parsed::Complete {
            self.judge_response(request).inspect_err(|_| self.length = 0)?;
        }
        Ok(parsed)
    }

    /// More bytes are needed: makes sure that there is room for them.
    fn wait(&mut self) -> Result<Parsed, Malformed> {
        if self.block.is_full() {
            self.block.compact();
        }
        Ok(Parsed::Partial)
    }

    /// The syntax. On `Complete` the start line, the fields and what is known of their names are there, and `length` is set.
    fn parse(&mut self, kind: Kind, limits: &Limits) -> Result<Parsed, Malformed> {
        let max = self.block.len().min(limits.max_head);
        // Most heads come in one piece.
        let mut tried = None;
        if self.scanned == 0 {
            match self.syntax(kind, max, limits) {
                Syntax::Complete { length, names } if names.strict => return Ok(self.complete(length, names)),
                syntax => tried = Some(syntax),
            }
        }
        match self.scan(max) {
            Some(Stop::End(end)) => match self.syntax(kind, end, limits) {
                Syntax::Complete { length, names } => Ok(self.complete(length, names)),
                Syntax::Partial => Err(Malformed::BareCr),
                Syntax::Refused(fault) => Err(fault),
            },
            Some(Stop::BareLf(end)) => match self.syntax(kind, end, limits) {
                Syntax::Refused(fault) => Err(fault),
                Syntax::Complete { .. } | Syntax::Partial => Err(Malformed::BareLf),
            },
            None => {
                let full = max == limits.max_head || self.block.len() == self.block.capacity();
                if tried.is_none() && (full || max >= self.next_try) {
                    tried = Some(self.syntax(kind, max, limits));
                }
                if let Some(syntax) = tried {
                    self.next_try = max.saturating_mul(2);
                    if let Syntax::Refused(fault) = syntax {
                        return Err(fault);
                    }
                }
                if full { Err(self.too_large(kind, max)) } else { self.wait() }
            }
        }
    }

    fn complete(&mut self, length: usize, names: Names) -> Parsed {
        self.length = length;
        self.seen = names.seen;
        self.repeated = names.repeated;
        Parsed::Complete
    }

    /// Searches the end of the head, going on where the last call stopped.
    fn scan(&mut self, max: usize) -> Option<Stop> {
        let bytes = &self.block.filled()[..max];
        for lf in memchr::memchr_iter(b'\n', &bytes[self.scanned.min(max)..]).map(|i| i + self.scanned) {
            if lf == 0 || bytes[lf - 1] != b'\r' {
                return Some(Stop::BareLf(lf + 1));
            }
            if lf >= 3 && bytes[lf - 2] == b'\n' {
                return Some(Stop::End(lf + 1));
            }
        }
        self.scanned = max;
        None
    }

    /// Which limit a head without an end ran into.
    fn too_large(&self, kind: Kind, max: usize) -> Malformed {
        let bytes = &self.block.filled()[..max];
        let in_target = memchr::memchr(b'\r', bytes).is_none() && memchr::memchr(b' ', bytes).is_some();
        if kind == Kind::Request && in_target { Malformed::TargetTooLong } else { Malformed::HeadTooLarge }
    }

    /// Runs httparse over the first `max` bytes and takes over what it found.
    fn syntax(&mut self, kind: Kind, max: usize, limits: &Limits) -> Syntax {
        self.fields.clear();
        let Head { block, fields, line, version, .. } = self;
        let Some(bytes) = block.filled_mut().get_mut(..max) else { return Syntax::Partial };
        let max_fields = limits.max_headers.min(MAX_FIELDS);
        let result = match kind {
            Kind::Request => request_syntax(bytes, max_fields, fields, line, version),
            Kind::Response => response_syntax(bytes, max_fields, fields, line, version),
        };
        let error = match result {
            Ok(syntax) => return syntax,
            Err(error) => error,
        };
        // A higher minor version is read as 1.1 (RFC 9110 §6.2); httparse knows only two, so it is shown the other.
        if error == Error::Version
            && let Some(minor) = minor_version(kind, bytes)
            && matches!(bytes[minor], b'2'..=b'9')
        {
            bytes[minor] = b'1';
            return self.syntax(kind, max, limits);
        }
        Syntax::Refused(diagnose(kind, error, bytes))
    }

    /// What RFC 9112 asks of a request beyond its syntax.
    fn judge_request(&mut self, limits: &Limits) -> Result<(), Malformed> {
        if self.target().len() > limits.max_uri {
            return Err(Malformed::TargetTooLong);
        }
        let method = self.line.method;
        let authority = Target::check(self.target(), method)?;
        match self.find(name::HOST) {
            None if self.version == Version::Http11 => return Err(Malformed::MissingHost),
            None => {}
            Some(_) if self.repeated & name::bit(name::HOST) != 0 => return Err(Malformed::DuplicateHost),
            Some(host) => {
                let host = Host::parse(host).ok_or(Malformed::BadHost)?;
                if authority.is_some_and(|a| !a.host.is_same(host, a.scheme)) {
                    return Err(Malformed::HostMismatch);
                }
            }
        }
        self.framing = match self.framing_fields()? {
            None => Framing::Empty,
            Some(fields) => {
                let framing = fields.request(method, self.version)?;
                self.mark_framing(fields, framing);
                framing
            }
        };
        self.connection_options()?;
        self.wishes.expects_continue = self.version == Version::Http11
            && self.find(name::EXPECT).is_some_and(|v| v.eq_ignore_ascii_case(b"100-continue"));
        Ok(())
    }

    /// What RFC 9112 asks of a response beyond its syntax.
    fn judge_response(&mut self, request: Method) -> Result<(), Malformed> {
        let status = self.line.status;
        if !(100..=599).contains(&status) {
            return Err(Malformed::BadStatusLine);
        }
        let fields = self.framing_fields()?;
        self.framing = fields.unwrap_or_default().response(status, self.version, request)?;
        if let Some(fields) = fields {
            if self.framing == Framing::Empty && (status == 304 || (status >= 200 && status != 204)) {
                self.keep_length(fields);
            } else {
                self.mark_framing(fields, self.framing);
            }
        }
        self.connection_options()?;
        if matches!(self.framing, Framing::UntilClose | Framing::Tunnel) {
            self.wishes.keep_alive = false;
        }
        Ok(())
    }

    /// Content-Length and Transfer-Encoding; `None` when there is neither, which is the common case.
    fn framing_fields(&self) -> Result<Option<Fields>, Malformed> {
        const FRAMING: u64 = name::bit(name::CONTENT_LENGTH) | name::bit(name::TRANSFER_ENCODING);
        if self.seen & FRAMING == 0 {
            return Ok(None);
        }
        let mut fields = Fields::default();
        for field in &self.fields {
            match field.id {
                name::CONTENT_LENGTH => fields.add_length(self.span(field, field.value, field.value_end))?,
                name::TRANSFER_ENCODING => fields.add_encoding(self.span(field, field.value, field.value_end)),
                _ => {}
            }
        }
        Ok(Some(fields))
    }

    /// Lets the field that says `framing` travel as it was received.
    fn mark_framing(&mut self, fields: Fields, framing: Framing) {
        let id = match framing {
            Framing::Length(_) if fields.plain_length => name::CONTENT_LENGTH,
            Framing::Chunked => name::TRANSFER_ENCODING,
            _ => return,
        };
        for field in &mut self.fields {
            if field.id == id {
                field.flags |= Field::FRAMES;
            }
        }
    }

    /// Makes the length of a HEAD or 304 answer an end-to-end field, written once.
    fn keep_length(&mut self, fields: Fields) {
        let Some(length) = fields.length() else { return };
        let mut first = true;
        for i in 0..self.fields.len() {
            if self.fields[i].id != name::CONTENT_LENGTH {
                continue;
            }
            if !first {
                self.fields[i].flags |= Field::GONE;
            } else if fields.plain_length {
                self.fields[i].flags &= !Field::HOP;
            } else {
                let start = self.edits.len() as u32;
                let line = format!("Content-Length: {length}\r\n");
                self.edits.extend_from_slice(line.as_bytes());
                let (value, end) = (start + 16, start + line.len() as u32);
                let flags = Field::EDIT;
                let id = name::CONTENT_LENGTH;
                self.fields[i] = Field { start, end, name_end: start + 14, value, value_end: end - 2, id, flags };
            }
            first = false;
        }
    }

    /// Persistence, upgrade, and the fields that Connection nominates (RFC 9110 §7.6.1, RFC 9112 §9.3).
    fn connection_options(&mut self) -> Result<(), Malformed> {
        self.wishes.keep_alive = self.version == Version::Http11;
        if self.seen & name::bit(name::CONNECTION) == 0 {
            return Ok(());
        }
        let is_repeated = self.repeated & name::bit(name::CONNECTION) != 0;
        match self.find(name::CONNECTION) {
            Some(value) if !is_repeated && value.eq_ignore_ascii_case(b"keep-alive") => {
                self.wishes.keep_alive = true;
                return Ok(());
            }
            Some(value) if !is_repeated && value.eq_ignore_ascii_case(b"close") => {
                self.wishes.keep_alive = false;
                return Ok(());
            }
            _ => {}
        }
        let Head { block, fields, wishes, version, .. } = self;
        let bytes = block.filled();
        let (mut close, mut keep_alive, mut upgrade, mut count) = (false, false, false, 0);
        for i in 0..fields.len() {
            if fields[i].id != name::CONNECTION {
                continue;
            }
            let value = &bytes[fields[i].value as usize..fields[i].value_end as usize];
            for option in value.split(|&b| b == b',').map(name::trim) {
                count += 1;
                if count > MAX_CONNECTION_OPTIONS {
                    return Err(Malformed::TooManyConnectionOptions);
                }
                match name::classify(option) {
                    name::KEEP_ALIVE => keep_alive = true,
                    name::UPGRADE => upgrade = true,
                    name::OTHER if option.eq_ignore_ascii_case(b"close") => close = true,
                    id if option.is_empty() || name::is_for_everybody(id, option) => {}
                    // The rest of the known ones end at this hop anyway, and `TE: trailers` does not.
                    name::OTHER => {
                        for field in fields.iter_mut().filter(|f| f.id == name::OTHER) {
                            if bytes[field.start as usize..field.name_end as usize].eq_ignore_ascii_case(option) {
                                field.flags |= Field::HOP;
                            }
                        }
                    }
                    _ => {}
                }
            }
        }
        wishes.keep_alive = !close && (keep_alive || *version == Version::Http11);
        wishes.upgrade = upgrade && *version == Version::Http11 && self.seen & name::bit(name::UPGRADE) != 0;
        Ok(())
    }
}

/// httparse over a request; fills in spans.
#[inline]
fn request_syntax(
    bytes: &[u8],
    max_fields: usize,
    fields: &mut Vec<Field>,
    line: &mut StartLine,
    version: &mut Version,
) -> Result<Syntax, Error> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut request = Request::new(&mut []);
    let status = request.parse_with_uninit_headers(bytes, &mut headers[..max_fields]);
    let length = match status {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) => return Ok(Syntax::Partial),
        // Only the method comes before the target, and both are tokens to httparse.
        Err(Error::Token) if request.method.is_some() => return Ok(Syntax::Refused(Malformed::BadTarget)),
        Err(error) => return Err(error),
    };
    let (method, target) = (request.method.unwrap_or_default(), request.path.unwrap_or_default());
    let target_start = method.len() + 1;
    let target_end = target_start + target.len();
    let line_end = target_end + b" HTTP/1.1\r\n".len();
    line.method = Method::from_bytes(method.as_bytes());
    line.method_bytes = block_span(0, method.len());
    line.target = block_span(target_start, target_end);
    line.original_target = line.target;
    let http11 = request.version == Some(1);
    *version = if http11 { Version::Http11 } else { Version::Http10 };
    line.verbatim = if http11 { line_end as u32 } else { 0 };
    let names = take_fields(bytes, line_end, length, request.headers, fields);
    Ok(Syntax::Complete { length, names })
}

/// httparse over a response; fills in spans.
#[inline]
fn response_syntax(
    bytes: &[u8],
    max_fields: usize,
    fields: &mut Vec<Field>,
    line: &mut StartLine,
    version: &mut Version,
) -> Result<Syntax, Error> {
    let mut headers = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut response = Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let status = config.parse_response_with_uninit_headers(&mut response, bytes, &mut headers[..max_fields]);
    let length = match status? {
        Status::Complete(length) => length,
        Status::Partial => return Ok(Syntax::Partial),
    };
    // httparse hides a reason phrase with obs-text; its end is at the line's end whatever it holds.
    const CODE_END: usize = b"HTTP/1.1 200".len();
    let reason_start = if bytes.get(CODE_END) == Some(&b' ') { CODE_END + 1 } else { CODE_END };
    let reason_end = memchr::memchr2(b'\r', b'\n', &bytes[reason_start..]).map_or(reason_start, |i| reason_start + i);
    let line_end = reason_end + 2;
    line.status = response.code.unwrap_or_default();
    line.reason = block_span(reason_start, reason_end);
    let http11 = response.version == Some(1);
    *version = if http11 { Version::Http11 } else { Version::Http10 };
    line.verbatim = if http11 && reason_start > CODE_END { line_end as u32 } else { 0 };
    let names = take_fields(bytes, line_end, length, response.headers, fields);
    Ok(Syntax::Complete { length, names })
}

/// Turns httparse's slices into spans and names into numbers.
#[inline]
fn take_fields(bytes: &[u8], line_end: usize, length: usize, headers: &[Header<'_>], fields: &mut Vec<Field>) -> Names {
    let base = bytes.as_ptr() as usize;
    let is_end = |at: usize| bytes.get(at..at + 2) == Some(b"\r\n");
    let mut strict = line_end >= 2 && is_end(line_end - 2);
    let (mut seen, mut repeated) = (0, 0);
    let mut line_end = line_end;
    fields.extend(headers.iter().map(|header| {
        let start = header.name.as_ptr() as usize - base;
        let name_end = start + header.name.len();
        let value = header.value.as_ptr() as usize - base;
        let value_end = value + header.value.len();
        strict &= start == line_end;
        let mut flags = if value == name_end + 2 && bytes.get(name_end + 1) == Some(&b' ') { 0 } else { Field::LOOSE };
        let mut blanks_end = value_end;
        if !is_end(blanks_end) {
            while let Some(b' ' | b'\t') = bytes.get(blanks_end) {
                blanks_end += 1;
            }
            flags |= Field::LOOSE;
            strict &= is_end(blanks_end);
        }
        line_end = blanks_end + 2;
        let id = name::classify(header.name.as_bytes());
        let bit = name::bit(id);
        repeated |= seen & bit;
        seen |= bit;
        // `TE: trailers` tells the origin that trailers will not be dropped, which is true of this proxy.
        if name::HOP_BY_HOP & bit != 0 && (id != name::TE || !header.value.eq_ignore_ascii_case(b"trailers")) {
            flags |= Field::HOP;
        }
        let [start, end, name_end, value, value_end] =
            [start, line_end, name_end, value, value_end].map(|at| at as u32);
        Field { start, end, name_end, value, value_end, id, flags }
    }));
    Names { seen, repeated, strict: strict && line_end + 2 == length && is_end(line_end) }
}

#[inline]
fn block_span(start: usize, end: usize) -> Span {
    Span { start: start as u32, end: end as u32, edited: false }
}

/// Where the minor version stands, if the major one is there and is 1.
fn minor_version(kind: Kind, bytes: &[u8]) -> Option<usize> {
    let start = match kind {
        Kind::Response => 0,
        Kind::Request => {
            let target = memchr::memchr(b' ', bytes)? + 1;
            target + memchr::memchr(b' ', &bytes[target..])? + 1
        }
    };
    let version = bytes.get(start..start + 8)?;
    version.starts_with(b"HTTP/1.").then_some(start + 7)
}

/// Names the fact behind an error of httparse.
fn diagnose(kind: Kind, error: Error, bytes: &[u8]) -> Malformed {
    match (kind, error) {
        (Kind::Request, Error::Token) => Malformed::BadMethod,
        (Kind::Request, Error::Version) if bytes.starts_with(b"PRI * HTTP/2") => Malformed::Http2Preface,
        (Kind::Request, Error::Version) => Malformed::BadVersion,
        (_, Error::HeaderName) => diagnose_name(bytes),
        (_, Error::HeaderValue) => Malformed::BadFieldValue,
        (_, Error::TooManyHeaders) => Malformed::TooManyFields,
        (_, Error::NewLine) => Malformed::BareCr,
        (Kind::Response, Error::Token | Error::Version) | (_, Error::Status) => Malformed::BadStatusLine,
    }
}

/// Looks for the first line whose name is at fault; the lines before it are fine.
fn diagnose_name(bytes: &[u8]) -> Malformed {
    let fields = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |i| i + 1);
    for line in bytes[fields..].split(|&b| b == b'\n') {
        let name = line.iter().position(|&b| !name::is_token(&[b])).unwrap_or(line.len());
        match (name, line.get(name)) {
            (0, Some(b' ' | b'\t')) => return Malformed::ObsFold,
            (1.., Some(b':')) => {}
            (1.., Some(b' ' | b'\t')) => return Malformed::SpaceBeforeColon,
            _ => return Malformed::BadFieldName,
        }
    }
    Malformed::BadFieldName
}
