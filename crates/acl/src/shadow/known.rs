//! What the analysis knows of fetches, converters and actions: on what a sample depends, and what an action changes.
//!
//! Only what is listed is known. A fetch that is not is never assumed to say the same twice; an action that is not is
//! assumed to change everything.

use crate::action::RuleKind;
use crate::word::{Word, starts_condition};

/// What a sample depends on and an action may change.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Method,
    Target,
    /// One header of the request, in lower case.
    Header(String),
    /// Some header of the request.
    Headers,
    Status,
    /// One header of the response, in lower case.
    Answer(String),
    /// Some header of the response.
    Answers,
    Source,
    Destination,
    /// What a handshake that goes on may still change.
    Handshake,
}

/// What a fetch depends on, as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    /// The connection as it was accepted.
    Connection,
    Handshake,
    Method,
    /// Method and target.
    Target,
    /// Target and Host.
    Base,
    /// Authorization, in whichever header it stands.
    Credentials,
    /// The header of the request that the first argument names.
    Header,
    /// That of the response.
    Answer,
    /// This header of the request.
    Field(&'static str),
    /// This header of the response.
    AnswerField(&'static str),
    Status,
    Source,
    Destination,
}

/// What is known of a fetch.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) parts: Vec<Part>,
    /// It may have several occurrences.
    pub(super) many: bool,
    /// It says the same in tcp rules, whose other data may still come.
    pub(super) early: bool,
}

const ONE: bool = false;
const MANY: bool = true;

/// Name, occurrences, dependency. Sorted by name.
const FETCHES: &[(&str, bool, On)] = &[
    ("base", ONE, On::Base),
    ("base32", ONE, On::Base),
    ("baseq", ONE, On::Base),
    ("dst", ONE, On::Destination),
    ("dst_port", ONE, On::Destination),
    ("fc_dst", ONE, On::Connection),
    ("fc_dst_port", ONE, On::Connection),
    ("fc_http_major", ONE, On::Connection),
    ("fc_pp_authority", ONE, On::Connection),
    ("fc_pp_tlv", ONE, On::Connection),
    ("fc_pp_unique_id", ONE, On::Connection),
    ("fc_rcvd_proxy", ONE, On::Connection),
    ("fc_src", ONE, On::Connection),
    ("fc_src_port", ONE, On::Connection),
    ("fe_defbe", ONE, On::Connection),
    ("fe_id", ONE, On::Connection),
    ("fe_name", ONE, On::Connection),
    ("http_auth", ONE, On::Credentials),
    ("http_auth_bearer", ONE, On::Credentials),
    ("http_auth_group", MANY, On::Credentials),
    ("http_auth_type", ONE, On::Credentials),
    ("http_auth_user", ONE, On::Credentials),
    ("method", ONE, On::Method),
    ("path", ONE, On::Target),
    ("pathq", ONE, On::Target),
    ("query", ONE, On::Target),
    ("req.cook", MANY, On::Field("cookie")),
    ("req.cook_cnt", ONE, On::Field("cookie")),
    ("req.cook_val", MANY, On::Field("cookie")),
    ("req.fhdr", MANY, On::Header),
    ("req.fhdr_cnt", ONE, On::Header),
    ("req.hdr", MANY, On::Header),
    ("req.hdr_cnt", ONE, On::Header),
    ("req.hdr_ip", MANY, On::Header),
    ("req.hdr_val", MANY, On::Header),
    ("req.ver", ONE, On::Connection),
    ("res.fhdr", MANY, On::Answer),
    ("res.fhdr_cnt", ONE, On::Answer),
    ("res.hdr", MANY, On::Answer),
    ("res.hdr_cnt", ONE, On::Answer),
    ("res.hdr_ip", MANY, On::Answer),
    ("res.hdr_val", MANY, On::Answer),
    ("res.scook", MANY, On::AnswerField("set-cookie")),
    ("so_id", ONE, On::Connection),
    ("so_name", ONE, On::Connection),
    ("src", ONE, On::Source),
    ("src_port", ONE, On::Source),
    ("ssl_c_i_dn", ONE, On::Handshake),
    ("ssl_c_s_dn", ONE, On::Handshake),
    ("ssl_c_serial", ONE, On::Handshake),
    ("ssl_c_sha1", ONE, On::Handshake),
    ("ssl_c_used", ONE, On::Handshake),
    ("ssl_c_verify", ONE, On::Handshake),
    ("ssl_fc", ONE, On::Connection),
    ("ssl_fc_alpn", ONE, On::Connection),
    ("ssl_fc_cipher", ONE, On::Connection),
    ("ssl_fc_has_sni", ONE, On::Connection),
    ("ssl_fc_protocol", ONE, On::Connection),
    ("ssl_fc_sni", ONE, On::Connection),
    ("status", ONE, On::Status),
    ("url", ONE, On::Target),
    ("url_param", MANY, On::Target),
    ("urlp", MANY, On::Target),
    ("urlp_val", MANY, On::Target),
];

