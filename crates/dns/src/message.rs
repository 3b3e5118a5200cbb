//! Questions and answers as bytes (RFC 1035). Pure; what comes from a name server is checked here and nowhere else.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use crate::{Addresses, Failure};

/// Addresses kept of one answer.
const MAX_ADDRESSES: usize = 64;
/// Aliases followed within one answer.
const MAX_ALIASES: usize = 16;
/// What every resolver takes over UDP (RFC 1035 §4.2.1): a larger limit is announced by EDNS (RFC 6891).
const PLAIN_PAYLOAD: u16 = 512;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
}

/// A question, ready to be sent.
#[derive(Debug)]
pub(crate) struct Question {
    id: u16,
    query: Query,
    pub(crate) bytes: Vec<u8>,
}

/// What a message that was received is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The answer.
    Answer(Result<Addresses, Failure>),
    /// The answer, cut: it must be asked for over TCP (RFC 7766 §5).
    Truncated,
    /// It claims to be the answer and cannot be read.
    Malformed,
    /// Something else: a late answer, or a guess of somebody who wants to be taken for the name server.
    Stray,
}

impl Question {
    /// Asks for `name`; `None` when it can be none.
    pub(crate) fn new(id: u16, name: &str, kind: Kind, payload: u16) -> Option<Question> {
        let mut name = Name::from_ascii(name).ok()?;
        name.set_fqdn(true);
        let query = Query::query(name, if kind == Kind::A { RecordType::A } else { RecordType::AAAA });
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(query.clone());
        if payload > PLAIN_PAYLOAD {
            let mut edns = Edns::new();
            edns.set_max_payload(payload);
            message.set_edns(edns);
        }
        let bytes = message.to_vec().ok()?;
        Some(Question { id, query, bytes })
    }

    /// What `bytes` are to this question.
    pub(crate) fn hear(&self, bytes: &[u8]) -> Heard {
        // RFC 1035 §4.1.1: the id, then QR, the opcode and TC among the flags.
        let [a, b, flags, ..] = *bytes else { return Heard::Stray };
        if u16::from_be_bytes([a, b]) != self.id || flags & 0x80 == 0 {
            return Heard::Stray;
        }
        if flags & 0x02 != 0 {
            // The records may be cut anywhere.
            return Heard::Truncated;
        }
        let Ok(message) = Message::from_vec(bytes) else { return Heard::Malformed };
        let code = message.metadata.response_code;
        match &message.queries[..] {
            [query] if self.is(query) => {}
            // Who cannot read a question may leave it out of the refusal.
            [] if code != ResponseCode::NoError && code != ResponseCode::NXDomain => {}
            _ => return Heard::Stray,
        }
        Heard::Answer(match code {
            ResponseCode::NoError => self.addresses(&message),
            ResponseCode::NXDomain => Err(Failure::Nx),
            ResponseCode::Refused => Err(Failure::Refused),
            _ => Err(Failure::Other),
        })
    }

    fn is(&self, query: &Query) -> bool {
        query.name() == self.query.name()
            && query.query_type() == self.query.query_type()
            && query.query_class() == DNSClass::IN
    }

