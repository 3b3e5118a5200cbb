//! An authority with its files, configurations that use them, and clients that say what they met.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use evenkeel_testkit::certs::{Ca, Leaf};
use evenkeel_testkit::{Proxy, RawClient, Session, TlsClient, TlsClientOptions};
use evenkeel_tests::watch::GLOBAL;

/// A folder of certificates of one authority.
pub struct Site {
    pub dir: tempfile::TempDir,
    pub ca: Ca,
}

impl Site {
    pub fn new() -> Site {
        Site { dir: tempfile::tempdir().unwrap(), ca: Ca::new("test authority") }
    }

    /// The path of a certificate for these names, written as the first of them.
    pub fn leaf(&self, names: &[&str]) -> String {
        self.put(&self.ca.leaf(names), &names[0].replace('*', "_"))
    }

    /// The path of what is written as `name`.pem.
    pub fn put(&self, leaf: &Leaf, name: &str) -> String {
        leaf.write(self.dir.path(), &format!("{name}.pem")).display().to_string()
    }

    /// The path of the authority.
    pub fn ca_file(&self) -> String {
        self.ca.write(self.dir.path(), "ca.pem").display().to_string()
    }

    /// Any file.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// A client that believes this authority.
    pub fn client(&self, name: &str) -> TlsClient {
        self.client_with(name, TlsClientOptions::default())
    }

    pub fn client_with<'a>(&'a self, name: &str, options: TlsClientOptions<'a>) -> TlsClient {
        TlsClient::with(name, &TlsClientOptions { ca: Some(&self.ca), ..options })
    }
}

/// A frontend `NAME` on `@NAME@` with this table of TLS; every request is answered with the text of `shows`.
pub fn telling(name: &str, tls: &str, shows: &str) -> String {
    listening(name, &format!("tls = {{ {tls} }}"), &format!("http-request = ['{}']", shown(shows)))
}

/// The rule that answers with a text.
pub fn shown(text: &str) -> String {
    format!("return status 200 content-type text/plain lf-string \"{text}\"")
}

/// A frontend `NAME` on `@NAME@` with these keys of its bind and these lines.
pub fn listening(name: &str, bind: &str, lines: &str) -> String {
    format!("[frontend.{name}]\nbind = [{{ address = \"@{name}@\", {bind} }}]\n{lines}\n\n")
}

/// These sections behind the usual `[global]`.
pub fn config(sections: &[String]) -> String {
    format!("{GLOBAL}\n{}", sections.concat())
}

/// What one request on a connection of its own is answered, and what the handshake agreed on.
pub fn ask(addr: SocketAddr, tls: &TlsClient) -> io::Result<(String, Session)> {
    let (mut client, session) = RawClient::connect_tls(addr, tls)?;
    let message = client.ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")?;
    Ok((message.text(), session))
}

/// What `evenkeel check` says of this configuration, names and all.
pub fn check(dir: &Path, config: &str) -> Output {
    let path = dir.join("checked.toml");
    std::fs::write(&path, config).unwrap();
    Command::new(evenkeel_testkit::binary()).arg("check").arg(&path).stdin(Stdio::null()).output().unwrap()
}

/// What OpenSSL's own client says with these arguments; `input` is what it is told to send.
pub fn openssl(addr: SocketAddr, args: &[&str], input: &str) -> String {
    let mut command = Command::new("openssl");
    command.arg("s_client").arg("-connect").arg(addr.to_string()).args(args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("openssl is needed for this test: {e}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr))
}

/// The certificate that is shown to a client of this name, by its common name.
pub fn subject(proxy: &Proxy, listener: &str, client: &TlsClient) -> String {
    let (text, _) = ask(proxy.addr(listener), client).unwrap_or_else(|e| panic!("{listener}: {e}"));
    text
}
