//! One case of the table: what the client does, what it must get, what the origin must have received.
//!
//! A [`Flow`] is written in the order things happen. `reply` both receives a response and says what it must be; `has`,
//! `lacks`, `body` and `trailer` speak of the reply or request named last. A deliberate difference between the two
//! proxies is a [`Case`] with two flows and a reason.

use evenkeel_testkit::{Act, Gate, Script};

/// A named case.
#[derive(Clone)]
pub struct Case {
    /// What it shows.
    pub name: &'static str,
    /// Scripts of the origins; an origin without one answers 200 with its name (`o0`, `o1`, ...).
    pub origins: Vec<(usize, Script)>,
    /// What happens, for both proxies or for Evenkeel.
    pub flow: Flow,
    /// Why HAProxy does something else, and what.
    pub differs: Option<(&'static str, Flow)>,
    /// Opened by [`Step::OpenGate`].
    pub gate: Gate,
    /// The order of the replies is each proxy's own.
    pub any_order: bool,
}

/// Steps and expectations.
#[derive(Clone, Default)]
pub struct Flow {
    /// What the client does and gets, in order.
    pub steps: Vec<Step>,
    /// What the origins received, in order per origin.
    pub requests: Vec<Request>,
    /// The first origin may have seen a request begin, but never a whole one; `requests` is not looked at.
    pub may_begin: bool,
    /// What reaches the origins is not looked at.
    pub origins_unseen: bool,
    last: Last,
}

#[derive(Clone, Copy, Default)]
enum Last {
    #[default]
    Nothing,
    Reply,
    Request,
}

/// One step of the client.
#[derive(Clone)]
pub enum Step {
    /// Send these bytes; a connection that is closed already is no error.
    Send(Vec<u8>),
    /// Receive a response.
    Reply(Reply),
    /// Receive these bytes, after an upgrade or in TCP mode.
    Bytes(Vec<u8>),
    /// Wait until an origin has read this much of a head, a body or a tunnel.
    OriginGot(Vec<u8>),
    /// Open the case's gate.
    OpenGate,
    /// Close the sending side.
    HalfClose,
    /// Wait until these bytes have arrived, and take nothing.
    Got(Vec<u8>),
    /// End the connection with a reset.
    Reset,
    /// The proxy must close; what it says before is its own business.
    Ends,
    /// The proxy must close, and must have sent nothing more.
    Closed,
    /// The connection must still serve a request.
    Open,
}

/// What a response must be.
#[derive(Clone, Default)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// It answers HEAD or CONNECT: no body follows whatever the fields say.
    pub bodiless: bool,
    /// Whether it must come to its own end.
    pub complete: bool,
    /// The rest.
    pub content: Content,
}

/// What a request at the origin must be.
#[derive(Clone, Default)]
pub struct Request {
    /// Which origin.
    pub origin: usize,
    /// Its first line; empty in TCP mode.
    pub line: String,
    /// Whether it must come to its own end.
    pub complete: bool,
    /// On which connection since the case began; `None` = any.
    pub connection: Option<usize>,
    /// What a raw script read.
    pub raw: Option<Vec<u8>>,
    /// The rest.
    pub content: Content,
}

/// Fields and payload.
#[derive(Clone, Default)]
pub struct Content {
    /// `name: value`: a field that must be there.
    pub has: Vec<&'static str>,
    /// Names that must not be there.
    pub lacks: Vec<&'static str>,
    /// Text the head must contain as it is: for order and case of names.
    pub verbatim: Vec<&'static str>,
    /// The payload.
    pub body: Option<Vec<u8>>,
    /// `name: value` of trailer fields.
    pub trailers: Option<Vec<&'static str>>,
}

/// A case in which both proxies do the same.
pub fn case(name: &'static str) -> Case {
    Case { name, origins: Vec::new(), flow: Flow::default(), differs: None, gate: Gate::new(), any_order: false }
}

impl Case {
    /// Scripts the first origin: the acts for each request in turn.
    pub fn origin(self, acts: Vec<Vec<Act>>) -> Case {
        self.script(0, Script::Http(acts))
    }

    /// The first origin answers every request with these bytes.
    pub fn answer(self, bytes: impl AsRef<[u8]>) -> Case {
        self.origin(vec![answer(bytes)])
    }

    /// The first origin sends these bytes and closes.
    pub fn answer_close(self, bytes: impl AsRef<[u8]>) -> Case {
        let mut acts = answer(bytes);
        acts.push(Act::Close);
        self.origin(vec![acts])
    }

    /// Scripts an origin.
    pub fn script(mut self, origin: usize, script: Script) -> Case {
        self.origins.push((origin, script));
        self
    }

    /// The order of the replies is each proxy's own; their number per origin is not.
    pub fn unordered(mut self) -> Case {
        self.any_order = true;
        self
    }

    /// A gate for the scripts of this case.
    pub fn gated(self, script: impl FnOnce(Gate) -> Vec<Vec<Act>>) -> Case {
        let acts = script(self.gate.clone());
        self.origin(acts)
    }

    /// What happens.
    pub fn flow(mut self, f: impl FnOnce(Flow) -> Flow) -> Case {
        self.flow = f(self.flow);
        self
    }

    /// What happens with Evenkeel and with HAProxy, and why they differ; the flow so far is common.
    pub fn differs(
        mut self,
        reason: &'static str,
        ours: impl FnOnce(Flow) -> Flow,
        haproxy: impl FnOnce(Flow) -> Flow,
    ) -> Case {
        self.differs = Some((reason, haproxy(self.flow.clone())));
        self.flow = ours(self.flow);
        self
    }
}

