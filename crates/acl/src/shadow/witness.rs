//! Witnesses: a request made from what a cube demands, and how a person reads it.
//!
//! Nothing here is believed: whoever takes a witness evaluates the rules on its [`Scene`] first.

use std::net::{IpAddr, SocketAddr};

use super::cubes::Model;
use super::slot::Slot;
use super::vars::{Sampled, Vars};
use crate::fetch::TlsFacts;
use crate::scene::Scene;

/// A request, as far as somebody asked for something.
#[derive(Clone, Debug, Default)]
pub(super) struct Witness {
    method: Option<String>,
    target: Option<String>,
    query: Option<String>,
    host: Option<String>,
    headers: Vec<(String, String)>,
    from: Option<IpAddr>,
    to: Option<IpAddr>,
    port: Option<u16>,
    tls: Option<bool>,
    /// Some of it is what rules made of the request.
    rewritten: bool,
}

impl Witness {
    /// What the model describes; `None` when a value cannot stand in a request.
    pub(super) fn new(model: &Model, vars: &Vars) -> Option<Witness> {
        let mut witness = Witness::default();
        for (var, classes) in model.iter() {
            let variable = vars.get(var);
            let samples: Vec<&Sampled> = classes.iter().map(|&class| variable.sample(class)).collect();
            if !samples.is_empty() {
                witness.rewritten |= !variable.original;
                witness.put(&variable.slot, &samples)?;
            }
        }
        Some(witness)
    }

    fn put(&mut self, slot: &Slot, samples: &[&Sampled]) -> Option<()> {
        let mut texts = Vec::new();
        for sample in samples {
            texts.push(match sample {
                Sampled::Text(text) => String::from_utf8(text.clone()).ok()?,
                Sampled::Number(number) => number.to_string(),
                Sampled::Address(ip) => ip.to_string(),
                Sampled::Truth(_) | Sampled::Undefined | Sampled::Opaque => String::new(),
            });
        }
        // Of variables that are written to the same place the first wins; the evaluation tells whether that will do.
        let first = |place: &mut Option<String>| {
            if place.is_none() {
                *place = texts.first().cloned();
            }
        };
        match (slot, samples.first()?) {
            (Slot::Method, _) => first(&mut self.method),
            (Slot::Path | Slot::Target, _) => first(&mut self.target),
            (Slot::Query, _) => first(&mut self.query),
            (Slot::Header(name), _) if name == "host" => self.host = self.host.take().or(Some(texts.join(","))),
            (Slot::Header(name), _) if !self.headers.iter().any(|(known, _)| known == name) => {
                self.headers.push((name.clone(), texts.join(", ")));
            }
            (Slot::Source, Sampled::Address(ip)) => self.from = self.from.or(Some(*ip)),
            (Slot::Destination, Sampled::Address(ip)) => self.to = self.to.or(Some(*ip)),
            (Slot::DestinationPort, Sampled::Number(port)) => self.port = self.port.or(u16::try_from(*port).ok()),
            (Slot::Tls, Sampled::Truth(tls)) => self.tls = self.tls.or(Some(*tls)),
            _ => {}
        }
        Some(())
    }

    /// Whether Host names one host, as it nearly always does.
    pub(super) fn is_plain(&self) -> bool {
        !self.host().contains(',')
    }

    /// The described transaction; `None` when it is no valid request.
    pub(super) fn scene(&self) -> Option<Scene> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method(), self.path_and_query(), self.host());
        for (name, value) in &self.headers {
            if name.is_empty() || value.bytes().any(|byte| byte.is_ascii_control()) {
                return None;
            }
            text += &format!("{name}: {value}\r\n");
        }
        text += "\r\n";
        let any = || [203, 0, 113, 9].into();
        let port = self.port.unwrap_or(if self.tls == Some(true) { 443 } else { 80 });
        let src = SocketAddr::new(self.from.unwrap_or_else(any), 50_000);
        let dst = SocketAddr::new(self.to.unwrap_or_else(|| [192, 0, 2, 10].into()), port);
        let mut scene = Scene::new(&text, src, dst).ok()?;
        scene.session.tls = (self.tls == Some(true)).then(std::sync::Arc::<TlsFacts>::default);
        Some(scene)
    }

    fn method(&self) -> &str {
        self.method.as_deref().unwrap_or("GET")
    }

    fn host(&self) -> &str {
        self.host.as_deref().unwrap_or("a.example")
    }

    fn path_and_query(&self) -> String {
        let target = self.target.as_deref().unwrap_or("/");
        match &self.query {
            Some(query) => format!("{}?{query}", target.split('?').next().unwrap_or("/")),
            None => target.to_owned(),
        }
    }
}

impl std::fmt::Display for Witness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let request = self.method.is_some()
            || self.target.is_some()
            || self.query.is_some()
            || self.host.is_some()
            || self.tls.is_some()
            || !self.headers.is_empty();
        let connection = self.from.is_some() || self.to.is_some() || self.port.is_some();
        if connection && !request {
            f.write_str("anything")?;
        } else {
            let scheme = if self.tls == Some(true) { "https" } else { "http" };
            let target = self.path_and_query();
            if target.contains("://") {
                write!(f, "{} {target}", self.method())?;
            } else {
                write!(f, "{} {scheme}://{}{target}", self.method(), self.host())?;
            }
        }
        if let Some(from) = self.from {
            write!(f, " from {from}")?;
        }
        match (self.to, self.port) {
            (Some(to), Some(port)) => write!(f, " to {}", SocketAddr::new(to, port))?,
            (Some(to), None) => write!(f, " to {to}")?,
            (None, Some(port)) => write!(f, " to port {port}")?,
            (None, None) => {}
        }
        for (at, (name, value)) in self.headers.iter().enumerate() {
            write!(f, "{}{name}: {value}", if at == 0 { " with " } else { ", " })?;
        }
        if self.rewritten {
            f.write_str(" (as the rules above have rewritten it)")?;
        }
        Ok(())
    }
}
