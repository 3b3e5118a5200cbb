//! Fingerprints of a TLS client by its hello, which `evenkeel_proto` reads; the digests they need are here.

use std::fmt::Write;

use aws_lc_rs::digest;
use evenkeel_proto::ClientHello;

use crate::conv::md5;

/// The JA3 fingerprint of a client: 32 hexadecimal digits.
#[must_use]
pub fn ja3(hello: &ClientHello<'_>) -> String {
    md5(hello.ja3_text().as_bytes()).iter().fold(String::with_capacity(32), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// The JA4 fingerprint of a client over TCP: `t13d1516h2_8daaf6152771_e5627efa2ab1`.
#[must_use]
pub fn ja4(hello: &ClientHello<'_>) -> String {
    hello.ja4(|text| {
        let mut sum = [0; 32];
        sum.copy_from_slice(digest::digest(&digest::SHA256, text).as_ref());
        sum
    })
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used)]
    use evenkeel_proto::Hello;

    use super::*;

    fn block(width: usize, body: &[u8]) -> Vec<u8> {
        let mut out = body.len().to_be_bytes()[8 - width..].to_vec();
        out.extend_from_slice(body);
        out
    }

    fn words(values: &[u16]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_be_bytes()).collect()
    }

    /// The record of a ClientHello of that version.
    fn record(version: [u8; 2], ciphers: &[u16], extensions: &[(u16, Vec<u8>)]) -> Vec<u8> {
        let mut hello = version.to_vec();
        hello.extend_from_slice(&[7; 32]);
        hello.extend(block(1, &[9; 32]));
        hello.extend(block(2, &words(ciphers)));
        hello.extend(block(1, &[0]));
        let extensions: Vec<u8> =
            extensions.iter().flat_map(|(kind, body)| [words(&[*kind]), block(2, body)].concat()).collect();
        hello.extend(block(2, &extensions));
        let message = [vec![1], block(3, &hello)].concat();
        [vec![22, 3, 1], block(2, &message)].concat()
    }

    /// A ClientHello as a browser sends it.
    pub(crate) fn client_hello(sni: Option<&str>, alpn: &[&str]) -> Vec<u8> {
        let mut extensions = vec![(23, Vec::new())];
        if let Some(name) = sni {
            extensions.push((0, block(2, &[vec![0], block(2, name.as_bytes())].concat())));
        }
        extensions.push((10, block(2, &words(&[29, 23]))));
        if !alpn.is_empty() {
            extensions
                .push((16, block(2, &alpn.iter().flat_map(|name| block(1, name.as_bytes())).collect::<Vec<_>>())));
        }
        extensions.push((35, Vec::new()));
        record([3, 3], &[0x1301], &extensions)
    }

    fn whole(bytes: &[u8]) -> ClientHello<'_> {
        let Hello::Whole(hello) = Hello::read(bytes) else { panic!("whole") };
        hello
    }

    /// The examples in the descriptions of JA3 and JA4.
    #[test]
    fn fingerprints_are_those_of_their_authors() {
        let old = record(
            [3, 1],
            &[47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4],
            &[(0, b"\0\x04\0\0\x01x".to_vec()), (10, block(2, &words(&[23, 24, 25]))), (11, block(1, &[0]))],
        );
        assert_eq!(ja3(&whole(&old)), "ada70206e40642a3e4461f35503241d5");
        let kinds = [0x1b, 0, 0x33, 0x10, 0x4469, 0x17, 0x2d, 0x0d, 5, 0x23, 0x12, 0x2b, 0xff01, 0x0b, 0x0a, 0x15];
        let extensions: Vec<_> = kinds
            .into_iter()
            .map(|kind| match kind {
                0 => (kind, b"\0\x04\0\0\x01x".to_vec()),
                0x0d => {
                    let signatures = [0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601];
                    (kind, block(2, &words(&signatures)))
                }
                0x10 => (kind, block(2, b"\x02h2\x08http/1.1")),
                0x2b => (kind, block(1, &words(&[0x0304, 0x0303]))),
                _ => (kind, Vec::new()),
            })
            .collect();
        let ciphers = [
            0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d,
            0x002f, 0x0035,
        ];
        assert_eq!(ja4(&whole(&record([3, 3], &ciphers, &extensions))), "t13d1516h2_8daaf6152771_e5627efa2ab1");
    }
}
