//! The one engine behind `explain`, `[[test]]` and `why`: a described request through the rules and the balancing code of the
//! live path, in its order, without I/O and without waiting.
//!
//! Called with a [`Question`] and the state [`Given`]; or, by `why`, with a record of what was decided, which is then followed.
//! The order of the rule sets is that of `txn`, `judge`, `tcp` and `admit` in the frontend crate. Never touches live state: all
//! it may change is its own.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use evenkeel_acl::{
    Choice, Close, Ctx, Env, Library, LogFormat, Phase, Question as Resolve, Reading, Reply, RuleSet, Scene, Switch,
    Trace, VarScope, Verdict, Wait, Wire, count,
};
use evenkeel_config::{self as config, Config, Mode};
use evenkeel_frontend::messages::{Answer, capture, capture_cookie, forwarded_for, host_of_old};
use evenkeel_frontend::{End, destination};
use evenkeel_proto::{Head, Method, Version};

use super::effects::{self, Shot};
use super::given::{Given, MONO_MS};
use super::question::Question;
use super::servers::{self, Wanted};
use super::walk::{self, Walk};
use super::{entrance, words};

/// The path of a described request.
///
/// # Errors
/// Why it cannot be described: no frontend takes it, or it is no HTTP.
pub fn simulate(config: &Config, question: &Question, given: &Given) -> Result<Walk, String> {
    let found = entrance::find(config, question)?;
    let dst = question.dst.or_else(|| found.bind.and_then(entrance::address));
    let text = question.head(dst);
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut scene = Scene::new(&text, question.src, dst.unwrap_or(nowhere))
        .map_err(|why| format!("the request is not valid HTTP: it {}", why.sentence()))?;
    if dst.is_none() {
        scene.session.dst = None;
        scene.session.real.1 = None;
    }
    if found.front.mode == Mode::Tcp {
        scene = scene.in_tcp(first_bytes(found.front, question, &text));
    }
    if question.tls {
        // An address in brackets keeps its own colons.
        let host = match question.host.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => &*question.host,
        };
        scene.session.tls = Some(Arc::new(question.handshake.facts(host)?));
    }
    if found.front.mode == Mode::Http && question.is_h2() {
        scene.session.wire = Wire::Http2;
        scene.request.set_version(Version::Http2);
    }
    scene.now = evenkeel_acl::Now { mono_ms: MONO_MS, unix_us: question.time_us };
    scene.session.accepted_us = question.time_us;
    let mut engine = Engine::new(config, found.front, scene, given);
    if let Some(bind) = found.bind {
        let at = found.front.binds.iter().position(|b| b == bind).unwrap_or(0);
        engine.scene.listener = (bind.name.clone(), at as u32 + 1);
        engine.walk.bind.address = Some(bind.address.to_string());
        engine.walk.bind.place = bind.place.to_string();
    }
    engine.walk.request.tls = question.tls;
    let doubt = found.bind.filter(|_| found.note.is_none()).and_then(|bind| entrance::doubt(bind, question));
    engine.walk.notes.extend(found.note.or(doubt));
    engine.body = question.body.clone();
    given.set_vars(&mut engine.scene.session, &mut engine.scene.memo);
    engine.connection();
    Ok(engine.done())
}

/// What a client sends first to a port in tcp mode: the body where there is one, else the request, if anything may look at it.
fn first_bytes(front: &config::Frontend, question: &Question, head: &str) -> Vec<u8> {
    let listens = !front.tcp_request_content.is_empty() || !front.http_request.is_empty();
    match (question.body.is_empty(), listens) {
        (false, _) => question.body.clone(),
        (true, true) => head.as_bytes().to_vec(),
        (true, false) => Vec::new(),
    }
}

/// `set-log-level silent`.
const SILENT: u8 = 8;

/// A request on its way.
pub(super) struct Engine<'c> {
    pub(super) config: &'c Config,
    pub(super) front: &'c config::Frontend,
    pub(super) given: &'c Given,
    pub(super) back: Option<Arc<config::Backend>>,
    pub(super) scene: Scene,
    /// The body, which rules see once they waited for it.
    pub(super) body: Vec<u8>,
    /// What was decided in the past, to be followed.
    pub(super) replay: Option<VecDeque<bool>>,
    /// It began in tcp mode and goes on as HTTP.
    pub(super) switched: bool,
    /// The backend of that decision.
    pub(super) past: Option<Option<Arc<config::Backend>>>,
    pub(super) walk: Walk,
}

