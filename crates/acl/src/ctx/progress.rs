//! How far a transaction has come, as its driver knows it.

use std::net::SocketAddr;

use super::Wire;
use crate::fetch::TlsFacts;

/// Milliseconds of the parts of a transaction; -1: did not happen (yet).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// `%Th`: PROXY header and TLS handshake.
    pub handshake: i64,
    /// `%Ti`: idle before the request.
    pub idle: i64,
    /// `%TR`: first byte of the request to the end of its head.
    pub request: i64,
    /// `%Tw`: in queues.
    pub queue: i64,
    /// `%Tc`: connecting.
    pub connect: i64,
    /// `%Tr`: from connected to the response head.
    pub response: i64,
    /// `%Td`: the response body.
    pub data: i64,
    /// `%Ta`: first byte of the request to the end.
    pub active: i64,
    /// `%Tt`: accept to the end.
    pub total: i64,
}

impl Times {
    /// Nothing happened yet.
    pub const NONE: Times = Times {
        handshake: 0,
        idle: 0,
        request: -1,
        queue: -1,
        connect: -1,
        response: -1,
        data: -1,
        active: -1,
        total: -1,
    };
}

impl Default for Times {
    fn default() -> Times {
        Times::NONE
    }
}

/// How far the transaction has come, as its driver knows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress<'a> {
    /// Frontend name.
    pub frontend: &'a str,
    /// Its number (`fe_id`).
    pub frontend_id: u32,
    /// Its `default_backend`.
    pub default_backend: Option<&'a str>,
    /// Name of the bind (`so_name`).
    pub listener: &'a str,
    /// Its number, from 1 (`so_id`).
    pub listener_id: u32,
    /// The backend, once chosen.
    pub backend: Option<&'a str>,
    /// Its number (`be_id`).
    pub backend_id: u32,
    /// The server, once chosen.
    pub server: Option<&'a str>,
    /// Its number (`srv_id`).
    pub server_id: u32,
    /// Its address.
    pub server_addr: Option<SocketAddr>,
    /// Our address towards it.
    pub server_src: Option<SocketAddr>,
    /// What it speaks on the wire (`bc_http_major`).
    pub server_wire: Wire,
    /// What the TLS handshake with it came to, when that connection has TLS.
    pub server_tls: Option<&'a TlsFacts>,
    /// Whether the connection to it was used before (`bc_reused`).
    pub reused: bool,
    /// Times up to now.
    pub times: Times,
    /// When the request began, in microseconds since 1970.
    pub began_us: i64,
    /// Bytes read from the client.
    pub bytes_in: u64,
    /// Bytes written to the client.
    pub bytes_out: u64,
    /// Bytes written to the server.
    pub bytes_up: u64,
    /// Bytes read from the server.
    pub bytes_down: u64,
    /// Status the client got.
    pub status: Option<u16>,
    /// Status the server sent.
    pub server_status: Option<u16>,
    /// HAProxy's termination letters; empty while it runs.
    pub letters: &'a str,
    /// Label, code and sentence of the reason it ended; empty while it runs.
    pub reason: [&'a str; 3],
    /// Sessions of process, frontend, backend, server (`%ac %fc %bc %sc`).
    pub sessions: [u64; 4],
    /// Positions in the queues of server and backend (`%sq %bq`).
    pub queued: [u64; 2],
    /// HTTP/2 error codes of client and server, where one reset its stream.
    pub resets: [Option<u32>; 2],
    /// Attempts after the first (`%rc`).
    pub retries: u32,
    /// Whether it went to another server than the one first chosen.
    pub redispatched: bool,
    /// Requests of the process before this one (`%rt`).
    pub serial: u64,
    /// Capture slots the frontend declares for requests and for responses: braces are logged where there are any.
    pub captures: [usize; 2],
    /// Bytes of the target that log lines hold (`tune.log-uri-len`); 0: all.
    pub log_uri_len: usize,
    /// Whether what still grows is marked with a `+`: the line is written before the end (`option logasap`).
    pub early: bool,
    /// What the log line is written for (`%OG`); empty where none is.
    pub origin: &'a str,
}
