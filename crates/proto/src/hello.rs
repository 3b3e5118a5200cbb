//! The ClientHello of TLS, read out of raw bytes without ending TLS (RFC 8446 §4.1.2, §5.1).
//!
//! Called by whoever chooses a certificate before the handshake, and by the fetches of raw data. Every length is checked
//! against what is there; what is cut off is told from what is wrong, because more bytes may come. A hello may span several
//! records: one within a record is read in place, any other is put together in a copy. Bounded by [`MAX_HELLO`] and
//! [`MAX_RECORDS`]. What two recipients could read in two ways (an extension twice, two host names, bytes behind the
//! message) is refused, so that nobody is led past a decision made on the name.

use std::borrow::Cow;
use std::ops::Range;

mod fingerprint;
#[cfg(test)]
mod tests;

/// Bytes of a hello message. Browsers with a post-quantum key share send about 2 KiB.
pub const MAX_HELLO: usize = 16 * 1024;
/// Records that a hello may span. Clients that fragment on purpose use two to five.
pub const MAX_RECORDS: usize = 64;
/// Bytes on the wire that hold any acceptable hello: a buffer of this size never is too small.
pub const MAX_HELLO_BYTES: usize = MAX_HELLO + MAX_RECORDS * RECORD_HEAD;
/// Extensions of a hello: four times what the most talkative client sends.
pub const MAX_EXTENSIONS: usize = 128;

const RECORD_HEAD: usize = 5;
/// Type and length of a handshake message.
const MESSAGE_HEAD: usize = 4;
const CLIENT_HELLO: u8 = 1;

/// Numbers of extensions (IANA, TLS ExtensionType Values).
mod number {
    pub(super) const SERVER_NAME: u16 = 0;
    pub(super) const GROUPS: u16 = 10;
    pub(super) const POINT_FORMATS: u16 = 11;
    pub(super) const SIGNATURES: u16 = 13;
    pub(super) const ALPN: u16 = 16;
    pub(super) const TICKET: u16 = 35;
    pub(super) const EARLY_DATA: u16 = 42;
    pub(super) const VERSIONS: u16 = 43;
    pub(super) const KEY_SHARE: u16 = 51;
}

/// What the first bytes of a connection say of TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hello<'b> {
    /// They may become a hello; what is there of it.
    Partial(ClientHello<'b>),
    /// A whole ClientHello.
    Whole(ClientHello<'b>),
    /// A record with a handshake message of that other type: 2 is a ServerHello.
    Message(u8),
    /// They are no TLS handshake, or one that is malformed or beyond the limits.
    Other,
}

/// A ClientHello, or the beginning of one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientHello<'b> {
    /// The body of the message.
    body: Cow<'b, [u8]>,
    version: Option<u16>,
    random: Range<usize>,
    session_id: Range<usize>,
    ciphers: Range<usize>,
    /// What is there of the extensions: whole ones only.
    extensions: Range<usize>,
    /// Bytes on the wire from the first of the record on; 0 while it is partial.
    length: usize,
}

impl<'b> Hello<'b> {
    /// Reads the first bytes of a direction.
    #[must_use]
    pub fn read(bytes: &'b [u8]) -> Hello<'b> {
        let message = match unwrap_records(bytes) {
            Ok(message) => message,
            Err(other) => return other,
        };
        let mut reader = Reader::new(&message.bytes);
        if reader.number(1).is_none() || reader.number(3).is_none() {
            return Hello::Partial(ClientHello::default());
        }
        let body = match message.bytes {
            Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[MESSAGE_HEAD..]),
            Cow::Owned(mut bytes) => {
                bytes.drain(..MESSAGE_HEAD);
                Cow::Owned(bytes)
            }
        };
        let mut hello = ClientHello { body, ..ClientHello::default() };
        match (hello.locate(), message.length) {
            (Err(Fault::Wrong), _) | (Err(Fault::Short), Some(_)) => Hello::Other,
            (_, None) => Hello::Partial(hello),
            (Ok(()), Some(length)) => {
                hello.length = length;
                Hello::Whole(hello)
            }
        }
    }
}

/// The handshake message in the records.
struct Message<'b> {
    bytes: Cow<'b, [u8]>,
    /// Bytes on the wire, once all of the message is there.
    length: Option<usize>,
}

