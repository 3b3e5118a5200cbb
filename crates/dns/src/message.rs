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
