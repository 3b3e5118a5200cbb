//! What an answer of `explain` and `why` must not show: values of the fields that `global.why.redact` names, and whatever
//! rules made of them. The requests of `[[test]]` blocks stand in the file for everybody and stay as they are.
//!
//! Works on the finished walk, in the order of its rules, by where a value comes from: a rule that reads a secret makes the
//! variable, field, slot or key it writes one too. Errs towards hiding. A new fetch that reads a field must be known here.

use std::collections::HashSet;

use evenkeel_config::Config;

use super::walk::{Rule, Walk};

/// What stands in place of a secret.
const HIDDEN: &str = "(redacted)";

/// Fetches of credentials: they read Authorization.
const CREDENTIALS: &[&str] = &["http_auth_bearer", "http_auth_pass", "http_auth_user"];
/// Fetches of all fields at once.
const WHOLE: &[&str] = &["req.hdrs", "req.hdrs_bin", "res.hdrs", "res.hdrs_bin"];

/// Converters that leave nothing of a credential that could be used as one.
const HARMLESS: &[&str] = &[
    "crc32",
    "crc32c",
    "digest",
    "djb2",
    "hmac",
    "jwt_header_query",
    "jwt_payload_query",
    "jwt_verify",
    "jwt_verify_cert",
    "length",
    "sdbm",
    "sha1",
    "sha2",
    "wt6",
    "xxh3",
    "xxh32",
    "xxh64",
];

/// Hides the secrets of `walk`.
pub fn hide(walk: &mut Walk, config: &Config) {
    let mut known = Known::of(walk, config);
    let Walk { request, stages, sent, received, answer, tracked, captured, .. } = walk;
    let mut keys: HashSet<(usize, String)> = HashSet::new();
    for rule in stages.iter_mut().flat_map(|stage| &mut stage.rules) {
        for saw in rule.tests.iter_mut().flat_map(|test| &mut test.saw).filter(|saw| known.reads(&saw.sample)) {
            saw.values.iter_mut().for_each(|value| *value = HIDDEN.to_owned());
        }
        known.learn(rule, &mut keys);
    }
    let lists = [
        Some(&mut request.headers),
        sent.as_mut().map(|s| &mut s.headers),
        received.as_mut().map(|a| &mut a.headers),
        answer.as_mut().map(|a| &mut a.headers),
    ];
    for (_, value) in lists.into_iter().flatten().flatten().filter(|(name, _)| known.is_field(name)) {
        *value = HIDDEN.to_owned();
    }
    if let Some(answer) = answer.as_mut().filter(|answer| known.payload && !answer.body.is_empty()) {
        answer.body = HIDDEN.to_owned();
    }
    for one in captured {
        let side = if one.of == "request" { "req" } else { "res" };
        if known.slots.contains(&format!("capture.{side}.hdr({})", one.slot)) {
            one.value = HIDDEN.to_owned();
        }
    }
    for entry in tracked {
        if keys.contains(&(entry.counter, entry.table.clone())) {
            entry.key = HIDDEN.to_owned();
        }
    }
}

/// What is secret so far.
struct Known {
    /// Names of fields, in lower case.
    fields: HashSet<String>,
    /// Names of variables.
    vars: HashSet<String>,
    /// `capture.req.hdr(0)` and its kin.
    slots: HashSet<String>,
    /// The payload of the answer.
    payload: bool,
}

impl Known {
    fn of(walk: &Walk, config: &Config) -> Known {
        let fields: HashSet<String> = config.global.why.redact.iter().map(|name| name.to_ascii_lowercase()).collect();
        let front = config.frontends.iter().find(|front| *front.name == *walk.bind.frontend);
        let mut slots = HashSet::new();
        for (side, list) in front.iter().flat_map(|f| [("req", &f.captures.request), ("res", &f.captures.response)]) {
            for (at, capture) in list.iter().enumerate() {
                if capture.header.as_ref().is_some_and(|name| fields.contains(&name.to_ascii_lowercase())) {
                    slots.insert(format!("capture.{side}.hdr({at})"));
                }
            }
        }
        Known { fields, vars: HashSet::new(), slots, payload: false }
    }

    fn is_field(&self, name: &str) -> bool {
        self.fields.contains(&name.to_ascii_lowercase())
    }

    /// Whether a text, an expression or an action, reads a secret.
    fn reads(&self, text: &str) -> bool {
        // Each expression by itself: what one of them makes harmless says nothing of the next.
        text.to_ascii_lowercase().split(|c: char| c.is_whitespace() || "[]".contains(c)).any(|one| self.expression(one))
    }

