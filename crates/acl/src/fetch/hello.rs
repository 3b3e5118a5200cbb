//! The ClientHello of TLS, read out of raw bytes without ending TLS.
//!
//! Called by the fetches of raw data. Every length is checked against what is there; what is cut off is told apart from
//! what is wrong, because more bytes may come. Only a hello within one record is read, as in HAProxy.

/// What the first bytes of a connection say of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hello<'b> {
    /// They may become a hello.
    Partial(Fields<'b>),
    /// A whole one.
    Whole(Fields<'b>),
    /// They are no TLS handshake.
    Other,
}

/// What a hello holds, as far as it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields<'b> {
    /// Type of the handshake message: 1 for a ClientHello, 2 for a ServerHello.
    pub(super) kind: Option<u8>,
    /// Major and minor version in the hello.
    pub(super) version: Option<(u8, u8)>,
    /// The name asked for.
    pub(super) sni: Option<&'b [u8]>,
    /// The body of the ALPN extension's list of protocols.
    alpn: Option<&'b [u8]>,
    /// Length of the session ticket, when that extension is there.
    pub(super) ticket: Option<usize>,
    /// Whether the client names its elliptic curves.
    pub(super) curves: bool,
}

impl<'b> Fields<'b> {
    /// The protocols offered by ALPN, in order.
    pub(super) fn alpn(&self) -> impl Iterator<Item = &'b [u8]> + use<'b> {
        let mut rest = Reader(self.alpn.unwrap_or(b""));
        std::iter::from_fn(move || rest.short_block().filter(|name| !name.is_empty()))
    }
}

impl<'b> Hello<'b> {
    /// Reads the first bytes of a direction.
    pub(super) fn read(bytes: &'b [u8]) -> Hello<'b> {
        let mut record = Reader(bytes);
        // RFC 8446, 5.1: type 22 (handshake), version, length.
        match (record.byte(), record.byte(), record.byte()) {
            (None, ..) => return Hello::Partial(Fields::default()),
            (Some(22), None | Some(3), _) => {}
            _ => return Hello::Other,
        }
        let Some(length) = record.number(2) else { return Hello::Partial(Fields::default()) };
        // 4 bytes begin a message; a record holds at most 2^14 bytes and some.
        if !(4..=(1 << 14) + 256).contains(&length) {
            return Hello::Other;
        }
        let present = length.min(record.0.len());
        let whole = present == length;
        let mut message = Reader(&record.0[..present]);
        let mut fields = Fields { kind: message.byte(), ..Fields::default() };
        if let Some(1) = fields.kind {
            let read = client(&mut message, &mut fields);
            // In a whole record nothing is cut off: what does not fit is wrong.
            if whole && read.is_none() {
                return Hello::Other;
            }
        }
        if whole { Hello::Whole(fields) } else { Hello::Partial(fields) }
    }
}

/// RFC 8446, 4.1.2; `None` when the bytes end before the hello does.
fn client<'b>(message: &mut Reader<'b>, fields: &mut Fields<'b>) -> Option<()> {
    message.number(3)?;
    fields.version = Some((message.byte()?, message.byte()?));
    message.take(32)?;
    message.short_block()?;
    message.long_block()?;
    message.short_block()?;
    if message.0.is_empty() {
        // Extensions may be left out as a whole.
        return Some(());
    }
    message.number(2)?;
    while !message.0.is_empty() {
        let kind = message.number(2)?;
        let mut body = Reader(message.long_block()?);
        match kind {
            // RFC 6066, 3: a list of names, each with its type; 0 is a host name.
            0 => {
                let mut list = Reader(body.long_block()?);
                while let Some(kind) = list.byte() {
                    let name = list.long_block()?;
                    if kind == 0 && fields.sni.is_none() {
                        fields.sni = Some(name);
                    }
                }
            }
            10 => fields.curves = true,
            // RFC 7301, 3.1.
            16 => fields.alpn = body.long_block(),
            35 => fields.ticket = Some(body.0.len()),
            _ => {}
        }
    }
    Some(())
}

