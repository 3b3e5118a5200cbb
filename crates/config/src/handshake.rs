//! A TLS handshake in words: of the request of a `[[test]]`, and of what `evenkeel explain` is asked.
//!
//! Written by `build::test` and by the command line, crosses the control socket, and becomes the facts that rules see.
//! Never parses a certificate unless one was given: what is told word by word is checked word by word.

use std::sync::Arc;

use evenkeel_acl::{CertFacts, Dn, TlsFacts};
use evenkeel_tls::facts::{self, CIPHERS, VERSIONS};
use serde::{Deserialize, Serialize};

/// What a handshake came to. What is left out is what most clients agree on: TLS 1.3, the cipher preferred in the version,
/// the name of the host, no ALPN, no certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Handshake {
    /// One of [`VERSIONS`].
    pub version: Option<String>,
    /// One of [`CIPHERS`].
    pub cipher: Option<String>,
    /// The protocol agreed on.
    pub alpn: Option<String>,
    /// The name the client asked for; empty: none.
    pub sni: Option<String>,
    /// An earlier session was resumed.
    pub resumed: bool,
    /// The request came as early data.
    pub early: bool,
    /// The certificate of the client.
    pub client: Option<ClientCert>,
}

/// A client certificate: itself, or word by word.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientCert {
    /// The certificate in DER; empty where it is described.
    pub der: Vec<u8>,
    /// Whose it is, as `/C=FR/CN=x`.
    pub s_dn: String,
    /// Who signed it.
    pub i_dn: String,
    /// Serial number in hexadecimal.
    pub serial: String,
    /// SHA-1 in hexadecimal.
    pub sha1: String,
    /// First moment, `YYMMDDhhmmssZ`.
    pub not_before: String,
    /// Last moment.
    pub not_after: String,
    /// Alternative names.
    pub san: String,
    /// What verifying it came to, by OpenSSL's number; 0: valid.
    pub verify: u32,
}

impl Handshake {
    /// Takes one value by the name of its key in a `[[test]]`.
    ///
    /// # Errors
    /// It is no such value.
    pub fn tell(&mut self, name: &str, text: &str) -> Result<(), String> {
        let (known, slot): (&[&str], _) = match name {
            "version" => (VERSIONS, &mut self.version),
            "cipher" => (CIPHERS, &mut self.cipher),
            "alpn" => (&[], &mut self.alpn),
            "sni" => (&[], &mut self.sni),
            _ => return Ok(()),
        };
        if !known.is_empty() && !known.contains(&text) {
            return Err(format!("`{text}` is not one of {}", known.join(", ")));
        }
        *slot = Some(text.to_owned());
        Ok(())
    }

