//! The statistics as Prometheus metrics.
//!
//! Owns: [`render`], the text behind `/metrics`, and [`markdown`], the reference of every metric. Both iterate the
//! catalogue. Every number has our name (`evenkeel_*`) and, where HAProxy has it, HAProxy's (`haproxy_*`), so that
//! dashboards made for HAProxy work; a query leaves one or the other out.
//!
//! One family at a time goes through a registry, because a metric of the crate weighs some 300 bytes: with 10,000
//! servers the peak is one family, not all of them. Never: keeps numbers of its own.

use std::sync::Arc;

use evenkeel_stats::catalog::{CATALOG, Entry, Field, Kind, Label, Scope, Unit};
use prometheus::core::{Collector, Desc};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::{Counter, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};

use crate::values::{Object, Value, rows};
use crate::view::{AdminState, View};

/// Content type of the text format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Which metrics are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    /// `evenkeel_*` names and the standard `process_*` ones.
    pub own: bool,
    /// `haproxy_*` names.
    pub haproxy: bool,
    /// Scopes; HAProxy's `scope=` with `global` for the process.
    pub scopes: Vec<Scope>,
    /// Metrics by name, with or without its prefix; `false`: left out. Where one is asked for, no other is written.
    pub metrics: Vec<(bool, String)>,
    /// Servers in maintenance are left out.
    pub no_maint: bool,
}

impl Default for Selection {
    fn default() -> Self {
        Selection { own: true, haproxy: true, scopes: Scope::ALL.to_vec(), metrics: Vec::new(), no_maint: false }
    }
}

impl Selection {
    /// Reads a query string: `names=evenkeel|haproxy|all`, and HAProxy's `scope=` (repeated adds, `*` is all, empty is
    /// none), `metrics=NAME,-NAME` and `no-maint`. Other parameters are ignored, as scrapers add their own.
    pub fn parse(query: &str) -> Selection {
        let mut out = Selection::default();
        let mut default_scopes = true;
        for (key, value) in query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, ""))) {
            match (key, value) {
                ("names", "evenkeel") => (out.own, out.haproxy) = (true, false),
                ("names", "haproxy") => (out.own, out.haproxy) = (false, true),
                ("names", _) => (out.own, out.haproxy) = (true, true),
                ("scope", word) => {
                    if std::mem::take(&mut default_scopes) || word.is_empty() {
                        out.scopes.clear();
                    }
                    let is =
                        |s: &&Scope| word == "*" || s.word() == word || (**s == Scope::Process && word == "global");
                    let named: Vec<Scope> = Scope::ALL.iter().filter(is).copied().collect();
                    out.scopes.extend(named);
                }
                ("metrics", names) => {
                    out.metrics.extend(names.split(',').filter(|name| !name.is_empty()).map(|name| {
                        match name.strip_prefix('-') {
                            Some(name) => (false, bare(name).to_owned()),
                            None => (true, bare(name).to_owned()),
                        }
                    }))
                }
                ("no-maint", _) => out.no_maint = true,
                _ => {}
            }
        }
        out
    }

    /// Whether a metric is written: the last that names it decides.
    fn takes(&self, name: &str) -> bool {
        let name = bare(name);
        let asked = self.metrics.iter().any(|(wanted, _)| *wanted);
        self.metrics.iter().rev().find(|(_, named)| named == name).map_or(!asked, |(wanted, _)| *wanted)
    }
}

/// A name without `evenkeel_` or `haproxy_`.
fn bare(name: &str) -> &str {
    name.strip_prefix("evenkeel_").or_else(|| name.strip_prefix("haproxy_")).unwrap_or(name)
}

/// The text format, families in catalogue order.
pub fn render(view: &Arc<View>, selection: &Selection) -> String {
    let mut out = String::new();
    if selection.own
        && selection.scopes.contains(&Scope::Process)
        && !selection.metrics.iter().any(|(wanted, _)| *wanted)
    {
        encode(Box::new(ProcessCollector::for_self()), &mut out);
    }
    for family in families(selection) {
        let collector = FamilyCollector { view: view.clone(), family, no_maint: selection.no_maint };
        encode(Box::new(collector), &mut out);
    }
    out
}

fn encode(collector: Box<dyn Collector>, out: &mut String) {
    let registry = Registry::new();
    registry.register(collector).expect("an empty registry takes any valid collector");
    TextEncoder::new().encode_utf8(&registry.gather(), out).expect("writing to a String cannot fail");
}

/// One metric name with the catalogue entries that feed it.
struct Family {
    scope: Scope,
    desc: Desc,
    entries: Vec<&'static Entry>,
}