/// Takes the records apart; the error is the answer where there is no ClientHello to be read.
fn unwrap_records(bytes: &[u8]) -> Result<Message<'_>, Hello<'_>> {
    let mut joined: Option<Vec<u8>> = None;
    let mut first: &[u8] = b"";
    let mut at = 0;
    for _ in 0..MAX_RECORDS {
        let head = &bytes[at.min(bytes.len())..];
        // RFC 8446 §5.1: type 22 (handshake), version, length.
        match (head.first(), head.get(1)) {
            (None | Some(22), None) | (Some(22), Some(3)) => {}
            _ => return Err(Hello::Other),
        }
        let length = match head.get(3..RECORD_HEAD) {
            Some(length) => usize::from(u16::from_be_bytes([length[0], length[1]])),
            None => 0,
        };
        if head.len() >= RECORD_HEAD && !(1..=1 << 14).contains(&length) {
            return Err(Hello::Other);
        }
        let rest = head.get(RECORD_HEAD..).unwrap_or_default();
        let part = &rest[..length.min(rest.len())];
        let whole = head.len() >= RECORD_HEAD && part.len() == length;
        let so_far: &[u8] = match &mut joined {
            Some(joined) => {
                joined.extend_from_slice(part);
                joined
            }
            None if at == 0 => {
                first = part;
                first
            }
            None => joined.insert([first, part].concat()),
        };
        if let Some(&kind) = so_far.first()
            && kind != CLIENT_HELLO
        {
            // Of others only the type is of interest, told once the record that names it is there.
            return Err(if whole { Hello::Message(kind) } else { Hello::Partial(ClientHello::default()) });
        }
        let wanted = so_far.get(1..MESSAGE_HEAD).map(|n| u32::from_be_bytes([0, n[0], n[1], n[2]]) as usize);
        match wanted {
            Some(wanted) if wanted > MAX_HELLO - MESSAGE_HEAD => return Err(Hello::Other),
            // What follows a ClientHello comes under other keys or after an answer, so never in its record.
            Some(wanted) if so_far.len() > wanted + MESSAGE_HEAD => return Err(Hello::Other),
            Some(wanted) if whole && so_far.len() == wanted + MESSAGE_HEAD => {
                let bytes = joined.map_or(Cow::Borrowed(first), Cow::Owned);
                return Ok(Message { bytes, length: Some(at + RECORD_HEAD + length) });
            }
            _ if !whole => {
                return Ok(Message { bytes: joined.map_or(Cow::Borrowed(first), Cow::Owned), length: None });
            }
            _ => at += RECORD_HEAD + length,
        }
    }
    Err(Hello::Other)
}

/// Why the body could not be read to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The bytes end first.
    Short,
    /// More bytes would not mend it.
    Wrong,
}

impl ClientHello<'_> {
    /// Finds the parts of the body, as far as it goes.
    fn locate(&mut self) -> Result<(), Fault> {
        let mut reader = Reader::new(&self.body);
        self.version = Some(reader.number(2).ok_or(Fault::Short)?);
        self.random = reader.take(32).ok_or(Fault::Short)?;
        self.session_id = reader.block(1).ok_or(Fault::Short)?;
        self.ciphers = reader.block(2).ok_or(Fault::Short)?;
        // The list of compression methods: nobody compresses.
        reader.block(1).ok_or(Fault::Short)?;
        if self.session_id.len() > 32 || !self.ciphers.len().is_multiple_of(2) {
            return Err(Fault::Wrong);
        }
        if reader.is_empty() {
            // Extensions may be left out as a whole.
            return Ok(());
        }
        let total = usize::from(reader.number(2).ok_or(Fault::Short)?);
        let start = reader.at;
        self.extensions = start..start;
        let mut seen = [0; MAX_EXTENSIONS];
        let mut count = 0;
        while reader.at - start < total {
            let kind = reader.number(2).ok_or(Fault::Short)?;
            let body = reader.block(2).ok_or(Fault::Short)?;
            if seen[..count].contains(&kind) || count == MAX_EXTENSIONS || !is_sound(kind, &self.body[body]) {
                return Err(Fault::Wrong);
            }
            seen[count] = kind;
            count += 1;
            self.extensions.end = reader.at;
        }
        match reader.is_empty() && reader.at - start == total {
            true => Ok(()),
            false => Err(Fault::Wrong),
        }
    }
}