    /// Whether the values fit each other.
    ///
    /// # Errors
    /// A cipher of another version.
    pub fn check(&self) -> Result<(), String> {
        let version = self.version();
        match &self.cipher {
            Some(cipher) if cipher.starts_with("TLS_") != (version == VERSIONS[0]) => {
                Err(format!("{version} has no cipher suite `{cipher}`"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the connection speaks HTTP/2.
    pub fn is_h2(&self) -> bool {
        self.alpn.as_deref() == Some("h2")
    }

    fn version(&self) -> &'static str {
        let told = self.version.as_deref();
        VERSIONS.iter().find(|known| told == Some(known)).copied().unwrap_or(VERSIONS[0])
    }

    /// What rules see of it; `host` is the one of the request.
    ///
    /// # Errors
    /// What cannot be.
    pub fn facts(&self, host: &str) -> Result<TlsFacts, String> {
        self.check()?;
        let protocol = self.version();
        let fits = |cipher: &&&str| match &self.cipher {
            Some(told) => told == *cipher,
            None => cipher.starts_with("TLS_") == (protocol == VERSIONS[0]),
        };
        let cipher = CIPHERS.iter().find(fits).copied().unwrap_or_default();
        let sni = self.sni.as_deref().unwrap_or(host);
        let client = self.client.as_ref();
        let verify = client.map_or(0, |cert| cert.verify);
        Ok(TlsFacts {
            protocol,
            cipher,
            key_bits: facts::key_bits(cipher),
            alpn: self.alpn.as_ref().map(|alpn| alpn.as_bytes().into()),
            sni: (!sni.is_empty()).then(|| sni.into()),
            resumed: self.resumed,
            early: self.early,
            sent_certificate: client.is_some() && !self.resumed,
            verify_error: verify,
            verify_result: verify,
            peer: client.map(ClientCert::facts).transpose()?.map(Arc::new),
            peer_chain: client.map(|cert| cert.der.as_slice().into()).unwrap_or_default(),
            ..TlsFacts::default()
        })
    }
}

impl ClientCert {
    /// Takes one value by the name of its key in a `[[test]]`.
    ///
    /// # Errors
    /// It is no such value.
    pub fn tell(&mut self, name: &str, text: &str) -> Result<(), String> {
        let (fits, slot) = match name {
            "s-dn" => (dn(text).map(drop), &mut self.s_dn),
            "i-dn" => (dn(text).map(drop), &mut self.i_dn),
            "serial" => (bytes(text).map(drop), &mut self.serial),
            "sha1" => (fingerprint(text).map(drop), &mut self.sha1),
            "notbefore" => (time(text).map(drop), &mut self.not_before),
            "notafter" => (time(text).map(drop), &mut self.not_after),
            "san" => (Ok(()), &mut self.san),
            _ => return Ok(()),
        };
        fits?;
        text.clone_into(slot);
        Ok(())
    }

    /// What rules see of it.
    ///
    /// # Errors
    /// What is no name, number or time.
    pub fn facts(&self) -> Result<CertFacts, String> {
        if !self.der.is_empty() {
            return Ok(facts::of_certificate(&self.der));
        }
        Ok(CertFacts {
            sha1: fingerprint(&self.sha1)?,
            serial: bytes(&self.serial)?.into(),
            version: 3,
            not_before: time(&self.not_before)?.into(),
            not_after: time(&self.not_after)?.into(),
            subject: dn(&self.s_dn)?,
            issuer: dn(&self.i_dn)?,
            san: self.san.as_str().into(),
            ..CertFacts::default()
        })
    }
}

fn fingerprint(text: &str) -> Result<[u8; 20], String> {
    match text {
        "" => Ok([0; 20]),
        text => bytes(text)?.try_into().map_err(|_| format!("`{text}` has not 40 hexadecimal digits")),
    }
}

fn dn(text: &str) -> Result<Dn, String> {
    if text.is_empty() { Ok(Dn::default()) } else { Dn::parse(text) }
}

fn time(text: &str) -> Result<&str, String> {
    let digits = text.strip_suffix('Z').filter(|rest| rest.len() == 12 && rest.bytes().all(|b| b.is_ascii_digit()));
    match digits.is_some() || text.is_empty() {
        true => Ok(text),
        false => Err(format!("`{text}` is no time such as 270101000000Z (YYMMDDhhmmssZ)")),
    }
}

fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || format!("`{text}` is not an even number of hexadecimal digits");
    if !text.len().is_multiple_of(2) || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_left_out_is_what_most_clients_agree_on() {
        let facts = Handshake::default().facts("a.example").unwrap();
        assert_eq!(
            (facts.protocol, facts.cipher, facts.key_bits, facts.sni.as_deref()),
            ("TLSv1.3", "TLS_AES_128_GCM_SHA256", 128, Some("a.example"))
        );
        assert!(facts.alpn.is_none() && facts.peer.is_none() && !facts.sent_certificate);
        let older = Handshake { version: Some("TLSv1.2".into()), sni: Some(String::new()), ..Handshake::default() };
        let facts = older.facts("a.example").unwrap();
        assert_eq!((facts.cipher, facts.sni), ("ECDHE-ECDSA-AES128-GCM-SHA256", None));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let mut handshake = Handshake::default();
        assert!(handshake.tell("version", "TLSv1.1").is_err() && handshake.tell("cipher", "RC4-MD5").is_err());
        handshake.tell("cipher", "ECDHE-RSA-AES256-GCM-SHA384").unwrap();
        assert!(handshake.facts("a").unwrap_err().contains("TLSv1.3 has no cipher suite"));
        handshake.tell("version", "TLSv1.2").unwrap();
        assert_eq!(handshake.facts("a").unwrap().key_bits, 256);
        for (name, text) in [
            ("s-dn", "CN=x"),
            ("s-dn", "/x"),
            ("serial", "0AF"),
            ("serial", "0\u{e9}x"),
            ("sha1", "0AFF"),
            ("notafter", "2027"),
            ("notbefore", "260101000000"),
        ] {
            assert!(ClientCert::default().tell(name, text).is_err(), "{name} {text}");
        }
    }

    #[test]
    fn a_certificate_word_by_word() {
        let mut cert = ClientCert { verify: 10, ..ClientCert::default() };
        for (name, text) in [("s-dn", "/C=FR/CN=a/b"), ("serial", "0aFF"), ("notafter", "270101000000Z")] {
            cert.tell(name, text).unwrap();
        }
        let handshake = Handshake { client: Some(cert), resumed: true, ..Handshake::default() };
        let facts = handshake.facts("a").unwrap();
        let peer = facts.peer.unwrap();
        assert_eq!((peer.subject.last("CN"), &*peer.serial), (Some("a/b"), &[0x0a, 0xff][..]));
        assert_eq!((facts.verify_result, facts.verify_error, facts.sent_certificate), (10, 10, false));
    }
}
