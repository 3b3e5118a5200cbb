//! Writing PROXY headers.

use std::io::Write;
use std::net::{Ipv6Addr, SocketAddr};

use super::{Addresses, Command, FIXED, MAX_BLOCK, SIGNATURE, UNIX_PATH, tlv};

/// Appends a header of version 1; without addresses it says `UNKNOWN`.
pub fn line(out: &mut Vec<u8>, ends: Option<(SocketAddr, SocketAddr)>) {
    // Writing into a vector does not fail.
    let _ = match ends.map(one_family) {
        None => out.write_all(b"PROXY UNKNOWN\r\n"),
        Some((src, dst)) => {
            let family = if src.is_ipv4() { "TCP4" } else { "TCP6" };
            write!(out, "PROXY {family} {} {} {} {}\r\n", src.ip(), dst.ip(), src.port(), dst.port())
        }
    };
}

/// A header of version 2 in the making, at the end of a buffer.
#[derive(Debug)]
pub struct Encoder<'o> {
    out: &'o mut Vec<u8>,
    /// Where the header begins.
    start: usize,
    /// Where the checksum goes.
    sum: Option<usize>,
}

impl<'o> Encoder<'o> {
    /// Begins a header with these addresses, and with its checksum when asked.
    pub fn new(out: &'o mut Vec<u8>, command: Command, addresses: &Addresses<'_>, checksum: bool) -> Encoder<'o> {
        let start = out.len();
        out.extend_from_slice(&SIGNATURE);
        out.push(match command {
            Command::Local => 0x20,
            Command::Proxy => 0x21,
        });
        match *addresses {
            Addresses::Unspecified => out.extend_from_slice(&[0, 0, 0]),
            Addresses::Inet { src, dst } => match one_family((src, dst)) {
                (SocketAddr::V4(src), SocketAddr::V4(dst)) => {
                    out.extend_from_slice(&[0x11, 0, 0]);
                    out.extend_from_slice(&src.ip().octets());
                    out.extend_from_slice(&dst.ip().octets());
                    ports(out, src.port(), dst.port());
                }
                (src, dst) => {
                    out.extend_from_slice(&[0x21, 0, 0]);
                    out.extend_from_slice(&mapped(src).octets());
                    out.extend_from_slice(&mapped(dst).octets());
                    ports(out, src.port(), dst.port());
                }
            },
            Addresses::Unix { src, dst } => {
                out.extend_from_slice(&[0x31, 0, 0]);
                for path in [src, dst] {
                    let kept = &path[..path.len().min(UNIX_PATH)];
                    out.extend_from_slice(kept);
                    out.resize(out.len() + UNIX_PATH - kept.len(), 0);
                }
            }
        }
        let sum = checksum.then(|| {
            field(out, tlv::CRC32C, &[0; 4]);
            out.len() - 4
        });
        Encoder { out, start, sum }
    }

    /// Appends a field, unless it would make the header longer than a receiver like ourselves takes; whether it did.
    pub fn field(&mut self, kind: u8, value: &[u8]) -> bool {
        let room = self.start + FIXED + MAX_BLOCK - self.out.len();
        if value.len() + 3 > room {
            return false;
        }
        field(self.out, kind, value);
        true
    }

    /// Appends what is known of the client's TLS: flags, the result of verification, and fields.
    pub fn ssl<'v>(&mut self, client: u8, verify: u32, fields: impl IntoIterator<Item = (u8, &'v [u8])>) -> bool {
        let mut value = vec![client];
        value.extend_from_slice(&verify.to_be_bytes());
        for (kind, inner) in fields {
            // Beyond this the whole could not be appended either.
            if value.len() + inner.len() > MAX_BLOCK {
                return false;
            }
            field(&mut value, kind, inner);
        }
        self.field(tlv::SSL, &value)
    }

    /// Ends the header.
    pub fn finish(self) {
        let Encoder { out, start, sum } = self;
        let length = u16::try_from(out.len() - start - FIXED).unwrap_or(u16::MAX);
        out[start + FIXED - 2..start + FIXED].copy_from_slice(&length.to_be_bytes());
        if let Some(at) = sum {
            let sum = crc32c::crc32c(&out[start..]);
            out[at..at + 4].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

fn field(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    out.push(kind);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&value[..length.into()]);
}

fn ports(out: &mut Vec<u8>, src: u16, dst: u16) {
    out.extend_from_slice(&src.to_be_bytes());
    out.extend_from_slice(&dst.to_be_bytes());
}

/// Both as they are when they are of one family, else both as IPv6.
fn one_family((src, dst): (SocketAddr, SocketAddr)) -> (SocketAddr, SocketAddr) {
    match src.is_ipv4() == dst.is_ipv4() {
        true => (src, dst),
        false => (SocketAddr::new(mapped(src).into(), src.port()), SocketAddr::new(mapped(dst).into(), dst.port())),
    }
}

fn mapped(address: SocketAddr) -> Ipv6Addr {
    match address {
        SocketAddr::V4(address) => address.ip().to_ipv6_mapped(),
        SocketAddr::V6(address) => *address.ip(),
    }
}