impl Flow {
    fn step(mut self, step: Step) -> Flow {
        self.steps.push(step);
        self
    }

    pub fn send(self, bytes: impl AsRef<[u8]>) -> Flow {
        self.step(Step::Send(bytes.as_ref().to_vec()))
    }

    /// Sends byte by byte.
    pub fn drip(self, bytes: impl AsRef<[u8]>) -> Flow {
        bytes.as_ref().iter().fold(self, |f, b| f.send([*b]))
    }

    pub fn reply(mut self, status: u16) -> Flow {
        self.last = Last::Reply;
        self.step(Step::Reply(Reply { status, complete: true, ..Reply::default() }))
    }

    /// A response without a body whatever its fields say.
    pub fn reply_head(mut self, status: u16) -> Flow {
        self.last = Last::Reply;
        self.step(Step::Reply(Reply { status, bodiless: true, complete: true, ..Reply::default() }))
    }

    /// A response that must be cut off before its end.
    pub fn reply_cut(mut self, status: u16) -> Flow {
        self.last = Last::Reply;
        self.step(Step::Reply(Reply { status, ..Reply::default() }))
    }

    pub fn bytes(self, bytes: impl AsRef<[u8]>) -> Flow {
        self.step(Step::Bytes(bytes.as_ref().to_vec()))
    }

    pub fn origin_got(self, bytes: impl AsRef<[u8]>) -> Flow {
        self.step(Step::OriginGot(bytes.as_ref().to_vec()))
    }

    pub fn open_gate(self) -> Flow {
        self.step(Step::OpenGate)
    }

    pub fn half_close(self) -> Flow {
        self.step(Step::HalfClose)
    }

    pub fn reset(self) -> Flow {
        self.step(Step::Reset)
    }

    pub fn closed(self) -> Flow {
        self.step(Step::Closed)
    }

    /// The connection ends; what the proxy says before is its own business.
    pub fn ends(self) -> Flow {
        self.step(Step::Ends)
    }

    /// Waits until these bytes have arrived, and takes nothing.
    pub fn got(self, bytes: impl AsRef<[u8]>) -> Flow {
        self.step(Step::Got(bytes.as_ref().to_vec()))
    }

    /// The origin may see a request begin (the head was good), but never a whole one.
    pub fn may_begin(mut self) -> Flow {
        self.may_begin = true;
        self
    }

    /// What reaches the origins is not looked at: for a reference that is not the same each time.
    pub fn origins_unseen(mut self) -> Flow {
        self.origins_unseen = true;
        self
    }

    pub fn open(self) -> Flow {
        self.step(Step::Open)
    }

    /// The first origin received this request, whole.
    pub fn request(self, line: &str) -> Flow {
        self.request_at(0, line)
    }

    /// Origin `n` received this request, whole.
    pub fn request_at(mut self, origin: usize, line: &str) -> Flow {
        self.last = Last::Request;
        self.requests.push(Request { origin, line: line.to_owned(), complete: true, ..Request::default() });
        self
    }

    /// The first origin received the head and not the whole body.
    pub fn request_cut(mut self, line: &str) -> Flow {
        self = self.request(line);
        self.last_request().complete = false;
        self
    }

    /// The first origin accepted a connection and read these bytes (raw scripts).
    pub fn origin_read(mut self, bytes: impl AsRef<[u8]>) -> Flow {
        if !matches!(self.last, Last::Request) {
            self = self.request("");
        }
        self.last_request().raw = Some(bytes.as_ref().to_vec());
        self
    }

    /// The request came on this connection, counted from 0.
    pub fn on(mut self, connection: usize) -> Flow {
        self.last_request().connection = Some(connection);
        self
    }

    pub fn has(mut self, field: &'static str) -> Flow {
        self.content().has.push(field);
        self
    }

    pub fn lacks(mut self, name: &'static str) -> Flow {
        self.content().lacks.push(name);
        self
    }

    pub fn verbatim(mut self, text: &'static str) -> Flow {
        self.content().verbatim.push(text);
        self
    }

    pub fn body(mut self, body: impl AsRef<[u8]>) -> Flow {
        self.content().body = Some(body.as_ref().to_vec());
        self
    }

    pub fn trailers(mut self, list: &[&'static str]) -> Flow {
        self.content().trailers = Some(list.to_vec());
        self
    }

    fn last_request(&mut self) -> &mut Request {
        self.requests.last_mut().expect("a request before what is said about it")
    }

    fn content(&mut self) -> &mut Content {
        match self.last {
            Last::Request => &mut self.last_request().content,
            Last::Reply => match self.steps.iter_mut().rev().find(|s| matches!(s, Step::Reply(_))) {
                Some(Step::Reply(r)) => &mut r.content,
                _ => unreachable!("`last` says that there is a reply"),
            },
            Last::Nothing => panic!("a reply or request before what is said about it"),
        }
    }
}

/// Reads the whole request, then sends these bytes.
pub fn answer(bytes: impl AsRef<[u8]>) -> Vec<Act> {
    vec![Act::Body, Act::Send(bytes.as_ref().to_vec())]
}

/// A 200 with this body and its length, marked as the origin's.
pub fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Origin: 1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A GET with a Host.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n")
}

/// A GET with further header lines, each ended by CRLF.
pub fn get_with(path: &str, lines: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a.example\r\n{lines}\r\n")
}
