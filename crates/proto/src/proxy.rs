//! The PROXY protocol, versions 1 and 2: the header by which a proxy tells who its client is.
//!
//! Called by whoever reads the first bytes of a connection, and by whoever writes them to a server. Sans-I/O: what is cut
//! off is told from what is wrong, and as long as a header is partial every byte given belongs to it. Strict, as the
//! protocol asks: nothing is guessed, values nobody assigned are refused. Never trusts: who may send one is the caller's
//! to know. Bounded by [`MAX_LINE`] and [`MAX_BLOCK`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

mod encode;
#[cfg(test)]
mod tests;

pub use encode::{Encoder, line};

/// Bytes of a header of version 1, with its CR LF.
pub const MAX_LINE: usize = 107;
/// Bytes behind the first 16 of a header of version 2. It must come in one go, and addresses, names and a client's
/// certificate fit in well; the 64 KiB of its length field are memory that strangers could claim.
pub const MAX_BLOCK: usize = 4096;
/// Bytes of the longest header there is.
pub const MAX_HEADER: usize = FIXED + MAX_BLOCK;
/// Bytes of an id in [`tlv::UNIQUE_ID`].
pub const MAX_UNIQUE_ID: usize = 128;
/// Bytes of a name in [`tlv::AUTHORITY`].
pub const MAX_AUTHORITY: usize = 255;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;
/// `PROXY UNKNOWN` and CR LF, the shortest header.
const SHORTEST: usize = 15;
/// Bytes of one path of a Unix socket.
const UNIX_PATH: usize = 108;

/// Types of the fields behind the addresses of version 2.
pub mod tlv {
    /// The protocol agreed on by ALPN.
    pub const ALPN: u8 = 0x01;
    /// The host name the client asked for (SNI).
    pub const AUTHORITY: u8 = 0x02;
    /// CRC-32C of the header.
    pub const CRC32C: u8 = 0x03;
    /// Padding.
    pub const NOOP: u8 = 0x04;
    /// An id of the connection, made by the sender.
    pub const UNIQUE_ID: u8 = 0x05;
    /// TLS of the client: one byte of flags, the result of verification, and fields of their own.
    pub const SSL: u8 = 0x20;
    /// In [`SSL`]: the version of TLS, `TLSv1.3`.
    pub const SSL_VERSION: u8 = 0x21;
    /// In [`SSL`]: the common name of the client's certificate.
    pub const SSL_CN: u8 = 0x22;
    /// In [`SSL`]: the cipher suite.
    pub const SSL_CIPHER: u8 = 0x23;
    /// In [`SSL`]: the algorithm that signed the certificate of the frontend.
    pub const SSL_SIG_ALG: u8 = 0x24;
    /// In [`SSL`]: the algorithm of the key of the certificate of the frontend.
    pub const SSL_KEY_ALG: u8 = 0x25;
    /// The network namespace.
    pub const NETNS: u8 = 0x30;

    /// Flag in [`SSL`]: the client connected with TLS.
    pub const CLIENT_SSL: u8 = 0x01;
    /// Flag in [`SSL`]: it sent a certificate on this connection.
    pub const CLIENT_CERT_CONN: u8 = 0x02;
    /// Flag in [`SSL`]: it sent one in this TLS session.
    pub const CLIENT_CERT_SESS: u8 = 0x04;
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed<'b> {
    /// The beginning of a header, and how many bytes there are at least in the whole.
    Partial(usize),
    /// A whole header.
    Complete(Header<'b>),
}

/// A header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'b> {
    /// 1 or 2.
    pub version: u8,
    /// Whose connection it is about.
    pub command: Command,
    /// Its two ends.
    pub addresses: Addresses<'b>,
    fields: Fields<'b>,
    len: usize,
}

/// Whose connection a header is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The sender's own, as for a health check: the addresses of the socket hold.
    Local,
    /// A client's.
    Proxy,
}

