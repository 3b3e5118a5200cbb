//! Which frontend takes a described request.

use std::net::{IpAddr, SocketAddr};

use evenkeel_config::{Bind, BindAddress, Config, Frontend};
use evenkeel_tls::options::Verify;

use super::question::Question;

/// Where a request comes in.
#[derive(Debug)]
pub struct Found<'c> {
    /// The frontend.
    pub front: &'c Frontend,
    /// Its bind that fits, else its first.
    pub bind: Option<&'c Bind>,
    /// What to know about it.
    pub note: Option<String>,
}

/// The frontend that was named, that listens where the request goes, or that is the only one.
///
/// # Errors
/// None does, or several do: which there are.
pub fn find<'c>(config: &'c Config, question: &Question) -> Result<Found<'c>, String> {
    let port = question.dst.map(|dst| dst.port()).filter(|port| *port != 0).or(question.port);
    let ip = question.dst.map(|dst| dst.ip()).filter(|ip| !ip.is_unspecified());
    let fits = |bind: &Bind| port.is_some_and(|port| listens(bind, ip, port));
    if let Some(name) = &question.frontend {
        let front = config.frontends.iter().find(|front| *front.name == **name);
        let front =
            front.ok_or_else(|| format!("there is no frontend `{name}`; there are {}", list(config, |_| true)))?;
        let bind = front.binds.iter().find(|bind| fits(bind)).or(front.binds.first());
        return Ok(Found { front, bind, note: None });
    }
    let open = || config.frontends.iter().filter(|front| !front.disabled);
    let mut candidates = open().filter_map(|front| Some((front, front.binds.iter().find(|bind| fits(bind))?)));
    match (candidates.next(), candidates.next()) {
        (Some((front, bind)), None) => return Ok(Found { front, bind: Some(bind), note: None }),
        (Some(_), Some(_)) => {
            return Err(format!(
                "several frontends listen there: {}; name one with --frontend",
                list(config, |front| front.binds.iter().any(fits))
            ));
        }
        (None, _) => {}
    }
    let mut all = open();
    match (all.next(), all.next(), port) {
        (None, ..) => Err("the configuration has no frontend".to_owned()),
        (Some(front), None, port) => {
            let note = port.map(|port| format!("nothing listens on port {port}; {} is the only frontend", front.name));
            Ok(Found { front, bind: front.binds.first(), note })
        }
        (Some(_), Some(_), port) => {
            let why = match (ip, port) {
                (_, None) => "the request does not say where it goes".to_owned(),
                (None, Some(port)) => format!("no frontend listens on port {port}"),
                (Some(ip), Some(port)) => format!("no frontend listens on {}", SocketAddr::new(ip, port)),
            };
            Err(format!("{why}; name one with --frontend: {}", list(config, |_| true)))
        }
    }
}

/// Frontends with their binds.
fn list(config: &Config, wanted: impl Fn(&Frontend) -> bool) -> String {
    let text = |front: &Frontend| {
        let binds: Vec<String> = front.binds.iter().map(|bind| bind.address.to_string()).collect();
        format!("{} ({})", front.name, binds.join(", "))
    };
    let all: Vec<String> = config.frontends.iter().filter(|front| wanted(front)).map(|front| text(front)).collect();
    all.join(", ")
}

fn listens(bind: &Bind, ip: Option<IpAddr>, port: u16) -> bool {
    let BindAddress::Inet(address) = &bind.address else { return false };
    let any = address.ip().is_unspecified() || ip.is_none();
    address.port() == port && (any || ip == Some(address.ip()))
}

/// What keeps such a connection from a bind before any rule is looked at.
pub fn doubt(bind: &Bind, question: &Question) -> Option<String> {
    let address = &bind.address;
    let Some(tls) = &bind.tls else {
        // A PROXY header may tell of TLS that ended before.
        let plain = question.tls && bind.accept_proxy.is_none();
        return plain.then(|| format!("{address} has no TLS of its own: it is taken to end before it"));
    };
    if !question.tls {
        return Some(format!(
            "{address} speaks TLS: a request without it would be refused; begin the URL with https://"
        ));
    }
    let client = question.handshake.client.as_ref();
    match (tls.client.verify, client) {
        (Verify::Required, None) => {
            Some(format!("{address} requires a client certificate: without one the handshake fails"))
        }
        (Verify::None, Some(_)) => Some(format!("{address} asks for no client certificate: it would not see this one")),
        _ => None,
    }
}

/// The address a client of a bind connects to; a loopback one where it listens on all.
pub fn address(bind: &Bind) -> Option<SocketAddr> {
    let BindAddress::Inet(mut address) = bind.address else { return None };
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => IpAddr::from([127, 0, 0, 1]),
            SocketAddr::V6(_) => IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]),
        });
    }
    Some(address)
}