    fn expression(&self, text: &str) -> bool {
        if text.split(',').skip(1).any(|converter| HARMLESS.contains(&converter.split('(').next().unwrap_or_default()))
        {
            return false;
        }
        let end_of_word = |c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c));
        text.split(end_of_word).any(|word| {
            CREDENTIALS.contains(&word) && self.fields.contains("authorization")
                || WHOLE.contains(&word) && !self.fields.is_empty()
                || is_cookies(word) && ["cookie", "set-cookie"].iter().any(|name| self.fields.contains(*name))
        }) || calls(text).any(|(name, argument)| match name {
            "var" => self.vars.iter().any(|var| var.eq_ignore_ascii_case(argument)),
            _ if name.starts_with("capture.") => self.slots.contains(&format!("{name}({argument})")),
            _ => name.contains("hdr") && self.fields.contains(argument),
        })
    }

    /// Hides what a rule did with a secret, and notes where it put it.
    fn learn(&mut self, rule: &mut Rule, keys: &mut HashSet<(usize, String)>) {
        let action = action_of(&rule.text);
        let reads = self.reads(action);
        // Whether or not it held here: an earlier request may have set what this one reads.
        // A past capture is told by its number alone.
        if reads && let Some(slot) = action.strip_prefix("capture ").and_then(slot_of) {
            self.slots.extend(["req", "res"].map(|side| format!("capture.{side}.hdr({slot})")));
        }
        if reads && let Some((_, var)) = calls(action).find(|(name, _)| name.starts_with("set-var")) {
            self.vars.insert(var.to_owned());
        }
        for did in &mut rule.did {
            let field =
                did.strip_prefix("+ ").or_else(|| did.strip_prefix("- ")).and_then(|rest| rest.split_once(": "));
            if let Some((name, _)) = field {
                let name = name.to_ascii_lowercase();
                if !reads && !self.fields.contains(&name) {
                    continue;
                }
                let message = did.rsplit_once(" (").map_or("", |(_, message)| message);
                *did = format!("{}: {HIDDEN} ({message}", &did[..2 + name.len()]);
                self.fields.insert(name);
            } else if reads {
                *did = self.hidden(did, keys);
            }
        }
    }

    /// One line of what a rule did, without its values.
    fn hidden(&mut self, did: &str, keys: &mut HashSet<(usize, String)>) -> String {
        if let Some((what, _)) = did.split_once(" = ") {
            if let Some(var) = what.strip_prefix("variable ") {
                self.vars.insert(var.to_owned());
            }
            if let Some((slot, message)) = what.strip_prefix("capture ").and_then(|rest| rest.split_once(" of the ")) {
                self.slots.insert(format!("capture.{}.hdr({slot})", if message == "request" { "req" } else { "res" }));
            }
            return format!("{what} = {HIDDEN}");
        }
        if let Some((key, place)) = did.strip_prefix("tracks ").and_then(|rest| rest.split_once(" as sc")) {
            let table = place.split_once(" of table ");
            if let Some((counter, table)) = table
                && let Ok(counter) = counter.parse()
                && !key.is_empty()
            {
                let table = table.split_once(" (").map_or(table, |(table, _)| table);
                keys.insert((counter, table.to_owned()));
            }
            return format!("tracks {HIDDEN} as sc{place}");
        }
        match did.split(' ').next().unwrap_or_default() {
            "redirects" => {
                self.fields.insert("location".to_owned());
                let status = did.rsplit_once(" with ").map_or("", |(_, status)| status);
                format!("redirects to {HIDDEN} with {status}")
            }
            "answers" | "holds" => {
                self.payload = true;
                did.to_owned()
            }
            "ends" | "waits" | "fails:" | "names" => did.to_owned(),
            // Counters are told by their names.
            _ if did.contains(" of sc") => did.to_owned(),
            // The first word says what was done, the value follows.
            verb => format!("{verb} {HIDDEN}"),
        }
    }
}

fn is_cookies(word: &str) -> bool {
    ["cook", "req.cook", "res.cook", "scook"].iter().any(|fetch| {
        let rest = word.strip_prefix(fetch);
        // How many there are and what they are called is no secret.
        rest.is_some_and(|rest| !rest.starts_with("_cnt") && !rest.starts_with("_names"))
    })
}

/// `id 3` of a capture.
fn slot_of(action: &str) -> Option<usize> {
    action.rsplit_once(" id ")?.1.trim().parse().ok()
}

/// A rule without its condition.
fn action_of(text: &str) -> &str {
    let ends = [" if ", " unless "].iter().filter_map(|word| text.rfind(word)).min();
    ends.map_or(text, |end| &text[..end])
}

/// Each `name(first argument` of a text.
fn calls(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.match_indices('(').map(|(at, _)| {
        let begin = text[..at].rfind(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c)));
        let name = &text[begin.map_or(0, |begin| begin + 1)..at];
        let argument = text[at + 1..].split([',', ')']).next().unwrap_or_default();
        (name, argument.trim_matches(|c| "'\" ".contains(c)))
    })
}