/// The two ends of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses<'b> {
    /// Not told: those of the socket hold.
    Unspecified,
    /// IP addresses of one family; the same for UDP.
    Inet {
        /// The client.
        src: SocketAddr,
        /// Where it connected to.
        dst: SocketAddr,
    },
    /// Paths of Unix sockets without the zeros behind them; an abstract name begins with a zero.
    Unix {
        /// The client.
        src: &'b [u8],
        /// Where it connected to.
        dst: &'b [u8],
    },
}

/// What [`tlv::SSL`] says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ssl<'b> {
    /// Of [`tlv::CLIENT_SSL`] and its kin.
    pub client: u8,
    /// Result of verifying the client's certificate; 0: good, or there was none.
    pub verify: u32,
    /// The fields within.
    pub fields: Fields<'b>,
}

impl<'b> Header<'b> {
    /// Bytes the header takes; what follows is the client's.
    #[must_use]
    pub fn wire_len(&self) -> usize {
        self.len
    }

    /// The addresses to use instead of those of the socket.
    #[must_use]
    pub fn endpoints(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self.addresses {
            Addresses::Inet { src, dst } => Some((src, dst)),
            Addresses::Unspecified | Addresses::Unix { .. } => None,
        }
    }

    /// The fields of version 2, in order.
    #[must_use]
    pub fn fields(&self) -> Fields<'b> {
        self.fields
    }

    /// What the client's TLS came to, when the header tells.
    #[must_use]
    pub fn ssl(&self) -> Option<Ssl<'b>> {
        ssl(self.fields().find(|(kind, _)| *kind == tlv::SSL)?.1).ok()
    }
}

/// Fields in order, each its type and its value. Padding is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Fields<'b>(&'b [u8]);

impl<'b> Iterator for Fields<'b> {
    type Item = (u8, &'b [u8]);

    fn next(&mut self) -> Option<(u8, &'b [u8])> {
        loop {
            let (&[kind, high, low], rest) = self.0.split_first_chunk()?;
            let (value, rest) = rest.split_at_checked(u16::from_be_bytes([high, low]).into())?;
            self.0 = rest;
            if kind != tlv::NOOP {
                return Some((kind, value));
            }
        }
    }
}

/// Reads the first bytes of a connection.
///
/// # Errors
/// [`Malformed`] as soon as no further byte can make a header of them.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    const WORD: &[u8] = b"PROXY ";
    if bytes.is_empty() {
        return Ok(Parsed::Partial(SHORTEST));
    }
    let begins_with = |wanted: &[u8]| bytes.iter().zip(wanted).all(|(found, wanted)| found == wanted);
    if begins_with(&SIGNATURE) {
        version_2(bytes)
    } else if begins_with(WORD) {
        version_1(bytes)
    } else {
        Err(Malformed::NoHeader)
    }
}

/// `PROXY TCP4 192.0.2.7 192.0.2.10 51234 443` and CR LF.
fn version_1(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let Some(end) = memchr::memchr2(b'\r', b'\n', bytes) else {
        return match bytes.len() {
            // Nothing between two bytes less and the end of the line would be left.
            ..=105 => Ok(Parsed::Partial(SHORTEST.max(bytes.len() + 2))),
            106.. => Err(Malformed::LineTooLong),
        };
    };
    match (bytes[end], bytes.get(end + 1)) {
        _ if end + 2 > MAX_LINE => return Err(Malformed::LineTooLong),
        (b'\r', Some(b'\n')) => {}
        (b'\r', None) => return Ok(Parsed::Partial(end + 2)),
        _ => return Err(Malformed::BadLine),
    }
    let addresses = addresses_of_line(&bytes[..end]).ok_or(Malformed::BadLine)?;
    let (command, fields) = (Command::Proxy, Fields::default());
    Ok(Parsed::Complete(Header { version: 1, command, addresses, fields, len: end + 2 }))
}

