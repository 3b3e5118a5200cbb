//! A WebSocket echo origin and a blocking client, both over the `tungstenite` crate: a peer we did not write.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::DEADLINE;

/// Echoes text and binary messages until the peer closes.
pub struct WsEcho {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl WsEcho {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// When no port is free.
    pub fn start() -> WsEcho {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has a name");
        let stop = Arc::new(AtomicBool::new(false));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (stopped, list) = (Arc::clone(&stop), Arc::clone(&open));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(copy) = stream.try_clone() {
                    list.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
                }
                thread::spawn(move || echo(stream));
            }
        });
        WsEcho { addr, stop, open }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for WsEcho {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.addr);
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn echo(stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let Ok(mut socket) = tungstenite::accept(stream) else { return };
    while let Ok(message) = socket.read() {
        if (message.is_text() || message.is_binary()) && socket.send(message).is_err() {
            break;
        }
    }
    // The list of open connections holds a copy, so that dropping this one alone would not close it.
    let _ = socket.get_ref().shutdown(Shutdown::Both);
}

/// A WebSocket client.
#[derive(Debug)]
pub struct WsClient {
    socket: WebSocket<TcpStream>,
}

impl WsClient {
    /// Connects and upgrades.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub fn connect(addr: SocketAddr, path: &str) -> Result<WsClient, String> {
        let stream = TcpStream::connect_timeout(&addr, DEADLINE).map_err(|e| e.to_string())?;
        stream.set_nodelay(true).map_err(|e| e.to_string())?;
        stream.set_read_timeout(Some(DEADLINE)).map_err(|e| e.to_string())?;
        let request = format!("ws://{addr}{path}").into_client_request().map_err(|e| e.to_string())?;
        let (socket, _) = tungstenite::client(request, stream).map_err(|e| e.to_string())?;
        Ok(WsClient { socket })
    }

    /// Sends a text and receives one message.
    ///
    /// # Errors
    /// What went wrong, as text.
    pub fn echo(&mut self, text: &str) -> Result<String, String> {
        self.socket.send(Message::text(text)).map_err(|e| e.to_string())?;
        loop {
            match self.socket.read().map_err(|e| e.to_string())? {
                Message::Text(t) => return Ok(t.to_string()),
                Message::Close(_) => return Err("closed by the peer".to_owned()),
                _ => {}
            }
        }
    }

    /// Says goodbye.
    pub fn close(mut self) {
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn echoes() {
        let origin = WsEcho::start();
        let mut client = WsClient::connect(origin.addr(), "/").unwrap();
        assert_eq!(client.echo("hello").unwrap(), "hello");
        client.close();
    }
}