impl<'b> ClientHello<'b> {
    /// Bytes on the wire that the hello takes, with the heads of its records; 0 while it is partial.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.length
    }

    /// `legacy_version`: 0x0303 in TLS 1.2 and 1.3. Always there in a whole hello.
    #[must_use]
    pub fn legacy_version(&self) -> Option<u16> {
        self.version
    }

    /// The versions the client offers, in its order: those of `supported_versions`, else the legacy one.
    pub fn versions(&self) -> impl Iterator<Item = u16> {
        let named = self.extension(number::VERSIONS);
        let legacy = if named.is_none() { self.version } else { None };
        named.and_then(|body| list(body, 1)).map(pairs).into_iter().flatten().chain(legacy)
    }

    /// The 32 random bytes; none while they are not there.
    #[must_use]
    pub fn random(&self) -> &[u8] {
        &self.body[self.random.clone()]
    }

    /// The session id, up to 32 bytes.
    #[must_use]
    pub fn session_id(&self) -> &[u8] {
        &self.body[self.session_id.clone()]
    }

    /// The cipher suites offered, in order, with what GREASE put between.
    pub fn cipher_suites(&self) -> impl Iterator<Item = u16> {
        pairs(&self.body[self.ciphers.clone()])
    }

    /// Every extension, in order: its number and its body.
    pub fn extensions(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let mut reader = Reader::new(&self.body[self.extensions.clone()]);
        std::iter::from_fn(move || {
            let kind = reader.number(2)?;
            let body = reader.block(2)?;
            Some((kind, &reader.bytes[body]))
        })
    }

    /// The body of one extension.
    #[must_use]
    pub fn extension(&self, number: u16) -> Option<&[u8]> {
        self.extensions().find(|(kind, _)| *kind == number).map(|(_, body)| body)
    }

    /// The host name asked for, as sent (RFC 6066 §3).
    #[must_use]
    pub fn sni(&self) -> Option<&[u8]> {
        host_name(self.extension(number::SERVER_NAME)?).ok().flatten()
    }

    /// The protocols offered by ALPN, in order (RFC 7301 §3.1).
    pub fn alpn(&self) -> impl Iterator<Item = &[u8]> {
        let body = self.extension(number::ALPN).and_then(|body| list(body, 2));
        let mut reader = Reader::new(body.unwrap_or_default());
        std::iter::from_fn(move || reader.block(1).map(|name| &reader.bytes[name])).filter(|name| !name.is_empty())
    }

    /// The signature algorithms the client verifies, in order.
    pub fn signature_algorithms(&self) -> impl Iterator<Item = u16> {
        self.numbers(number::SIGNATURES)
    }

    /// The groups (curves) for the key exchange, in order.
    pub fn groups(&self) -> impl Iterator<Item = u16> {
        self.numbers(number::GROUPS)
    }

    /// The formats of points on elliptic curves (RFC 8422 §5.1.2).
    #[must_use]
    pub fn ec_point_formats(&self) -> &[u8] {
        self.extension(number::POINT_FORMATS).and_then(|body| list(body, 1)).unwrap_or_default()
    }

    /// Whether the client names its elliptic curves.
    #[must_use]
    pub fn names_groups(&self) -> bool {
        self.extension(number::GROUPS).is_some()
    }

    /// The session ticket of TLS 1.2, empty when the client asks for one (RFC 5077 §3.2).
    #[must_use]
    pub fn ticket(&self) -> Option<&[u8]> {
        self.extension(number::TICKET)
    }

    /// Whether early data follows.
    #[must_use]
    pub fn offers_early_data(&self) -> bool {
        self.extension(number::EARLY_DATA).is_some()
    }

    /// The key shares: the group and the public key of each.
    pub fn key_shares(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let body = self.extension(number::KEY_SHARE).and_then(|body| list(body, 2));
        let mut reader = Reader::new(body.unwrap_or_default());
        std::iter::from_fn(move || {
            let group = reader.number(2)?;
            let key = reader.block(2)?;
            Some((group, &reader.bytes[key]))
        })
    }

    /// The same, independent of the bytes it was read from.
    #[must_use]
    pub fn into_owned(self) -> ClientHello<'static> {
        ClientHello { body: Cow::Owned(self.body.into_owned()), ..self }
    }

    fn numbers(&self, extension: u16) -> impl Iterator<Item = u16> {
        pairs(self.extension(extension).and_then(|body| list(body, 2)).unwrap_or_default())
    }
}

/// Whether the body of an extension that decisions are made on can be read in one way only.
fn is_sound(kind: u16, body: &[u8]) -> bool {
    match kind {
        number::SERVER_NAME => host_name(body).is_ok(),
        number::ALPN => list(body, 2).is_some_and(|mut names| {
            while let Some((&length, rest)) = names.split_first() {
                match rest.split_at_checked(length.into()) {
                    Some((_, behind)) if length > 0 => names = behind,
                    _ => return false,
                }
            }
            true
        }),
        number::VERSIONS => list(body, 1).is_some_and(|versions| versions.len().is_multiple_of(2)),
        _ => true,
    }
}

/// The one host name in a list of names, each with its type; 0 is a host name.
fn host_name(body: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let mut found = None;
    let mut reader = Reader::new(list(body, 2).ok_or(Fault::Wrong)?);
    while let Some(kind) = reader.number(1) {
        let name = reader.block(2).ok_or(Fault::Wrong)?;
        if kind == 0 && found.replace(&reader.bytes[name]).is_some() {
            return Err(Fault::Wrong);
        }
    }
    Ok(found)
}

/// A body that is one list: its length in `width` bytes, and that many bytes.
fn list(body: &[u8], width: usize) -> Option<&[u8]> {
    let mut reader = Reader::new(body);
    let list = reader.block(width)?;
    reader.is_empty().then(|| &body[list])
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().copied().map(u16::from_be_bytes)
}

/// Takes bytes from the front; `None` when there are too few.
#[derive(Clone, Copy, Debug)]
struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { bytes, at: 0 }
    }

    fn is_empty(&self) -> bool {
        self.at == self.bytes.len()
    }

    fn take(&mut self, count: usize) -> Option<Range<usize>> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len())?;
        Some(std::mem::replace(&mut self.at, end)..end)
    }

    /// A number in network order, of which the last two bytes count.
    fn number(&mut self, width: usize) -> Option<u16> {
        let range = self.take(width)?;
        Some(self.bytes[range].iter().fold(0, |value, &byte| value << 8 | u16::from(byte)))
    }

    /// Bytes with their length in `width` bytes before them.
    fn block(&mut self, width: usize) -> Option<Range<usize>> {
        let length = self.number(width)?;
        self.take(length.into())
    }
}