fn addresses_of_line(line: &[u8]) -> Option<Addresses<'static>> {
    let line = line.strip_prefix(b"PROXY ")?;
    if let Some(rest) = line.strip_prefix(b"UNKNOWN") {
        // What may follow is to be ignored.
        return (rest.is_empty() || rest[0] == b' ').then_some(Addresses::Unspecified);
    }
    let mut words = std::str::from_utf8(line).ok()?.split(' ');
    let family = words.next()?;
    let (src, dst) = (words.next()?, words.next()?);
    let (src, dst): (IpAddr, IpAddr) = match family {
        "TCP4" => (src.parse::<Ipv4Addr>().ok()?.into(), dst.parse::<Ipv4Addr>().ok()?.into()),
        "TCP6" => (src.parse::<Ipv6Addr>().ok()?.into(), dst.parse::<Ipv6Addr>().ok()?.into()),
        _ => return None,
    };
    let (src, dst) = (SocketAddr::new(src, port(words.next()?)?), SocketAddr::new(dst, port(words.next()?)?));
    words.next().is_none().then_some(Addresses::Inet { src, dst })
}

/// Decimal, without sign and leading zeros.
fn port(word: &str) -> Option<u16> {
    let plain = word.bytes().all(|b| b.is_ascii_digit()) && (word.len() == 1 || !word.starts_with('0'));
    word.parse().ok().filter(|_| plain)
}

fn version_2(bytes: &[u8]) -> Result<Parsed<'_>, Malformed> {
    let kind = bytes.get(12).copied();
    let command = match kind.map(|byte| (byte >> 4, byte & 0x0f)) {
        None => return Ok(Parsed::Partial(FIXED)),
        Some((2, 0)) => Command::Local,
        Some((2, 1)) => Command::Proxy,
        Some((2, _)) => return Err(Malformed::BadCommand),
        Some(_) => return Err(Malformed::BadVersion),
    };
    let Some(&[_, family, high, low]) = bytes.get(12..FIXED).and_then(|b| b.first_chunk()) else {
        return Ok(Parsed::Partial(FIXED));
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_BLOCK {
        return Err(Malformed::TooLong);
    }
    // A header about the sender itself has a family that means nothing.
    if command == Command::Proxy && !matches!((family >> 4, family & 0x0f), (0..=3, 0..=2)) {
        return Err(Malformed::BadFamily);
    }
    let Some(block) = bytes.get(FIXED..FIXED + length) else { return Ok(Parsed::Partial(FIXED + length)) };
    let (addresses, fields) = match command {
        Command::Local => (Addresses::Unspecified, Fields::default()),
        Command::Proxy => {
            let (addresses, rest) = addresses_of_block(family, block).ok_or(Malformed::ShortAddresses)?;
            let fields = check_fields(rest)?;
            check_sum(&bytes[..FIXED + length], rest)?;
            (addresses, fields)
        }
    };
    Ok(Parsed::Complete(Header { version: 2, command, addresses, fields, len: FIXED + length }))
}

/// The addresses and what follows them; an unspecified family has none.
fn addresses_of_block(family: u8, block: &[u8]) -> Option<(Addresses<'_>, &[u8])> {
    let (addresses, rest) = match family >> 4 {
        1 => {
            let (&[a, b, c, d, e, f, g, h, ref ports @ ..], rest) = block.split_first_chunk::<12>()?;
            (inet([a, b, c, d].into(), [e, f, g, h].into(), *ports), rest)
        }
        2 => {
            let (src, rest) = block.split_first_chunk::<16>()?;
            let (dst, rest) = rest.split_first_chunk::<16>()?;
            let (ports, rest) = rest.split_first_chunk::<4>()?;
            (inet((*src).into(), (*dst).into(), *ports), rest)
        }
        3 => {
            let (src, rest) = block.split_at_checked(UNIX_PATH)?;
            let (dst, rest) = rest.split_at_checked(UNIX_PATH)?;
            (Addresses::Unix { src: path(src), dst: path(dst) }, rest)
        }
        _ => (Addresses::Unspecified, block),
    };
    // An unspecified transport leaves the addresses without a meaning.
    Some((if family & 0x0f == 0 { Addresses::Unspecified } else { addresses }, rest))
}

