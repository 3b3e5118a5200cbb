//! The PROXY header that a connection to a server begins with (`send-proxy`): which bytes tell whose connection it is.
//!
//! Called by whoever dials on behalf of a client, who gathers the facts; the bytes are the first on the connection, before
//! TLS. Never pooled: a connection that was announced belongs to its client for as long as it lives.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;

use evenkeel_config::{ProxyVersion, SendProxy};
use evenkeel_proto::proxy::{Addresses, Command, Encoder, MAX_AUTHORITY, MAX_BLOCK, MAX_UNIQUE_ID, line, tlv};
use evenkeel_wire::Stream;

/// Sends a header as the first bytes of a connection.
///
/// # Errors
/// Of the socket.
pub async fn greet(stream: &Stream, header: &[u8]) -> io::Result<()> {
    let mut rest = header;
    while !rest.is_empty() {
        match stream.try_write(rest) {
            Ok(written) => rest = &rest[written..],
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => poll_fn(|cx| stream.poll_writable(cx)).await?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// What is known of the client on whose behalf a connection is made. What is not told stays out of the header.
#[derive(Clone, Debug, Default)]
pub struct Announcement<'a> {
    /// The client, and where it connected to; `None`: not over IP.
    pub ends: Option<(SocketAddr, SocketAddr)>,
    /// The protocol agreed on by ALPN.
    pub alpn: Option<&'a [u8]>,
    /// The name the client asked for.
    pub authority: Option<&'a [u8]>,
    /// The id of the request.
    pub unique_id: Option<&'a [u8]>,
    /// Its TLS.
    pub tls: Option<AnnouncedTls<'a>>,
    /// `set-proxy-v2-tlv-fmt`, formatted. Such a field replaces one that an option would add.
    pub fields: Vec<(u8, Vec<u8>)>,
}

/// What is told of a client's TLS.
#[derive(Clone, Debug, Default)]
pub struct AnnouncedTls<'a> {
    /// `TLSv1.3`.
    pub version: &'a str,
    /// The cipher suite, as OpenSSL names it.
    pub cipher: &'a str,
    /// The algorithm that signed the certificate we showed: `RSA-SHA256`.
    pub signature: Option<&'a str>,
    /// The key of that certificate: `RSA2048`, `EC256`.
    pub key: Option<&'a str>,
    /// Whether the session has a certificate of the client.
    pub has_certificate: bool,
    /// Whether the client sent it in this very handshake.
    pub sent_certificate: bool,
    /// Result of verifying it, by OpenSSL's number; 0: good.
    pub verify: u32,
    /// The common name in it.
    pub common_name: Option<&'a str>,
}

/// The header that `send` asks for. The order of the fields is HAProxy's.
pub fn announce(send: &SendProxy, client: &Announcement<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    match send.version {
        ProxyVersion::V1 => line(&mut out, client.ends),
        ProxyVersion::V2 => fields(&mut out, send, client),
    }
    out
}

fn fields(out: &mut Vec<u8>, send: &SendProxy, client: &Announcement<'_>) {
    let options = &send.options;
    // As HAProxy, whose receivers refuse a client's header without addresses.
    let (command, addresses) = match client.ends {
        Some((src, dst)) => (Command::Proxy, Addresses::Inet { src, dst }),
        None => (Command::Local, Addresses::Unspecified),
    };
    let mut encoder = Encoder::new(out, command, &addresses, options.crc32c);
    // A field that does not fit is left out: the addresses matter more than that a request fails.
    for (wanted, kind, value) in [
        (true, tlv::ALPN, client.alpn),
        (options.authority, tlv::AUTHORITY, client.authority),
        (options.unique_id, tlv::UNIQUE_ID, client.unique_id),
    ] {
        if wanted
            && let Some(value) = value.filter(|value| !value.is_empty() && value.len() <= longest(kind))
            && !client.fields.iter().any(|(own, _)| *own == kind)
        {
            encoder.field(kind, value);
        }
    }
    if options.ssl {
        ssl(&mut encoder, send, client.tls.as_ref());
    }
    for (kind, value) in &client.fields {
        if value.len() <= longest(*kind) {
            encoder.field(*kind, value);
        }
    }
    encoder.finish();
}

/// Bytes beyond which a receiver refuses a header with such a field.
fn longest(kind: u8) -> usize {
    match kind {
        tlv::AUTHORITY => MAX_AUTHORITY,
        tlv::UNIQUE_ID => MAX_UNIQUE_ID,
        _ => MAX_BLOCK,
    }
}

/// Without TLS the field says so by an empty set of flags.
fn ssl(encoder: &mut Encoder<'_>, send: &SendProxy, tls: Option<&AnnouncedTls<'_>>) {
    let options = &send.options;
    let Some(tls) = tls else {
        encoder.ssl(0, 0, []);
        return;
    };
    let mut flags = tlv::CLIENT_SSL;
    if tls.has_certificate {
        flags |= tlv::CLIENT_CERT_SESS;
        flags |= if tls.sent_certificate { tlv::CLIENT_CERT_CONN } else { 0 };
    }
    let verify = if tls.has_certificate { tls.verify } else { 0 };
    let told = [
        (true, tlv::SSL_VERSION, Some(tls.version)),
        (options.cert_cn, tlv::SSL_CN, tls.common_name),
        (options.cert_key, tlv::SSL_KEY_ALG, tls.key),
        (options.cert_sig, tlv::SSL_SIG_ALG, tls.signature),
        (options.ssl_cipher, tlv::SSL_CIPHER, Some(tls.cipher)),
    ];
    let told = told.into_iter().filter_map(|(wanted, kind, value)| {
        let value = value.filter(|value| wanted && !value.is_empty())?;
        Some((kind, value.as_bytes()))
    });
    encoder.ssl(flags, verify, told);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use evenkeel_config::ProxyOptions;
    use evenkeel_proto::proxy::{Header, Parsed, parse};

    use super::*;

    const ALL: ProxyOptions = ProxyOptions {
        ssl: true,
        cert_cn: true,
        ssl_cipher: true,
        cert_sig: true,
        cert_key: true,
        authority: true,
        crc32c: true,
        unique_id: true,
    };

    fn version_2(options: ProxyOptions) -> SendProxy {
        SendProxy { version: ProxyVersion::V2, options, tlvs: Vec::new() }
    }

    fn client<'a>() -> Announcement<'a> {
        Announcement {
            ends: Some(("127.0.0.1:48904".parse().unwrap(), "127.0.0.1:57017".parse().unwrap())),
            alpn: Some(b"h2"),
            authority: Some(b"www.ex.com"),
            unique_id: Some(b"id-57017"),
            tls: Some(AnnouncedTls {
                version: "TLSv1.3",
                cipher: "TLS_AES_256_GCM_SHA384",
                signature: Some("RSA-SHA256"),
                key: Some("RSA2048"),
                ..AnnouncedTls::default()
            }),
            fields: Vec::new(),
        }
    }

    fn read(bytes: &[u8]) -> Header<'_> {
        match parse(bytes) {
            Ok(Parsed::Complete(header)) if header.wire_len() == bytes.len() => header,
            other => panic!("{other:?}"),
        }
    }

    /// What HAProxy 2.6 sends for the same connection.
    #[test]
    fn a_header_is_that_of_haproxy_byte_by_byte() {
        let bytes = announce(&version_2(ALL), &client());
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n!\x11\0r\x7f\0\0\x01\x7f\0\0\x01\xbf\x08\xde\xb9\x03\0\x04o_l\x8a\x01\0\x02h2\
            \x02\0\nwww.ex.com\x05\0\x08id-57017 \0?\x01\0\0\0\0!\0\x07TLSv1.3%\0\x07RSA2048$\0\nRSA-SHA256#\0\
            \x16TLS_AES_256_GCM_SHA384"
                .as_slice();
        assert_eq!(bytes.escape_ascii().to_string(), expected.escape_ascii().to_string());
        read(&bytes);
        let mut plain = client();
        (plain.alpn, plain.tls) = (None, None);
        let with_ssl = ProxyOptions { ssl: true, ..ProxyOptions::default() };
        assert_eq!(announce(&version_2(with_ssl), &plain)[28..], *b" \0\x05\0\0\0\0\0");
        plain.ends = None;
        assert_eq!(announce(&version_2(ProxyOptions::default()), &plain), *b"\r\n\r\n\0\r\nQUIT\n \0\0\0");
    }

    #[test]
    fn version_1_is_a_line() {
        let send = SendProxy { version: ProxyVersion::V1, ..version_2(ALL) };
        assert_eq!(announce(&send, &client()), b"PROXY TCP4 127.0.0.1 127.0.0.1 48904 57017\r\n");
        assert_eq!(announce(&send, &Announcement::default()), b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn only_what_is_asked_for_and_known_is_told() {
        let bytes = announce(&version_2(ProxyOptions::default()), &client());
        assert_eq!(read(&bytes).fields().collect::<Vec<_>>(), [(tlv::ALPN, b"h2".as_slice())]);
        let mut known = client();
        known.tls = Some(AnnouncedTls {
            version: "TLSv1.2",
            has_certificate: true,
            sent_certificate: true,
            verify: 10,
            common_name: Some("me"),
            ..AnnouncedTls::default()
        });
        let bytes = announce(&version_2(ProxyOptions { ssl: true, cert_cn: true, ..ProxyOptions::default() }), &known);
        let ssl = read(&bytes).ssl().unwrap();
        assert_eq!((ssl.client, ssl.verify), (7, 10));
        let told: Vec<_> = ssl.fields.collect();
        assert_eq!(told, [(tlv::SSL_VERSION, b"TLSv1.2".as_slice()), (tlv::SSL_CN, b"me")]);
    }

    #[test]
    fn a_formatted_field_replaces_that_of_an_option_and_what_a_receiver_refuses_is_left_out() {
        let mut client = client();
        let long = vec![b'x'; 300];
        client.fields = vec![(tlv::AUTHORITY, b"own".to_vec()), (0xea, b"v".to_vec()), (0xeb, vec![0; MAX_BLOCK])];
        client.unique_id = Some(&long);
        let bytes = announce(&version_2(ProxyOptions { ssl: false, crc32c: false, ..ALL }), &client);
        let fields: Vec<_> = read(&bytes).fields().collect();
        assert_eq!(fields, [(tlv::ALPN, b"h2".as_slice()), (tlv::AUTHORITY, b"own"), (0xea, b"v")]);
    }
}
