//! A described transaction: what `explain`, `[[test]]`, `check` and tests evaluate rules on.
//!
//! Owns everything a [`Ctx`] borrows, so that one can be made without traffic. Invariant: what is not described is not known;
//! nothing is made up.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_proto::{Buf, Head, Limits, Malformed};

use crate::ctx::{
    BackendCount, Body, Buffers, Count, Ctx, FrontendCount, Memo, Now, Phase, ProcessCount, Progress, Reading,
    ServerCount, Session, World,
};
use crate::stick::Table;
use crate::vars::{ProcVars, VarLimits};

/// A world that knows what it was told.
#[derive(Debug)]
pub struct Described {
    /// Numbers of the process.
    pub process: HashMap<ProcessCount, i64>,
    /// Numbers of frontends by name.
    pub frontends: HashMap<(Arc<str>, FrontendCount), i64>,
    /// Numbers of backends by name.
    pub backends: HashMap<(Arc<str>, BackendCount), i64>,
    /// Numbers of servers by backend and name.
    pub servers: HashMap<(Arc<str>, Arc<str>, ServerCount), i64>,
    /// Stick tables, by index in the configuration.
    pub tables: Vec<Arc<Table>>,
    /// Variables of the process.
    pub vars: ProcVars,
    /// What [`World::random`] gives.
    pub random: u64,
    /// Bytes that variables may take.
    pub var_limits: VarLimits,
    /// The name of the machine.
    pub hostname: String,
    /// Seconds that local time is ahead of UTC.
    pub utc_offset: i32,
    /// Pattern files and maps are those of traffic: rules must not change them.
    pub leave_stores: bool,
}

impl Default for Described {
    fn default() -> Described {
        Described {
            process: HashMap::new(),
            frontends: HashMap::new(),
            backends: HashMap::new(),
            servers: HashMap::new(),
            tables: Vec::new(),
            vars: ProcVars::default(),
            random: 0x5eed,
            var_limits: VarLimits::DEFAULT,
            hostname: "localhost".into(),
            utc_offset: 0,
            leave_stores: false,
        }
    }
}

impl World for Described {
    fn count(&self, what: Count<'_>) -> Option<i64> {
        match what {
            Count::Process(count) => self.process.get(&count).copied(),
            Count::Frontend(name, count) => self.frontends.get(&(name.into(), count)).copied(),
            Count::Backend(name, count) => self.backends.get(&(name.into(), count)).copied(),
            Count::Server(backend, name, count) => self.servers.get(&(backend.into(), name.into(), count)).copied(),
        }
    }

    fn table(&self, at: usize) -> Option<&Arc<Table>> {
        self.tables.get(at)
    }

    fn proc_vars(&self) -> &ProcVars {
        &self.vars
    }

    fn var_limits(&self) -> VarLimits {
        self.var_limits
    }

    fn random(&self) -> u64 {
        self.random
    }

    fn is_described(&self) -> bool {
        self.leave_stores
    }

    fn hostname(&self) -> &str {
        &self.hostname
    }

    fn utc_offset(&self, _unix_s: i64) -> i32 {
        self.utc_offset
    }
}

/// Everything a [`Ctx`] borrows.
#[derive(Debug)]
pub struct Scene {
    /// The request.
    pub request: Head,
    /// The answer, once there is one.
    pub response: Option<Head>,
    /// The client connection.
    pub session: Session,
    /// What rules left behind.
    pub memo: Memo,
    /// The state around it.
    pub world: Described,
    /// Buffers of the evaluation.
    pub buffers: Buffers,
    /// The body of the message the rules look at.
    pub body: Vec<u8>,
    /// As what it is looked at.
    pub reading: Reading,
    /// The time.
    pub now: Now,
    /// Name and number of the frontend.
    pub frontend: (Arc<str>, u32),
    /// Its `default_backend`.
    pub default_backend: Option<Arc<str>>,
    /// Name and number of the bind.
    pub listener: (Arc<str>, u32),
    /// Name and number of the backend, once chosen.
    pub backend: Option<(Arc<str>, u32)>,
    /// Name and number of the server, once chosen.
    pub server: Option<(Arc<str>, u32)>,
    /// The termination letters, once it ended.
    pub letters: String,
    /// Capture slots of the frontend, for requests and for responses.
    pub captures: [usize; 2],
}

impl Scene {
    /// The request `text` (head as on the wire) from `src` to `dst`, in a frontend named `web`.
    pub fn new(text: &str, src: SocketAddr, dst: SocketAddr) -> Result<Scene, Malformed> {
        Ok(Scene {
            request: Head::request(text)?,
            response: None,
            session: Session {
                src: Some(src),
                dst: Some(dst),
                real: (Some(src), Some(dst)),
                requests: 1,
                ..Session::default()
            },
            memo: Memo::default(),
            world: Described::default(),
            buffers: Buffers::default(),
            body: Vec::new(),
            reading: Reading::Messages,
            now: Now { mono_ms: 1_000_000, unix_us: 1_700_000_000_000_000 },
            frontend: ("web".into(), 2),
            default_backend: None,
            listener: ("".into(), 1),
            backend: None,
            server: None,
            letters: String::new(),
            captures: [0, 0],
        })
    }

    /// The same with the answer `text`.
    pub fn answered(mut self, text: &str) -> Result<Scene, Malformed> {
        self.response = Some(Head::response(text, self.request.method())?);
        Ok(self)
    }

    /// The same connection in tcp mode: `bytes` are what its client sent first.
    #[must_use]
    pub fn in_tcp(mut self, bytes: Vec<u8>) -> Scene {
        let limits = Limits::default();
        let mut block = Buf::with_capacity(limits.max_head);
        block.extend_from_slice(&bytes[..bytes.len().min(limits.max_head)]);
        self.request = Head::new();
        self.request.replace_block(block);
        self.reading = Reading::of(&mut self.request, &limits);
        self.body = bytes;
        self
    }

    /// Runs `f` in `phase`.
    pub fn at<T>(&mut self, phase: Phase, f: impl FnOnce(&mut Ctx<'_>) -> T) -> T {
        let status = self.response.as_ref().map(Head::status);
        f(&mut Ctx {
            phase,
            now: self.now,
            session: &mut self.session,
            memo: &mut self.memo,
            request: &mut self.request,
            response: self.response.as_mut(),
            body: Body { bytes: &self.body, complete: true, reading: self.reading },
            progress: Progress {
                frontend: &self.frontend.0,
                frontend_id: self.frontend.1,
                default_backend: self.default_backend.as_deref(),
                listener: &self.listener.0,
                listener_id: self.listener.1,
                backend: self.backend.as_ref().map(|(name, _)| &**name),
                backend_id: self.backend.as_ref().map_or(0, |(_, id)| *id),
                server: self.server.as_ref().map(|(name, _)| &**name),
                server_id: self.server.as_ref().map_or(0, |(_, id)| *id),
                status,
                server_status: status,
                began_us: self.now.unix_us,
                letters: &self.letters,
                captures: self.captures,
                ..Progress::default()
            },
            world: &self.world,
            buffers: &self.buffers,
            last: true,
            undecided: Cell::new(false),
        })
    }

    /// Runs `f` in the phase the scene has come to.
    pub fn with<T>(&mut self, f: impl FnOnce(&mut Ctx<'_>) -> T) -> T {
        self.at(if self.response.is_some() { Phase::Response } else { Phase::Request }, f)
    }
}