/// Other names of the same.
const SAME: &[(&str, &str)] = &[
    ("cook", "req.cook"),
    ("cook_cnt", "req.cook_cnt"),
    ("cook_val", "req.cook_val"),
    ("hdr_cnt", "req.hdr_cnt"),
    ("hdr_ip", "req.hdr_ip"),
    ("hdr_val", "req.hdr_val"),
    ("req_ver", "req.ver"),
    ("scook", "res.scook"),
    ("shdr", "res.hdr"),
    ("shdr_cnt", "res.hdr_cnt"),
    ("shdr_ip", "res.hdr_ip"),
    ("shdr_val", "res.hdr_val"),
];

/// Converters whose result depends on the sample alone, unless an argument is a variable.
const CONVERTERS: &[&str] = &[
    "add",
    "and",
    "b64dec",
    "base64",
    "bool",
    "bytes",
    "cpl",
    "crc32",
    "crc32c",
    "cut_crlf",
    "div",
    "djb2",
    "even",
    "field",
    "has_ctl",
    "hex",
    "hex2i",
    "host_only",
    "ipmask",
    "length",
    "lower",
    "ltrim",
    "mod",
    "mul",
    "neg",
    "not",
    "odd",
    "or",
    "port_only",
    "regsub",
    "reverse",
    "reverse_dom",
    "rtrim",
    "sdbm",
    "sha1",
    "sha2",
    "sub",
    "ub64dec",
    "ub64enc",
    "upper",
    "url_dec",
    "url_enc",
    "word",
    "wt6",
    "xor",
    "xxh3",
    "xxh32",
    "xxh64",
];

/// The one name of a fetch in rules of `kind`; `None` stands for `use_backend`.
pub(super) fn canonical(name: &'static str, kind: Option<RuleKind>) -> &'static str {
    let answers = matches!(kind, Some(RuleKind::HttpResponse | RuleKind::HttpAfterResponse));
    match name {
        "hdr" if answers => "res.hdr",
        "hdr" => "req.hdr",
        _ => SAME.iter().find(|(other, _)| *other == name).map_or(name, |(_, same)| same),
    }
}

/// What is known of the fetch of that canonical name with the first argument `argument`.
pub(super) fn fetch(name: &str, argument: Option<&[u8]>) -> Option<Known> {
    let at = FETCHES.binary_search_by(|(known, _, _)| (*known).cmp(name)).ok()?;
    let (_, many, on) = FETCHES[at];
    let named = || argument.map(|name| String::from_utf8_lossy(name).to_ascii_lowercase());
    let parts = match on {
        On::Connection => Vec::new(),
        On::Handshake => vec![Part::Handshake],
        On::Method => vec![Part::Method],
        On::Target => vec![Part::Method, Part::Target],
        On::Base => vec![Part::Method, Part::Target, Part::Header("host".into())],
        On::Credentials => vec![Part::Headers, Part::Target],
        On::Header => vec![named().map_or(Part::Headers, Part::Header)],
        On::Answer => vec![named().map_or(Part::Answers, Part::Answer)],
        On::Field(name) => vec![Part::Header(name.into())],
        On::AnswerField(name) => vec![Part::Answer(name.into())],
        On::Status => vec![Part::Status],
        On::Source => vec![Part::Source],
        On::Destination => vec![Part::Destination],
    };
    let early =
        matches!(on, On::Connection | On::Source | On::Destination) && !matches!(name, "req.ver" | "fc_http_major");
    Some(Known { parts, many, early })
}

/// Whether a converter is one that always gives the same for the same.
pub(super) fn is_pure(converter: &str) -> bool {
    CONVERTERS.contains(&converter)
}

/// What a rule does to the list it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing below it runs.
    Ends,
    /// These change, or none.
    Changes(Vec<Part>),
    /// Nobody knows what changes.
    Unknown,
}