    /// The addresses at the end of the aliases; an answer without one is an error, as in HAProxy.
    fn addresses(&self, message: &Message) -> Result<Addresses, Failure> {
        let mut owner = self.query.name();
        for _ in 0..MAX_ALIASES {
            let alias = message.answers.iter().find_map(|record| match &record.data {
                RData::CNAME(target) if record.name == *owner => Some(&target.0),
                _ => None,
            });
            match alias {
                Some(target) => owner = target,
                None => break,
            }
        }
        let wanted = self.query.query_type();
        let found = message.answers.iter().filter(|record| record.name == *owner && record.record_type() == wanted);
        let found = found.filter_map(|record| match &record.data {
            RData::A(ip) => Some(IpAddr::V4(ip.0)),
            RData::AAAA(ip) => Some(IpAddr::V6(ip.0)),
            _ => None,
        });
        let found: Vec<IpAddr> = found.take(MAX_ADDRESSES).collect();
        if found.is_empty() { Err(Failure::Other) } else { Ok(found.into()) }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use super::*;

    /// The header of an answer with these flags and counts, and the question for `a.example`, type A.
    fn answer(flags: [u8; 2], records: &[&[u8]]) -> Vec<u8> {
        let mut bytes = vec![0x12, 0x34, flags[0], flags[1], 0, 1, 0, records.len() as u8, 0, 0, 0, 0];
        bytes.extend(b"\x01a\x07example\x00\x00\x01\x00\x01");
        records.iter().for_each(|record| bytes.extend(*record));
        bytes
    }

    fn question() -> Question {
        Question::new(0x1234, "a.example", Kind::A, 512).unwrap()
    }

    const A: &[u8] = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x01";
    /// `a.example` is `b.example`, and that has an address.
    const ALIAS: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x04\x01b\xc0\x0e";
    const AT_B: &[u8] = b"\x01b\xc0\x0e\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04\xc0\x00\x02\x02";
    const ITSELF: &[u8] = b"\xc0\x0c\x00\x05\x00\x01\x00\x00\x00\x3c\x00\x02\xc0\x0c";

    #[test]
    fn a_question_is_as_rfc_1035_has_it() {
        assert_eq!(
            question().bytes,
            b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"
        );
        let long = Question::new(1, "a.example", Kind::Aaaa, 4096).unwrap().bytes;
        // RFC 6891 §6.1.2: the root, OPT, the payload, no flags, nothing in it.
        assert!(long.ends_with(b"\x00\x1c\x00\x01\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00"), "{long:x?}");
        assert!(Question::new(1, &"a".repeat(64), Kind::A, 512).is_none());
    }

    #[test]
    fn answers_are_told_from_what_is_none() {
        let found = |ip: &str| Heard::Answer(Ok(Arc::from([ip.parse().unwrap()])));
        let failed = |failure| Heard::Answer(Err(failure));
        for (what, bytes, heard) in [
            ("an address", answer([0x81, 0x80], &[A]), found("192.0.2.1")),
            ("an alias", answer([0x81, 0x80], &[ALIAS, AT_B]), found("192.0.2.2")),
            ("an address of another name", answer([0x81, 0x80], &[AT_B]), failed(Failure::Other)),
            ("an alias of itself", answer([0x81, 0x80], &[ITSELF]), failed(Failure::Other)),
            ("no record", answer([0x81, 0x80], &[]), failed(Failure::Other)),
            ("NXDOMAIN", answer([0x81, 0x83], &[]), failed(Failure::Nx)),
            ("REFUSED", answer([0x81, 0x85], &[]), failed(Failure::Refused)),
            ("SERVFAIL", answer([0x81, 0x82], &[]), failed(Failure::Other)),
            ("REFUSED without the question", b"\x12\x34\x81\x85\0\0\0\0\0\0\0\0".to_vec(), failed(Failure::Refused)),
            ("NXDOMAIN without the question", b"\x12\x34\x81\x83\0\0\0\0\0\0\0\0".to_vec(), Heard::Stray),
            ("a cut answer", answer([0x83, 0x80], &[]), Heard::Truncated),
            ("a question", answer([0x01, 0x00], &[]), Heard::Stray),
            ("half a record", answer([0x81, 0x80], &[&A[..9]]), Heard::Malformed),
            ("nothing", Vec::new(), Heard::Stray),
        ] {
            assert_eq!(question().hear(&bytes), heard, "{what}");
        }
        let good = answer([0x81, 0x80], &[A]);
        for (at, what) in [(0, "another id"), (13, "another name"), (24, "another type"), (26, "another class")] {
            let mut bytes = good.clone();
            bytes[at] ^= 0x02;
            assert_eq!(question().hear(&bytes), Heard::Stray, "{what}");
        }
    }

    /// Whatever a name server sends, it is taken for something.
    #[test]
    fn a_seeded_sweep_of_broken_answers() {
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut below = |n: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            (seed % n as u64) as usize
        };
        let whole = answer([0x81, 0x80], &[ALIAS, AT_B, A, ITSELF]);
        let (mut answers, mut others) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = whole[..=below(whole.len())].to_vec();
            for _ in 0..below(4) {
                let at = below(bytes.len());
                bytes[at] = below(256) as u8;
            }
            match question().hear(&bytes) {
                Heard::Answer(_) => answers += 1,
                Heard::Truncated | Heard::Malformed | Heard::Stray => others += 1,
            }
        }
        assert!(answers > 50 && others > 5000, "{answers} answers, {others} others");
    }
}