fn families(selection: &Selection) -> Vec<Family> {
    let mut out: Vec<Family> = Vec::new();
    let mut add = |scope: Scope, entry: &'static Entry, name: Option<String>| {
        let Some(name) = name.filter(|name| selection.takes(name)) else { return };
        // Entries of one family stand side by side, so the last one is the only candidate of its name set.
        if let Some(f) = out.iter_mut().rev().take(2).find(|f| f.desc.fq_name == name) {
            return f.entries.push(entry);
        }
        let labels = label_names(scope, entry).into_iter().map(str::to_owned).collect();
        let desc = Desc::new(name, entry.help.to_owned(), labels, Default::default())
            .expect("names and labels of the catalogue are valid, its tests say so");
        out.push(Family { scope, desc, entries: vec![entry] });
    };
    for scope in Scope::ALL.into_iter().filter(|s| selection.scopes.contains(s)) {
        for entry in &CATALOG {
            add(scope, entry, entry.own_name(scope).filter(|_| selection.own));
            add(scope, entry, entry.haproxy_name(scope).filter(|_| selection.haproxy));
        }
    }
    out
}

fn label_names(scope: Scope, entry: &Entry) -> Vec<&'static str> {
    let mut labels = match scope {
        Scope::Process => vec![],
        Scope::Frontend | Scope::Backend => vec!["proxy"],
        Scope::Listener => vec!["proxy", "listener"],
        Scope::Server => vec!["proxy", "server"],
        Scope::Certificate => vec!["path", "name"],
        Scope::Resolvers => vec!["resolver"],
        Scope::Resolver => vec!["resolver", "nameserver"],
    };
    match entry.label {
        Label::None => {}
        Label::Fixed(name, _) | Label::Text(name) => labels.push(name),
        Label::State => labels.push("state"),
        Label::Reason => labels.push("reason"),
    }
    labels
}

/// The crate's door to our numbers: collects one family from a picture.
struct FamilyCollector {
    view: Arc<View>,
    family: Family,
    no_maint: bool,
}

impl Collector for FamilyCollector {
    fn desc(&self) -> Vec<&Desc> {
        vec![&self.family.desc]
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let Family { scope, desc, entries } = &self.family;
        let left_out = |object: &Object<'_>| {
            self.no_maint && matches!(object, Object::Server(_, server) if server.admin == AdminState::Maint)
        };
        let kind = entries.first().map_or(Kind::Gauge, |e| e.kind);
        let mut metrics = Vec::new();
        let process = (*scope == Scope::Process).then_some(Object::Process(&self.view.process));
        let certificates = self.view.certificates.iter().map(Object::Certificate);
        let sections = self.view.resolvers.iter().map(Object::Resolvers);
        let servers =
            self.view.resolvers.iter().flat_map(|r| r.nameservers.iter().map(move |n| Object::Resolver(r, n)));
        let objects = rows(&self.view).chain(certificates).chain(sections).chain(servers);
        let objects = objects.filter(|r| r.scope() == *scope && !left_out(r));
        for object in process.into_iter().chain(objects) {
            for entry in entries {
                push(&mut metrics, kind, object, entry);
            }
        }
        let mut family = MetricFamily::default();
        family.set_name(desc.fq_name.clone());
        family.set_help(desc.help.clone());
        family.set_field_type(if kind == Kind::Counter { MetricType::COUNTER } else { MetricType::GAUGE });
        family.set_metric(metrics);
        vec![family]
    }
}

fn push(metrics: &mut Vec<Metric>, kind: Kind, object: Object<'_>, entry: &Entry) {
    let mut labels = Vec::with_capacity(3);
    if let Some(proxy) = object.proxy() {
        labels.push(pair("proxy", &proxy.name));
    }
    if let Object::Server(_, server) = object {
        labels.push(pair("server", &server.name));
    }
    if let Object::Certificate(certificate) = object {
        labels.push(pair("path", &certificate.path));
        labels.push(pair("name", certificate.name()));
    }
    if let Object::Resolvers(section) | Object::Resolver(section, _) = object {
        labels.push(pair("resolver", &section.name));
    }
    if let Object::Resolver(_, nameserver) = object {
        labels.push(pair("nameserver", &nameserver.name));
    }
    match (entry.label, object.value(entry)) {
        (Label::State, _) => {
            for (state, n) in object.states(entry) {
                let mut labels = labels.clone();
                labels.push(pair("state", state));
                metrics.push(metric(kind, labels, n as f64));
            }
        }
        (Label::Reason, _) => {
            for (reason, n) in object.reasons() {
                let mut labels = labels.clone();
                labels.push(pair("reason", reason));
                metrics.push(metric(kind, labels, n as f64));
            }
        }
        (Label::Text(name), Value::Text(text)) => {
            labels.push(pair(name, &text));
            metrics.push(metric(kind, labels, 1.0));
        }
        // The age of something that never happened has no value.
        (_, Value::Number(n)) if n < 0 && entry.field == Field::Lastsess => {}
        (label, value) => {
            let Some(n) = value.number() else { return };
            if let Label::Fixed(name, word) = label {
                labels.push(pair(name, word));
            }
            metrics.push(metric(kind, labels, scaled(n, entry.unit)));
        }
    }
}

