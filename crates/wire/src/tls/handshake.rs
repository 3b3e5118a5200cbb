//! Driving a handshake to its end.

use std::io;
use std::mem;
use std::task::{Context, Poll, ready};

use rustls::ProtocolVersion;

use super::read::HANDSHAKE_WINDOW;
use super::{HandshakeError, Inner};
use crate::Socket;

impl Inner {
    /// Ready when the handshake is over; with `early`, also when early data can be read.
    pub(super) fn poll_handshake(
        &mut self,
        socket: &Socket,
        cx: &mut Context<'_>,
        early: bool,
    ) -> Poll<Result<(), HandshakeError>> {
        if mem::take(&mut self.fresh) {
            // The hello of a client was read already; our own is made here.
            let mut first = mem::take(&mut self.tail);
            self.process(&mut first, &mut []);
        }
        loop {
            if let Some(error) = self.failed.clone() {
                let _ = self.flush(socket);
                return Poll::Ready(Err((*error).into()));
            }
            if self.has_out() && !self.may_wait() {
                match self.flush(socket) {
                    Ok(()) => {}
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                        ready!(socket.poll_writable(cx))?;
                        continue;
                    }
                    Err(e) => return Poll::Ready(Err(e.into())),
                }
            }
            if self.done || (early && self.early && self.has_plain()) {
                return Poll::Ready(Ok(()));
            }
            if self.end.is_some() {
                return Poll::Ready(Err(HandshakeError::Closed));
            }
            match self.fill(socket, &mut [], HANDSHAKE_WINDOW) {
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => ready!(socket.poll_readable(cx))?,
                Err(e) => return Poll::Ready(Err(e.into())),
            }
        }
    }

    /// Whether what is left to send may wait for the first write: tickets and the Finished of a client in TLS 1.3, where
    /// nobody holds back data for them. In TLS 1.2 a client waits for the Finished of the server.
    fn may_wait(&self) -> bool {
        self.done && self.session.common().protocol_version() == Some(ProtocolVersion::TLSv1_3)
    }
}