/// Takes bytes from the front; `None` when there are too few.
#[derive(Clone, Copy, Debug)]
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|byte| byte[0])
    }

    /// A number in network order.
    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |value, &byte| value << 8 | usize::from(byte)))
    }

    /// Bytes with their length in one byte before them.
    fn short_block(&mut self) -> Option<&'b [u8]> {
        let length = self.number(1)?;
        self.take(length)
    }

    /// Bytes with their length in two bytes before them.
    fn long_block(&mut self) -> Option<&'b [u8]> {
        let length = self.number(2)?;
        self.take(length)
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::Rng;

    fn block(width: usize, body: &[u8]) -> Vec<u8> {
        let mut out = body.len().to_be_bytes()[8 - width..].to_vec();
        out.extend_from_slice(body);
        out
    }

    /// A ClientHello as a browser sends it.
    pub(crate) fn client_hello(sni: Option<&str>, alpn: &[&str]) -> Vec<u8> {
        let mut extensions = Vec::new();
        let mut add = |kind: u8, body: &[u8]| {
            extensions.extend_from_slice(&[0, kind]);
            extensions.extend(block(2, body));
        };
        add(23, &[]);
        if let Some(name) = sni {
            let mut list = vec![0];
            list.extend(block(2, name.as_bytes()));
            add(0, &block(2, &list));
        }
        add(10, &block(2, &[0, 29, 0, 23]));
        if !alpn.is_empty() {
            let list: Vec<u8> = alpn.iter().flat_map(|name| block(1, name.as_bytes())).collect();
            add(16, &block(2, &list));
        }
        add(35, &[]);
        let mut hello = vec![3, 3];
        hello.extend_from_slice(&[7; 32]);
        hello.extend(block(1, &[9; 32]));
        hello.extend(block(2, &[0x13, 0x01]));
        hello.extend(block(1, &[0]));
        hello.extend(block(2, &extensions));
        let mut message = vec![1];
        message.extend(block(3, &hello));
        let mut record = vec![22, 3, 1];
        record.extend(block(2, &message));
        record
    }

    #[test]
    fn a_hello_is_read() {
        let bytes = client_hello(Some("www.ex.com"), &["h2", "http/1.1"]);
        let Hello::Whole(fields) = Hello::read(&bytes) else { panic!("whole") };
        assert_eq!((fields.kind, fields.version), (Some(1), Some((3, 3))));
        assert_eq!(fields.sni, Some(b"www.ex.com".as_slice()));
        assert_eq!(fields.alpn().collect::<Vec<_>>(), [b"h2".as_slice(), b"http/1.1"]);
        assert_eq!((fields.ticket, fields.curves), (Some(0), true));
        let bytes = client_hello(None, &[]);
        let Hello::Whole(fields) = Hello::read(&bytes) else { panic!("whole") };
        assert_eq!((fields.sni, fields.alpn().count()), (None, 0));
    }

    #[test]
    fn what_is_cut_off_is_undecided_and_what_is_wrong_is_not() {
        let bytes = client_hello(Some("a"), &["h2"]);
        for length in 0..bytes.len() {
            assert!(matches!(Hello::read(&bytes[..length]), Hello::Partial(_)), "{length}");
        }
        for other in [
            b"GET / HTTP/1.1".as_slice(),
            b"\x16\x02",
            b"\x16\x03\x01\x00\x01\x01",
            b"\x17\x03\x03",
            b"\x16\x03\x01\xff\xff",
        ] {
            assert_eq!(Hello::read(other), Hello::Other, "{other:?}");
        }
        // The name is there before the rest is.
        let Hello::Partial(fields) = Hello::read(&bytes[..bytes.len() - 1]) else { panic!("partial") };
        assert_eq!(fields.sni, Some(b"a".as_slice()));
    }

    #[test]
    fn changed_and_cut_hellos_never_panic() {
        const SEED: u64 = 0x7e110;
        let mut rng = Rng::new(SEED);
        let good = client_hello(Some("www.example.com"), &["h2", "http/1.1"]);
        for round in 0..20_000 {
            let mut bytes = good.clone();
            for _ in 0..rng.below(4) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            if let Hello::Partial(fields) | Hello::Whole(fields) = Hello::read(&bytes) {
                let found: usize = fields.alpn().map(<[u8]>::len).sum::<usize>() + fields.sni.map_or(0, <[u8]>::len);
                assert!(found <= bytes.len(), "seed {SEED:#x}, round {round}");
            }
        }
    }
}