/// Milliseconds become seconds by division, which rounds to the nearest; a factor 0.001 would be off in the last digit.
fn scaled(n: f64, unit: Unit) -> f64 {
    match unit {
        Unit::Millis => n / 1000.0,
        Unit::One | Unit::Bytes | Unit::Seconds => n,
    }
}

fn metric(kind: Kind, labels: Vec<LabelPair>, value: f64) -> Metric {
    let mut metric = Metric::from_label(labels);
    if kind == Kind::Counter {
        let mut counter = Counter::default();
        counter.set_value(value);
        metric.set_counter(counter);
    } else {
        let mut gauge = Gauge::default();
        gauge.set_value(value);
        metric.set_gauge(gauge);
    }
    metric
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// The reference of all metrics and CSV columns, as Markdown.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Metrics\n\nGenerated from the catalogue; `/metrics` serves them in Prometheus text format 0.0.4. Every metric has \
         its own name and, where HAProxy exports the number, HAProxy's name. `?names=evenkeel` or `?names=haproxy` leaves the \
         other set out, `?scope=global`, `frontend`, `backend`, `server`, `certificate`, `resolvers` or `resolver` (repeatable) limits the objects. Times are \
         seconds in metrics and milliseconds in CSV where the table says ms.\n",
    );
    for scope in Scope::ALL {
        let labels = label_names(scope, &CATALOG[0]).join("`, `");
        let title = scope.word();
        out.push_str(&format!("\n## {}{}\n\n", title[..1].to_uppercase(), &title[1..]));
        if scope == Scope::Listener {
            out.push_str("Listeners are not counted apart; the columns they would fill are named for reference.\n\n");
        } else if !labels.is_empty() {
            out.push_str(&format!("Labels: `{labels}`.\n\n"));
        }
        out.push_str(
            "| CSV column | metric | HAProxy's name | type | label | unit | meaning |\n|---|---|---|---|---|---|---|\n",
        );
        for entry in CATALOG.iter().filter(|e| e.scopes.has(scope)) {
            let code = |s: Option<String>| s.map_or_else(String::new, |s| format!("`{s}`"));
            let label = match entry.label {
                Label::None => String::new(),
                Label::Fixed(name, value) => format!("`{name}=\"{value}\"`"),
                Label::State => "`state`".into(),
                Label::Text(name) => format!("`{name}`"),
                Label::Reason => "`reason`".into(),
            };
            out.push_str(&format!(
                "| {} | {} | {} | {} | {label} | {} | {} |\n",
                code(entry.column.map(str::to_owned)),
                code(entry.own_name(scope)),
                code(entry.haproxy_name(scope)),
                match entry.kind {
                    Kind::Counter => "counter",
                    Kind::Gauge => "gauge",
                    Kind::Text => "text",
                },
                match entry.unit {
                    Unit::One => "",
                    Unit::Bytes => "bytes",
                    Unit::Seconds => "s",
                    Unit::Millis => "ms",
                },
                entry.help,
            ));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::sample;
    use std::collections::{BTreeMap, HashSet};

    type Series = BTreeMap<String, f64>;

    /// Reads the text format as strictly as a scraper: HELP and TYPE once and before the samples, no series twice.
    fn parse(text: &str) -> (Series, BTreeMap<String, String>) {
        let (mut series, mut types, mut helped) = (Series::new(), BTreeMap::new(), HashSet::new());
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(helped.insert(name.to_owned()) && !help.is_empty(), "{line}");
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{line}");
            } else {
                let (key, value) = line.rsplit_once(' ').unwrap();
                let name = key.split('{').next().unwrap();
                assert!(types.contains_key(name) && helped.contains(name), "{line}");
                let balanced = !key.contains('{') || (key.ends_with("\"}") && key.matches('{').count() >= 1);
                assert!(balanced, "{line}");
                assert!(series.insert(key.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
            }
        }
        (series, types)
    }

    fn rendered(query: &str) -> (Series, BTreeMap<String, String>) {
        parse(&render(&Arc::new(sample::view()), &Selection::parse(query)))
    }

    #[test]
    fn every_entry_appears_under_each_of_its_names() {
        let (_, types) = rendered("");
        for scope in Scope::ALL.into_iter().filter(|s| *s != Scope::Listener) {
            for e in &CATALOG {
                for name in [e.own_name(scope), e.haproxy_name(scope)].into_iter().flatten() {
                    let kind = types.get(&name).unwrap_or_else(|| panic!("{name} is missing"));
                    assert_eq!(kind == "counter", e.kind == Kind::Counter, "{name}");
                }
            }
        }
        assert!(types.contains_key("process_resident_memory_bytes"), "the crate's process collector");
    }

    #[test]
    fn metrics_are_chosen_by_name() {
        let names = |query: &str| rendered(query).1.into_keys().collect::<Vec<_>>();
        assert_eq!(
            names("metrics=server_status,haproxy_backend_status&names=haproxy"),
            ["haproxy_backend_status", "haproxy_server_status"]
        );
        assert_eq!(
            names("metrics=server_status,-server_status&metrics=backend_status&names=haproxy"),
            ["haproxy_backend_status"]
        );
        let (all, most) = (names(""), names("metrics=-server_status"));
        assert_eq!(all.len() - most.len(), 1);
        let (series, _) = rendered("no-maint&scope=server");
        let maint = |series: &Series| series.keys().filter(|key| key.contains("state=\"MAINT\"")).count();
        assert!(series.iter().all(|(key, value)| !key.contains("state=\"MAINT\"") || *value == 0.0));
        assert!(maint(&rendered("scope=server").0) > maint(&series));
    }

    #[test]
    fn values_labels_and_units() {
        let (series, _) = rendered("");
        for (key, want) in [
            ("haproxy_frontend_status{proxy=\"www\",state=\"UP\"}", 1.0),
            ("haproxy_server_status{proxy=\"app\",server=\"app2\",state=\"DOWN\"}", 1.0),
            ("haproxy_server_status{proxy=\"app\",server=\"app2\",state=\"UP\"}", 0.0),
            ("evenkeel_server_state{proxy=\"app\",server=\"app3\",state=\"UP\"}", 1.0),
            ("evenkeel_server_check_status{proxy=\"app\",server=\"app2\",state=\"L7STS\"}", 1.0),
            ("evenkeel_backend_servers{proxy=\"app\",state=\"MAINT\"}", 1.0),
            ("haproxy_server_check_code{proxy=\"app\",server=\"app2\"}", 503.0),
            ("haproxy_backend_response_time_average_seconds{proxy=\"app\"}", 0.018),
            ("evenkeel_config_last_reload_success", 0.0),
            ("evenkeel_config_reloads_total{result=\"failed\"}", 1.0),
            ("evenkeel_config_reloads_total{result=\"ok\"}", 6.0),
            ("evenkeel_config_generations", 2.0),
            ("evenkeel_build_info{version=\"0.1.0\"}", 1.0),
            ("haproxy_process_nbproc", 1.0),
        ] {
            assert_eq!(series.get(key), Some(&want), "{key}");
        }
        let tcp = |k: &String| k.contains("http_responses_total") && k.contains("proxy=\"postgres\"");
        assert!(!series.keys().any(tcp), "HTTP metrics of a TCP proxy");
        assert!(!series.keys().any(|k| k.contains("last_session") && k.contains("replica")), "age of nothing");
    }

    #[test]
    fn queries_choose_names_and_scopes() {
        let starts = |s: &Series, prefix: &str| s.keys().any(|k| k.starts_with(prefix));
        let (own, _) = rendered("names=evenkeel");
        assert!(starts(&own, "evenkeel_") && !starts(&own, "haproxy_"));
        let (haproxy, _) = rendered("names=haproxy&scope=global&scope=backend");
        assert!(starts(&haproxy, "haproxy_process_") && starts(&haproxy, "haproxy_backend_"));
        assert!(
            !starts(&haproxy, "haproxy_server_") && !starts(&haproxy, "evenkeel_") && !starts(&haproxy, "process_")
        );
        assert!(rendered("scope=").0.is_empty());
        assert_eq!(rendered("scope=&scope=*&nonsense&=").0.len(), rendered("").0.len());
        assert!(rendered("scope=nowhere").0.is_empty());
    }

    #[test]
    fn hostile_names_cannot_break_a_line() {
        let mut view = sample::view();
        view.proxies[0].name = "a\"b\\c\nd".into();
        let (series, _) = parse(&render(&Arc::new(view), &Selection::default()));
        assert!(series.keys().any(|k| k.contains("proxy=\"a\\\"b\\\\c\\nd\"")));
    }

    #[test]
    fn the_reference_names_every_metric() {
        let text = markdown();
        for scope in Scope::ALL {
            for e in &CATALOG {
                for name in [e.own_name(scope), e.haproxy_name(scope)].into_iter().flatten() {
                    assert!(text.contains(&format!("`{name}`")), "{name}");
                }
            }
        }
    }
}