/// How rules ended a request.
pub(super) enum Final<'r> {
    Reply(Reply<'r>),
    Close(Close<'r>),
}

impl<'c> Engine<'c> {
    pub(super) fn new(config: &'c Config, front: &'c config::Frontend, mut scene: Scene, given: &'c Given) -> Self {
        scene.world = given.world(config);
        scene.frontend = (front.name.clone(), front.id);
        scene.default_backend = front.default_backend.clone();
        let head = &scene.request;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let request = walk::Asked {
            method: if head.is_complete() { text(head.method_bytes()) } else { String::new() },
            target: text(head.original_target()),
            headers: walk::fields(head),
            src: scene.session.src.map(|a| a.to_string()),
            dst: scene.session.dst.map(|a| a.to_string()),
            tls: false,
            time: words::time(scene.now.unix_us),
        };
        let bind = walk::Bind { frontend: front.name.to_string(), address: None, place: front.place.to_string() };
        let walk = Walk { request, bind, notes: given.notes.clone(), ..Walk::default() };
        Engine {
            config,
            front,
            given,
            back: None,
            scene,
            body: Vec::new(),
            replay: None,
            switched: false,
            past: None,
            walk,
        }
    }

    /// Notes what is only known at the end.
    pub(super) fn done(mut self) -> Walk {
        self.log();
        self.walk.tracked = effects::tracked(&self.scene.session, &self.scene.memo, self.scene.now.mono_ms);
        self.walk
    }

    /// The line of the access log, where its format is one of items.
    fn log(&mut self) {
        let front = self.front;
        let library = Library::default();
        let env = Env { library: &library, proxy: &front.name };
        let builtin = match front.log_format {
            config::LogFormat::Http => Some(LogFormat::HTTP),
            config::LogFormat::Tcp => Some(LogFormat::TCP),
            config::LogFormat::Json => None,
        };
        let builtin = builtin.and_then(|text| LogFormat::compile(text, &env).ok());
        let Some(format) = front.log_text.as_deref().or(builtin.as_ref()) else { return };
        if self.scene.memo.wishes.log_level == Some(SILENT) {
            return;
        }
        if self.scene.letters.is_empty() {
            "----".clone_into(&mut self.scene.letters);
        }
        self.scene.captures = [front.captures.request.len(), front.captures.response.len()];
        let mut line = Vec::new();
        self.look(Phase::Done, |ctx| format.write(ctx, &mut line));
        self.walk.log = Some(String::from_utf8_lossy(&line).into_owned());
    }

    /// From accept on.
    fn connection(&mut self) {
        if !self.connection_rules() {
            return;
        }
        count::on_session(&self.scene.session, self.scene.now.mono_ms);
        match self.front.mode {
            Mode::Http => self.http(),
            Mode::Tcp => self.tcp(),
        }
    }

    /// The rules on the connection; `false` when one of them closed it.
    pub(super) fn connection_rules(&mut self) -> bool {
        let front = self.front;
        for (keyword, rules, phase) in [
            ("tcp-request.connection", &front.tcp_request_connection, Phase::Accept),
            ("tcp-request.session", &front.tcp_request_session, Phase::Hello),
        ] {
            // These see nothing of the transaction and leave it nothing.
            let memo = std::mem::take(&mut self.scene.memo);
            let request = std::mem::replace(&mut self.scene.request, Head::new());
            let ended = self.run(Side::Front, keyword, rules, phase);
            self.scene.memo = memo;
            self.scene.request = request;
            if let Some(Final::Close(close)) = ended {
                self.close(close);
                return false;
            }
        }
        true
    }

    fn tcp(&mut self) {
        if let Some(back) = self.tcp_rules()
            && self.choose(&back)
        {
            self.outcome("forward", "the connection is relayed to the server", None);
        }
    }

    /// The rules on a connection in TCP mode, and the backend they leave it to.
    pub(super) fn tcp_rules(&mut self) -> Option<Arc<config::Backend>> {
        let front = self.front;
        if let Some(ended) = self.run(Side::Front, "tcp-request.content", &front.tcp_request_content, Phase::Request) {
            self.end_request(ended);
            return None;
        }
        if self.scene.memo.wishes.switch_mode.is_some() {
            self.go_on_as_http(None);
            return None;
        }
        let back = self.route()?;
        if back.mode == Mode::Http {
            self.go_on_as_http(Some(&back));
            return None;
        }
        if !back.is_half_of(front)
            && let Some(ended) = self.run(Side::Back, "tcp-request.content", &back.tcp_request_content, Phase::Request)
        {
            self.end_request(ended);
            return None;
        }
        Some(back)
    }

    fn http(&mut self) {
        if self.begins() {
            return;
        }
        if let Some(back) = self.request_rules() {
            self.forward(&back);
        }
    }

    fn forward(&mut self, back: &Arc<config::Backend>) {
        if self.choose(back) {
            self.outcome("forward", "the request is sent to the server", None);
            self.send();
            self.respond(back);
        }
    }

    /// Bytes in tcp mode go on as a request of HTTP: because a rule says so, or because `back` speaks it.
    fn go_on_as_http(&mut self, back: Option<&Arc<config::Backend>>) {
        self.switched = true;
        self.body = self.scene.request.surplus().to_vec();
        self.scene.body.clear();
        let reading = std::mem::take(&mut self.scene.reading);
        match (self.scene.request.is_complete(), back) {
            (false, _) if reading == Reading::Preface => {
                self.outcome("forward", "the connection goes on as HTTP/2, each of its requests by itself", None);
            }
            (false, _) => self.fail(End::RequestBadLine),
            (true, None) => self.http(),
            (true, Some(back)) => {
                if self.backend_rules(back) {
                    self.forward(back);
                }
            }
        }
    }

    /// What happens before any rule: captures, the id, and `monitor-uri`, which ends it.
    pub(super) fn begins(&mut self) -> bool {
        let front = self.front;
        let (captures, memo) = (&front.captures, &self.scene.memo);
        capture(&captures.request, &self.scene.request, &memo.captured_request);
        capture_cookie(captures.cookie.as_ref(), b"cookie", &self.scene.request, &memo.captured_cookies, 0);
        if let Some(format) = &front.unique_id_format {
            let mut id = Vec::new();
            self.look(Phase::Request, |ctx| format.write(ctx, &mut id));
            *self.scene.memo.unique_id.get_mut() = id;
        }
        if front.monitor_uri.as_ref().is_none_or(|uri| uri.as_bytes() != self.scene.request.target()) {
            return false;
        }
        let fails = self.look(Phase::Request, |ctx| front.monitor_fail.hold(ctx));
        self.outcome("return", "monitor-uri answers it before any rule", None);
        self.answer(Answer::error(if fails { 503 } else { 200 }), End::Answered);
        true
    }

    /// The rules on a request, and the backend they leave it to.
    pub(super) fn request_rules(&mut self) -> Option<Arc<config::Backend>> {
        let front = self.front;
        let sets = [
            ("tcp-request.content", &front.tcp_request_content),
            ("http-request", &front.http_request),
            ("redirect", &front.redirect),
        ];
        // Those on content have run where it was no HTTP yet.
        for (keyword, rules) in sets.into_iter().skip(usize::from(self.switched)) {
            if keyword == "http-request" {
                if front.option.buffer_request {
                    self.scene.body.clone_from(&self.body);
                }
                count::on_request(&self.scene.session, &self.scene.memo, self.scene.now.mono_ms);
            }
            if let Some(ended) = self.run(Side::Front, keyword, rules, Phase::Request) {
                self.end_request(ended);
                return None;
            }
        }
        let back = self.route()?;
        if back.mode == Mode::Tcp {
            self.fail(End::BackendIsTcp);
            return None;
        }
        self.backend_rules(&back).then_some(back)
    }

    /// The rules of the backend, and what is added to the request on its way; `false` when a rule ended it.
    fn backend_rules(&mut self, back: &Arc<config::Backend>) -> bool {
        let front = self.front;
        let sets = [
            ("tcp-request.content", &back.tcp_request_content),
            ("http-request", &back.http_request),
            ("redirect", &back.redirect),
        ];
        if back.option.buffer_request {
            self.scene.body.clone_from(&self.body);
        }
        for (keyword, rules) in sets.into_iter().filter(|_| !back.is_half_of(front)) {
            if let Some(ended) = self.run(Side::Back, keyword, rules, Phase::Request) {
                self.end_request(ended);
                return false;
            }
        }
        if let Some(header) = &front.unique_id_header {
            let id = self.scene.memo.unique_id.borrow().clone();
            // A full head goes without it.
            let _ = self.scene.request.add(header.as_bytes(), &id);
        }
        host_of_old(&mut self.scene.request);
        if self.scene.session.wire == Wire::Http2 {
            self.scene.request.set_origin_form();
        }
        let src = self.scene.session.src;
        forwarded_for(&mut self.scene.request, src, front.forwardfor.as_ref(), back.forwardfor.as_ref());
        true
    }

    /// Runs `f` on what rules see.
    pub(super) fn look<R>(&mut self, phase: Phase, f: impl FnOnce(&mut Ctx<'_>) -> R) -> R {
        self.scene.at(phase, f)
    }

    /// Runs one rule set, rule by rule.
    pub(super) fn run<'r>(&mut self, side: Side, keyword: &str, rules: &'r RuleSet, phase: Phase) -> Option<Final<'r>> {
        if rules.is_empty() {
            return None;
        }
        let mut stage =
            walk::Stage { section: self.section(side), keyword: keyword.to_owned(), ..walk::Stage::default() };
        let (mut at, mut ended) = (0, None);
        while at < rules.len() && ended.is_none() {
            let (before, from) = (Shot::of(&self.scene), at);
            let mut trace = Trace { replay: self.replay.take(), ..Trace::default() };
            let verdict = self.look(phase, |ctx| rules.eval_one(ctx, &mut at, Some(&mut trace)));
            self.replay = trace.replay;
            let mut rules_seen: Vec<walk::Rule> = trace.steps.iter().map(words::rule).collect();
            if let Some(rule) = rules_seen.last_mut().filter(|rule| rule.held) {
                rule.did = before.changes(&Shot::of(&self.scene));
                if rule.did.is_empty() {
                    // What cannot be seen from outside is told by the action itself.
                    rule.did.extend(trace.steps.last().map(|step| step.did.clone()).filter(|did| !did.is_empty()));
                }
                let (word, last) = self.verdict(verdict, &mut ended);
                // An answer says all that the action noted of it, and its status.
                rule.did.retain(|did| word.as_ref().is_none_or(|word| !word.starts_with(did.as_str())));
                rule.did.extend(word);
                if last {
                    stage.not_reached = rules.len() - at;
                }
                stage.rules.append(&mut rules_seen);
                if last {
                    break;
                }
            } else {
                stage.rules.append(&mut rules_seen);
            }
            // A rule that waits for data which is there decides the second time: there is no second time.
            at = at.max(from + 1);
        }
        self.walk.stages.push(stage);
        ended
    }

    /// What a verdict means, and whether it ends the set.
    fn verdict<'r>(&mut self, verdict: Option<Verdict<'r>>, ended: &mut Option<Final<'r>>) -> (Option<String>, bool) {
        match verdict {
            None | Some(Verdict::Continue) => (None, false),
            Some(Verdict::Allow) => (Some("ends this set of rules".to_owned()), true),
            Some(Verdict::Reply(reply)) => {
                let word = words::reply(&reply);
                *ended = Some(Final::Reply(reply));
                (Some(word), true)
            }
            Some(Verdict::Close(close)) => {
                *ended = Some(Final::Close(close));
                (Some("ends the connection".to_owned()), true)
            }
            Some(Verdict::Wait(wait)) => {
                let word = match wait {
                    Wait::More => None,
                    Wait::Handshake => Some("waits for the handshake".to_owned()),
                    Wait::Log => Some("writes a log line".to_owned()),
                    Wait::Pause(ms) => Some(format!("waits {ms} ms")),
                    Wait::Resolve(question) => Some(self.resolve(&question)),
                    Wait::Body { time, .. } => {
                        self.scene.body.clone_from(&self.body);
                        Some(format!("waits for the body, for {time} ms at most"))
                    }
                };
                (word, false)
            }
        }
    }

    /// Answers a name as described, and says so.
    fn resolve(&mut self, question: &Resolve) -> String {
        let answer = self.given.addresses.get(&*question.name).copied();
        self.look(Phase::Request, |ctx| question.settle(ctx, answer));
        match answer {
            Some(ip) => format!("resolves {} to {ip}", question.name),
            None => format!(
                "resolves {}: no address is given for it (--resolve NAME=ADDRESS, or `resolve` of a test)",
                question.name
            ),
        }
    }

    fn section(&self, side: Side) -> String {
        let (listen, kind, name) = match (side, &self.back) {
            (Side::Back, Some(back)) => (back.listen, "backend", &back.name),
            (Side::Front | Side::Back, _) => (self.front.listen, "frontend", &self.front.name),
        };
        format!("{} {name}", if listen { "listen" } else { kind })
    }

    /// The first rule of a switch that matches, and its place.
    fn pick(&mut self, side: Side, keyword: &str, switch: &Switch) -> Option<(Choice, String)> {
        if switch.is_empty() {
            return None;
        }
        let mut trace = Trace { replay: self.replay.take(), ..Trace::default() };
        let choice = self.look(Phase::Request, |ctx| switch.pick_traced(ctx, Some(&mut trace)));
        self.replay = trace.replay;
        let mut stage =
            walk::Stage { section: self.section(side), keyword: keyword.to_owned(), ..walk::Stage::default() };
        stage.rules = trace.steps.iter().map(words::rule).collect();
        stage.not_reached = switch.targets.len() - stage.rules.len();
        if let (Some(Choice::Named(_, name)), Some(rule)) = (&choice, stage.rules.last_mut()) {
            rule.did.push(format!("names {name}"));
        }
        let place = stage.rules.last().map_or_else(String::new, |rule| rule.place.clone());
        self.walk.stages.push(stage);
        Some((choice?, place))
    }

    /// The backend that serves it.
    fn route(&mut self) -> Option<Arc<config::Backend>> {
        let front = self.front;
        let choice = self.pick(Side::Front, "use_backend", &front.switch);
        let find = |name: &str| self.config.backends.iter().find(|back| *back.name == *name && !back.disabled).cloned();
        let named = choice.as_ref().and_then(|(choice, place)| {
            let name = match choice {
                Choice::Rule(at) => front.switch.targets.get(*at)?.as_deref()?,
                Choice::Named(_, name) => name,
            };
            Some((find(name)?, format!("the use_backend rule at {place}")))
        });
        let default = || {
            let back = find(front.default_backend.as_deref()?)?;
            let why = match (&choice, front.switch.is_empty()) {
                (Some((_, place)), _) => {
                    format!("default_backend: what the rule at {place} names is disabled or does not exist")
                }
                (None, false) => "default_backend: no use_backend rule matched".to_owned(),
                (None, true) if front.listen => "the section's own servers".to_owned(),
                (None, true) => "default_backend".to_owned(),
            };
            Some((back, why))
        };
        let found = match &self.past {
            None => named.or_else(default),
            // The section as it was then, whatever became of it.
            Some(recorded) => recorded.clone().map(|back| {
                let why = choice.as_ref().map_or_else(
                    || "default_backend".to_owned(),
                    |(_, place)| format!("the use_backend rule at {place}"),
                );
                (back, why)
            }),
        };
        match found {
            Some((back, why)) => {
                let place = back.place.to_string();
                self.note_backend(&back, place, why);
                self.enter(&back);
                Some(back)
            }
            None => {
                let matched = choice.is_some() || front.default_backend.is_some();
                self.fail(if matched { End::BackendDisabled } else { End::NoBackend });
                None
            }
        }
    }

    pub(super) fn note_backend(&mut self, back: &config::Backend, place: String, why: String) {
        let stages_before = self.walk.stages.len();
        self.walk.backend = Some(walk::BackendChoice { name: back.name.to_string(), place, why, stages_before });
    }

    /// It is the backend's from now on.
    pub(super) fn enter(&mut self, back: &Arc<config::Backend>) {
        self.scene.backend = Some((back.name.clone(), back.id));
        self.back = Some(back.clone());
    }

    /// The server that `use-server` names.
    pub(super) fn wanted(&mut self, back: &config::Backend) -> Option<Wanted> {
        let (choice, place) = self.pick(Side::Back, "use-server", &back.use_server)?;
        let server = match choice {
            Choice::Rule(at) => back.use_server.targets.get(at)?.as_deref()?.to_owned(),
            Choice::Named(_, name) => name,
        };
        Some(Wanted { server, place })
    }

    /// The server; `false` when there is none and it ended here.
    fn choose(&mut self, back: &Arc<config::Backend>) -> bool {
        let wanted = self.wanted(back);
        let src = self.scene.session.src.map(|a| a.ip());
        let (mut choice, mut end) = servers::choose(back, self.given, src, wanted.as_ref());
        let chosen = back.servers.iter().find(|server| choice.chosen.as_deref() == Some(&*server.name));
        self.scene.server = chosen.map(|server| (server.name.clone(), server.id));
        if end.is_none() && chosen.is_some_and(|server| server.address.is_destination()) {
            let transparent = self.front.binds.iter().any(|bind| bind.transparent);
            match destination(&self.scene.session, transparent) {
                Ok(to) => choice.destination = Some(to.to_string()),
                Err(why) => end = Some(why),
            }
        }
        self.walk.servers = Some(choice);
        match end {
            Some(end) => {
                self.fail(end);
                false
            }
            None => true,
        }
    }

    /// The request as the server gets it.
    fn send(&mut self) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let head = &self.scene.request;
        self.walk.sent = Some(walk::Sent {
            method: text(head.method_bytes()),
            target: text(head.target()),
            headers: walk::fields(head),
        });
    }

    /// The described answer of the server through the rules on responses.
    fn respond(&mut self, back: &Arc<config::Backend>) {
        let Some(told) = &self.given.response else {
            let rules: usize = response_sets(self.front, back).map(|(_, _, rules)| rules.len()).sum();
            if rules > 0 {
                self.walk.notes.push(format!(
                    "{rules} rule(s) on responses were not looked at: describe an answer with --response status=200"
                ));
            }
            return;
        };
        let status = if told.status == 0 { 200 } else { told.status };
        let mut text = format!("HTTP/1.1 {status} {}\r\n", words::phrase(status));
        for (name, value) in &told.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let framed = told.headers.iter().any(|(name, _)| {
            name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("transfer-encoding")
        });
        if !framed && !matches!(status, 204 | 304) {
            text.push_str(&format!("Content-Length: {}\r\n", told.body.len()));
        }
        text.push_str("\r\n");
        match Head::response(&text, self.scene.request.method()) {
            Ok(head) => self.scene.response = Some(head),
            Err(why) => {
                self.walk.notes.push(format!("the answer as described {}", why.sentence()));
                return self.fail(End::ResponseBadField);
            }
        }
        let body = if self.scene.request.method() == Method::Head { "" } else { told.body.as_str() };
        self.body = body.as_bytes().to_vec();
        if self.response_rules(back) {
            self.show("server", body.as_bytes());
        }
    }

    /// Runs the rules on a response; `false` when one of them ended it.
    pub(super) fn response_rules(&mut self, back: &Arc<config::Backend>) -> bool {
        let front = self.front;
        self.scene.memo.vars.get_mut().end(VarScope::Req);
        self.scene.body.clear();
        if let Some(head) = &self.scene.response {
            let (captures, memo) = (&front.captures, &self.scene.memo);
            capture(&captures.response, head, &memo.captured_response);
            capture_cookie(captures.cookie.as_ref(), b"set-cookie", head, &memo.captured_cookies, 1);
        }
        for (side, keyword, rules) in response_sets(front, back) {
            if let Some(ended) = self.run(side, keyword, rules, Phase::Response) {
                self.end_response(ended);
                return false;
            }
        }
        true
    }
}

/// The rule sets on a response, in the order in which they run; those of a listen run once.
fn response_sets<'r>(
    front: &'r config::Frontend,
    back: &'r config::Backend,
) -> impl Iterator<Item = (Side, &'static str, &'r RuleSet)> {
    let sets: [(Side, &str, &RuleSet); 5] = [
        (Side::Back, "tcp-response.content", &back.tcp_response),
        (Side::Back, "http-response", &back.http_response),
        (Side::Front, "http-response", &front.http_response),
        (Side::Back, "http-after-response", &back.http_after_response),
        (Side::Front, "http-after-response", &front.http_after_response),
    ];
    let once = back.is_half_of(front);
    sets.into_iter()
        .filter(move |(side, keyword, _)| !once || matches!(side, Side::Front) || *keyword == "tcp-response.content")
}

/// Whose rules.
#[derive(Clone, Copy)]
pub(super) enum Side {
    Front,
    Back,
}