fn inet<'b>(src: IpAddr, dst: IpAddr, ports: [u8; 4]) -> Addresses<'b> {
    let [a, b, c, d] = ports;
    Addresses::Inet {
        src: SocketAddr::new(src, u16::from_be_bytes([a, b])),
        dst: SocketAddr::new(dst, u16::from_be_bytes([c, d])),
    }
}

/// A path up to its zero; an abstract name, which begins with one, up to the zeros that fill it up.
fn path(bytes: &[u8]) -> &[u8] {
    match bytes.first() {
        Some(0) => &bytes[..bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1)],
        _ => &bytes[..memchr::memchr(0, bytes).unwrap_or(bytes.len())],
    }
}

fn check_fields(block: &[u8]) -> Result<Fields<'_>, Malformed> {
    let mut fields = Fields(block);
    for (kind, value) in &mut fields {
        match kind {
            tlv::CRC32C if value.len() != 4 => return Err(Malformed::BadField),
            tlv::AUTHORITY if value.len() > MAX_AUTHORITY => return Err(Malformed::BadField),
            tlv::UNIQUE_ID if value.len() > MAX_UNIQUE_ID => return Err(Malformed::BadField),
            tlv::SSL => drop(ssl(value)?),
            _ => {}
        }
    }
    match fields.0.is_empty() {
        true => Ok(Fields(block)),
        false => Err(Malformed::BadField),
    }
}

fn ssl(value: &[u8]) -> Result<Ssl<'_>, Malformed> {
    let (&[client, a, b, c, d], rest) = value.split_first_chunk().ok_or(Malformed::BadField)?;
    let mut fields = Fields(rest);
    fields.by_ref().for_each(drop);
    match fields.0.is_empty() {
        true => Ok(Ssl { client, verify: u32::from_be_bytes([a, b, c, d]), fields: Fields(rest) }),
        false => Err(Malformed::BadField),
    }
}

/// Holds the checksum, when there is one, against the header with zeros in its place. `block` are the sound fields at its end.
fn check_sum(header: &[u8], block: &[u8]) -> Result<(), Malformed> {
    let mut fields = Fields(block);
    let Some((_, told)) = fields.find(|(kind, _)| *kind == tlv::CRC32C) else { return Ok(()) };
    let end = header.len() - fields.0.len();
    let sum = crc32c::crc32c(&header[..end - 4]);
    let sum = crc32c::crc32c_append(crc32c::crc32c_append(sum, &[0; 4]), &header[end..]);
    match sum.to_be_bytes() == told && !fields.any(|(kind, _)| kind == tlv::CRC32C) {
        true => Ok(()),
        false => Err(Malformed::BadChecksum),
    }
}

/// Why the first bytes of a connection are no PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Malformed {
    /// They begin as neither version does.
    NoHeader,
    /// The line of version 1 is not what the protocol says.
    BadLine,
    /// It is longer than [`MAX_LINE`].
    LineTooLong,
    /// The version behind the signature is not 2.
    BadVersion,
    /// A command that nobody assigned.
    BadCommand,
    /// An address family or a transport that nobody assigned.
    BadFamily,
    /// It is longer than [`MAX_BLOCK`] allows.
    TooLong,
    /// Its length leaves no room for the addresses.
    ShortAddresses,
    /// A field does not fit, or has a length that its type does not allow.
    BadField,
    /// The checksum is not that of the header.
    BadChecksum,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Malformed::NoHeader => "the connection does not begin with a PROXY header",
            Malformed::BadLine => "the line of the PROXY header is not valid",
            Malformed::LineTooLong => "the line of the PROXY header is longer than 107 bytes",
            Malformed::BadVersion => "the version of the PROXY header is not 2",
            Malformed::BadCommand => "the command of the PROXY header is neither LOCAL nor PROXY",
            Malformed::BadFamily => "the address family or transport of the PROXY header is not known",
            Malformed::TooLong => "the PROXY header is longer than 4112 bytes",
            Malformed::ShortAddresses => "the PROXY header has no room for its addresses",
            Malformed::BadField => "a field of the PROXY header is cut or too long",
            Malformed::BadChecksum => "the checksum of the PROXY header is wrong",
        })
    }
}

impl std::error::Error for Malformed {}
