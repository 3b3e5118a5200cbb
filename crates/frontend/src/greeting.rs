//! The PROXY header a server asks for: what of the client it is told.
//!
//! Called by `upstream` for each request that goes to a server with `send-proxy`; what takes the whole transaction to know is
//! gathered before by `txn` and `tcp`. The bytes are a part of the identity of a connection: one that was made with others is
//! not used again, by its own client neither.

use evenkeel_acl::{CertFacts, LogFormat, Session, TlsFacts};
use evenkeel_backend::{AnnouncedTls, Announcement, Group, announce};
use evenkeel_proto::proxy::tlv;

use crate::conn::Conn;

/// What headers tell of the request, besides its client; nothing where no server of the backend has `send-proxy`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extras {
    unique_id: Vec<u8>,
    /// `set-proxy-v2-tlv-fmt` of each server.
    fields: Vec<Vec<(u8, Vec<u8>)>>,
}

impl Extras {
    /// Whether a server of the backend wants the id of the request.
    pub(crate) fn wants_id(group: &Group) -> bool {
        group.slots.iter().any(|slot| slot.conf.send_proxy.as_ref().is_some_and(|send| send.options.unique_id))
    }

    /// Gathers it; `format` writes a text with items.
    pub(crate) fn gather(group: &Group, unique_id: &[u8], mut format: impl FnMut(&LogFormat, &mut Vec<u8>)) -> Extras {
        let mut extras = Extras { unique_id: unique_id.to_vec(), fields: Vec::new() };
        for (at, slot) in group.slots.iter().enumerate() {
            let Some(send) = slot.conf.send_proxy.as_ref().filter(|send| !send.tlvs.is_empty()) else { continue };
            let fields = send.tlvs.iter().map(|(kind, text)| {
                let mut value = Vec::new();
                format(text, &mut value);
                (*kind, value)
            });
            extras.fields.resize_with(group.slots.len(), Vec::new);
            extras.fields[at] = fields.filter(|(_, value)| !value.is_empty()).collect();
        }
        extras
    }
}

/// The header for the server of `slot`; `None`: it wants none.
pub(crate) fn of(conn: &Conn, group: &Group, slot: usize, extras: &Extras) -> Option<Box<[u8]>> {
    let send = group.slots[slot].conf.send_proxy.as_ref()?;
    let session = &conn.session;
    let dst = session.dst.or_else(|| conn.stream.local_addr());
    let key = session.tls.as_ref().and_then(|tls| tls.own.as_deref()).map(key);
    let announcement = Announcement {
        ends: session.src.zip(dst),
        alpn: session.tls.as_ref().and_then(|tls| tls.alpn.as_deref()),
        authority: authority(session),
        unique_id: Some(&extras.unique_id),
        tls: session.tls.as_ref().map(|facts| tls(facts, key.as_deref())),
        fields: extras.fields.get(slot).cloned().unwrap_or_default(),
    };
    Some(announce(send, &announcement).into())
}

/// The name in the header that came with the connection, else the one asked for in its TLS handshake.
fn authority(session: &Session) -> Option<&[u8]> {
    let received = session.proxied.as_ref().and_then(|facts| facts.get(tlv::AUTHORITY));
    received.or_else(|| session.tls.as_ref()?.sni.as_ref().map(|name| name.as_bytes()))
}

fn tls<'a>(facts: &'a TlsFacts, key: Option<&'a str>) -> AnnouncedTls<'a> {
    AnnouncedTls {
        version: facts.protocol,
        cipher: facts.cipher,
        signature: facts.own.as_ref().map(|own| &*own.sig_alg),
        key,
        has_certificate: facts.peer.is_some(),
        sent_certificate: facts.sent_certificate,
        verify: facts.verify_result,
        common_name: facts.peer.as_ref().and_then(|peer| common_name(peer)),
    }
}

/// `RSA2048`, `EC256`, as HAProxy names keys.
fn key(cert: &CertFacts) -> String {
    match &*cert.key_alg {
        "rsaEncryption" => format!("RSA{}", cert.key_bits),
        "id-ecPublicKey" => format!("EC{}", cert.key_bits),
        other => other.to_owned(),
    }
}

fn common_name(cert: &CertFacts) -> Option<&str> {
    cert.subject.0.iter().find(|(name, _)| **name == *"CN").map(|(_, value)| &**value)
}
