//! What became of a described request, step by step: plain data, printed as text by `show` and as JSON by serde.
//!
//! Filled by the engine. The field names are an interface (`--json`) and described in the manual; what is empty is left out.

use serde::{Deserialize, Serialize};

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// The whole path of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Walk {
    /// The request as described.
    pub request: Asked,
    /// Where it came in.
    pub bind: Bind,
    /// The rule sets it went through, in order; those without rules are left out.
    pub stages: Vec<Stage>,
    /// The backend.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendChoice>,
    /// The choice of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<ServerChoice>,
    /// The request as the server gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<Sent>,
    /// Of a past request: the answer of the server as it came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Answer>,
    /// What the client gets; nothing when the server's answer is not described, or the connection just closes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// What became of it.
    pub outcome: Outcome,
    /// Stick-table entries that are tracked, as they are at the end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tracked: Vec<Tracked>,
    /// Of a past request: what was captured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub captured: Vec<Captured>,
    /// The line of the access log, of a described request. It may hold secrets, and is for tests alone.
    #[serde(skip)]
    pub log: Option<String>,
    /// What to know when reading this.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// The request as described.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Method; empty in TCP mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub method: String,
    /// Target as received; empty in TCP mode.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// Fields as received.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<(String, String)>,
    /// Client address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub src: Option<String>,
    /// Address it connected to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dst: Option<String>,
    /// Whether the connection is encrypted.
    #[serde(default, skip_serializing_if = "is_default")]
    pub tls: bool,
    /// Time, as RFC 3339.
    pub time: String,
}

/// Where a request came in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bind {
    /// Frontend.
    pub frontend: String,
    /// Listening address; nothing when none fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// `file:line` of the bind, else of the frontend.
    pub place: String,
}

/// One rule set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stage {
    /// `frontend web`, `backend app`.
    pub section: String,
    /// The key of the rules: `http-request`, `use_backend`.
    pub keyword: String,
    /// The rules that were looked at, in order.
    pub rules: Vec<Rule>,
    /// Rules behind the one that ended the set.
    #[serde(default, skip_serializing_if = "is_default")]
    pub not_reached: usize,
}

/// One rule that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// `file:line`.
    pub place: String,
    /// Its text.
    pub text: String,
    /// Whether its condition held.
    pub held: bool,
    /// Of a past request: what the condition says now, where that differs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub now: Option<bool>,
    /// The acls its condition came to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tests: Vec<Test>,
    /// What its action did.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub did: Vec<String>,
}

/// One acl of a condition.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Test {
    /// Its name with `!`, or the text between braces.
    pub acl: String,
    /// Whether it held, `!` included.
    pub held: bool,
    /// What it looked at.
    pub saw: Vec<Saw>,
}

/// What an acl looked at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saw {
    /// Fetch and converters.
    pub sample: String,
    /// Its values; none: undefined.
    pub values: Vec<String>,
}

/// The backend and why it was chosen.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BackendChoice {
    /// Its name.
    pub name: String,
    /// `file:line` of the section.
    pub place: String,
    /// In a sentence.
    pub why: String,
    /// Rule sets it went through before that was known.
    #[serde(default)]
    pub stages_before: usize,
}

/// The choice of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerChoice {
    /// The algorithm.
    pub algorithm: String,
    /// The server; nothing when it may be one of several, when all are full, or when none is usable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// The servers it may be: more than one where turns or chance decide.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub any_of: Vec<String>,
    /// Where it is sent, when the server stands at the destination of the connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Whether it waits for a free slot.
    #[serde(default, skip_serializing_if = "is_default")]
    pub waits: bool,
    /// In a sentence.
    pub why: String,
    /// Every server of the backend, in file order.
    pub considered: Vec<Considered>,
}

/// One server that was considered.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Considered {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// `up`, `down`, `drain` or `maint`.
    pub state: String,
    /// Whether it is the one, or one of those it may be.
    pub possible: bool,
    /// Why, or why not.
    pub why: String,
    /// Requests in flight.
    pub sessions: u32,
    /// Requests at once; 0 = unlimited.
    pub maxconn: u32,
    /// Requests that wait for it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub queued: u32,
    /// Weight.
    pub weight: u32,
}

/// A request as the server gets it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sent {
    /// Method.
    pub method: String,
    /// Target.
    pub target: String,
    /// Fields, those of the connection left out.
    pub headers: Vec<(String, String)>,
}

/// What the client gets.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whose answer it is: `evenkeel` or `server`.
    pub by: String,
    /// Status.
    pub status: u16,
    /// Reason phrase.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Fields, those of the connection left out.
    pub headers: Vec<(String, String)>,
    /// The beginning of the body.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub body: String,
    /// Whether there is more of it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub cut: bool,
    /// All of it.
    #[serde(skip)]
    pub whole: Vec<u8>,
}

/// What became of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// `forward`, `deny`, `tarpit`, `auth`, `redirect`, `return`, `service`, `reject`, `silent-drop` or `error`.
    pub action: String,
    /// In a sentence.
    pub sentence: String,
    /// `file:line` of the rule that decided it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// Code of the reason, as `EV320`; nothing when nothing failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Word of the reason, as in logs and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_step: Option<String>,
}

/// A tracked stick-table entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tracked {
    /// Number of the counter: 0 is `sc0`.
    pub counter: usize,
    /// Table.
    pub table: String,
    /// Key.
    pub key: String,
    /// What it stores.
    pub values: Vec<(String, u64)>,
}

/// A captured value of a past request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Captured {
    /// `request` or `response`.
    pub of: String,
    /// Number of the slot.
    pub slot: usize,
    /// The field it is taken from, where a key says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Its beginning.
    pub value: String,
}

/// The longest part of a body that is shown.
const BODY: usize = 400;

impl Answer {
    /// Keeps a body, and its beginning to be shown.
    pub fn set_body(&mut self, body: &[u8]) {
        self.whole = body.to_vec();
        self.cut = body.len() > BODY;
        self.body = String::from_utf8_lossy(&body[..body.len().min(BODY)]).into_owned();
    }
}

/// Fields as text.
pub fn fields(head: &evenkeel_proto::Head) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.fields().map(|(name, value)| (text(name), text(value))).collect()
}
