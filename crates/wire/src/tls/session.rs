//! One turn of rustls's unbuffered state machine, for both sides.
//!
//! Each state is dealt with where it appears: plaintext goes to a [`Sink`], encoded messages to the caller's `out`, which is
//! the queue that rustls wants to have sent.

use rustls::CommonState;
use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, ReadEarlyData, UnbufferedStatus, WriteTraffic,
};

/// A session of either side.
pub(super) enum Session {
    Server(UnbufferedServerConnection),
    Client(UnbufferedClientConnection),
}

/// Where decrypted bytes go: into the reader's buffer, and what does not fit behind it.
pub(super) struct Sink<'a> {
    pub(super) to: &'a mut [u8],
    pub(super) filled: usize,
    pub(super) spill: &'a mut Vec<u8>,
    /// Records of application data.
    pub(super) records: usize,
    /// Whether early data was among it.
    pub(super) early: bool,
}

impl Sink<'_> {
    #[inline]
    fn put(&mut self, bytes: &[u8]) {
        let room = self.to.len() - self.filled;
        let (fits, rest) = bytes.split_at(bytes.len().min(room));
        self.to[self.filled..][..fits.len()].copy_from_slice(fits);
        self.filled += fits.len();
        if !rest.is_empty() {
            self.spill.extend_from_slice(rest);
        }
        self.records += 1;
    }
}

/// Where a turn ended.
pub(super) enum Turn {
    /// There is more to be done with the same input.
    More,
    /// Nothing without more input; application data may not be sent.
    Blocked,
    /// Nothing without more input; application data may be sent.
    Traffic,
    /// The peer has sent close_notify. There is more to be done.
    PeerClosed,
    /// Both have sent close_notify.
    Closed,
    Failed(rustls::Error),
}

impl Session {
    pub(super) fn common(&self) -> &CommonState {
        match self {
            Session::Server(s) => s,
            Session::Client(s) => s,
        }
    }

    /// Goes on with `input`. Returns how many bytes of it are done with.
    #[inline]
    pub(super) fn turn(&mut self, input: &mut [u8], sink: &mut Sink<'_>, out: &mut Vec<u8>) -> (usize, Turn) {
        match self {
            Session::Server(s) => settle(s.process_tls_records(input), sink, out),
            Session::Client(s) => settle(s.process_tls_records(input), sink, out),
        }
    }

    /// Hands `work` what encrypts application data; `None` when that is not possible now. `tail` is what rustls has seen and
    /// not let go: it must be there, since a part of a handshake message lies in it.
    #[inline]
    pub(super) fn encrypt<R>(&mut self, tail: &mut [u8], work: impl FnOnce(&mut dyn Encrypt) -> R) -> Option<R> {
        match self {
            Session::Server(s) => match s.process_tls_records(tail).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => Some(work(&mut traffic)),
                _ => None,
            },
            Session::Client(s) => match s.process_tls_records(tail).state {
                Ok(ConnectionState::WriteTraffic(mut traffic)) => Some(work(&mut traffic)),
                _ => None,
            },
        }
    }
}

/// What can be done while application data may be sent.
pub(super) trait Encrypt {
    /// Encrypts into `out`. Returns how much of that was used.
    fn record(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, EncryptError>;
    /// Encrypts a close_notify.
    fn close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError>;
}

impl<Data> Encrypt for WriteTraffic<'_, Data> {
    fn record(&mut self, plain: &[u8], out: &mut [u8]) -> Result<usize, EncryptError> {
        self.encrypt(plain, out)
    }

    fn close_notify(&mut self, out: &mut [u8]) -> Result<usize, EncryptError> {
        self.queue_close_notify(out)
    }
}

/// What differs between the sides: only a server receives early data.
trait Side: Sized {
    fn early(data: ReadEarlyData<'_, '_, Self>, sink: &mut Sink<'_>) -> Result<usize, rustls::Error>;
}

impl Side for ServerConnectionData {
    fn early(mut data: ReadEarlyData<'_, '_, Self>, sink: &mut Sink<'_>) -> Result<usize, rustls::Error> {
        let mut discard = 0;
        while let Some(record) = data.next_record() {
            let record = record?;
            discard += record.discard;
            sink.early = true;
            sink.put(record.payload);
        }
        Ok(discard)
    }
}

impl Side for ClientConnectionData {
    fn early(_: ReadEarlyData<'_, '_, Self>, _: &mut Sink<'_>) -> Result<usize, rustls::Error> {
        Ok(0)
    }
}

#[inline]
fn settle<D: Side>(status: UnbufferedStatus<'_, '_, D>, sink: &mut Sink<'_>, out: &mut Vec<u8>) -> (usize, Turn) {
    let mut discard = status.discard;
    let turn = match status.state {
        Err(error) => Turn::Failed(error),
        Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
            match traffic.next_record() {
                Some(Ok(record)) => {
                    discard += record.discard;
                    sink.put(record.payload);
                }
                Some(Err(error)) => break Turn::Failed(error),
                None => break Turn::More,
            }
        },
        Ok(ConnectionState::ReadEarlyData(data)) => match D::early(data, sink) {
            Ok(n) => {
                discard += n;
                Turn::More
            }
            Err(error) => Turn::Failed(error),
        },
        Ok(ConnectionState::EncodeTlsData(data)) => {
            encode(data, out);
            Turn::More
        }
        Ok(ConnectionState::TransmitTlsData(data)) => {
            // What was encoded lies in `out`, which is sent before anything else.
            data.done();
            Turn::More
        }
        Ok(ConnectionState::PeerClosed) => Turn::PeerClosed,
        Ok(ConnectionState::Closed) => Turn::Closed,
        Ok(ConnectionState::WriteTraffic(_)) => Turn::Traffic,
        Ok(_) => Turn::Blocked,
    };
    (discard, turn)
}

fn encode<D>(mut data: EncodeTlsData<'_, D>, out: &mut Vec<u8>) {
    let at = out.len();
    // The first call only asks for the size.
    if let Err(EncodeError::InsufficientSize(size)) = data.encode(&mut []) {
        out.resize(at + size.required_size, 0);
        let done = data.encode(&mut out[at..]);
        debug_assert!(done.is_ok_and(|n| n == size.required_size), "the size asked for is the size used");
    }
}