/// What the rule with these words does. `lax`: `strict-mode` stands in the list, so that answers may fail and be skipped.
pub(super) fn effect(kind: RuleKind, words: &[Word], lax: bool) -> Effect {
    let head: Vec<&Word> = words.iter().take_while(|word| !starts_condition(word)).collect();
    let Some(name) = head.first().map(|word| word.text()) else { return Effect::Unknown };
    let name = name.split('(').next().unwrap_or_default();
    let answers = matches!(kind, RuleKind::HttpResponse | RuleKind::HttpAfterResponse | RuleKind::TcpResponse);
    match name {
        "accept" | "allow" | "reject" | "silent-drop" => Effect::Ends,
        "auth" | "deny" | "return" | "tarpit" if !lax => Effect::Ends,
        "redirect" if !lax && !head.iter().any(|word| word.is("ignore-empty")) => Effect::Ends,
        "auth" | "deny" | "return" | "tarpit" | "redirect" => Effect::Changes(Vec::new()),
        "add-header" | "del-header" | "replace-header" | "replace-value" | "set-header" => {
            let plain = head.get(1).filter(|word| !word.bytes.contains(&b'%') && !word.bytes.is_empty());
            let plain = plain.filter(|_| !head.iter().any(|word| word.is("-m")));
            Effect::Changes(match plain.map(|word| word.text().to_ascii_lowercase()) {
                // Host and an absolute target are kept alike.
                None if !answers => vec![Part::Headers, Part::Target],
                Some(name) if !answers && name == "host" => vec![Part::Header(name), Part::Target],
                None => vec![Part::Answers],
                Some(name) => vec![if answers { Part::Answer(name) } else { Part::Header(name) }],
            })
        }
        "set-method" => Effect::Changes(vec![Part::Method, Part::Target]),
        "set-path" | "set-pathq" | "set-query" | "replace-path" | "replace-pathq" | "normalize-uri" | "set-uri"
        | "replace-uri" => Effect::Changes(vec![Part::Target, Part::Header("host".into())]),
        "set-status" => Effect::Changes(vec![Part::Status]),
        "set-src" | "set-src-port" => Effect::Changes(vec![Part::Source]),
        "set-dst" | "set-dst-port" => Effect::Changes(vec![Part::Destination]),
        // The header is read once the set is over.
        "expect-proxy" => Effect::Changes(vec![Part::Source, Part::Destination]),
        "do-resolve" | "pause" | "wait-for-body" | "wait-for-handshake" => Effect::Changes(vec![Part::Handshake]),
        "add-acl"
        | "capture"
        | "del-acl"
        | "del-map"
        | "disable-l7-retry"
        | "do-log"
        | "early-hint"
        | "set-bandwidth-limit"
        | "set-log-level"
        | "set-map"
        | "set-nice"
        | "set-priority-class"
        | "set-priority-offset"
        | "set-retries"
        | "set-timeout"
        | "set-var"
        | "set-var-fmt"
        | "strict-mode"
        | "unset-var" => Effect::Changes(Vec::new()),
        name if name.starts_with("sc-") || name.starts_with("track-sc") => Effect::Changes(Vec::new()),
        _ => Effect::Unknown,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::action::actions;
    use crate::conv::convs;
    use crate::fetch::fetches;
    use crate::word;

    #[test]
    fn the_tables_name_what_exists() {
        assert!(FETCHES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for name in FETCHES.iter().map(|entry| entry.0).chain(SAME.iter().flat_map(|&(one, other)| [one, other])) {
            assert!(fetches().iter().any(|fetch| fetch.name == name), "there is no fetch {name}");
        }
        for name in CONVERTERS {
            assert!(convs().iter().any(|conv| conv.name == *name), "there is no converter {name}");
        }
    }

    #[test]
    fn what_ends_a_list_is_what_the_actions_say() {
        for action in actions() {
            let words = word::split(action.example).unwrap();
            for &kind in action.kinds {
                let ends = effect(kind, &words, false) == Effect::Ends;
                assert!(!ends || action.ends, "{} does not end {}", action.name, kind.keyword());
            }
        }
    }

    #[test]
    fn effects_are_as_wide_as_they_must_be() {
        let header = |name: &str| Part::Header(name.to_owned());
        for (kind, text, want) in [
            (RuleKind::HttpRequest, "deny if METH_GET", Effect::Ends),
            (RuleKind::HttpRequest, "redirect location /x", Effect::Ends),
            (RuleKind::HttpRequest, "redirect location %[x] ignore-empty", Effect::Changes(vec![])),
            (RuleKind::HttpRequest, "set-header X-A b", Effect::Changes(vec![header("x-a")])),
            (RuleKind::HttpRequest, "set-header Host b", Effect::Changes(vec![header("host"), Part::Target])),
            (RuleKind::HttpRequest, "del-header x- -m beg", Effect::Changes(vec![Part::Headers, Part::Target])),
            (RuleKind::HttpResponse, "set-header X-A b", Effect::Changes(vec![Part::Answer("x-a".into())])),
            (RuleKind::HttpRequest, "set-path /x", Effect::Changes(vec![Part::Target, header("host")])),
            (RuleKind::HttpRequest, "set-var(txn.x) path", Effect::Changes(vec![])),
            (RuleKind::HttpRequest, "track-sc0 src", Effect::Changes(vec![])),
            (RuleKind::HttpRequest, "something-new", Effect::Unknown),
        ] {
            assert_eq!(effect(kind, &word::split(text).unwrap(), false), want, "{text}");
        }
        assert_eq!(effect(RuleKind::HttpRequest, &word::split("deny").unwrap(), true), Effect::Changes(vec![]));
    }
}
